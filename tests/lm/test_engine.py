"""The engine on a random two-layer model: every exactness claim, in fp32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.arms.language_model import HeadClassifier, HeadRegressor, censored_loss
from pipeline.arms.text_arms import TextClassifier, TextRegressor, quantiles
from pipeline.lm.answers import AnswerTree, read_answers
from pipeline.lm.decoders import shared_tokens
from pipeline.lm.defaults import TrainingSettings
from pipeline.lm.engine import Engine
from pipeline.lm.training import batches
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import PromptTemplate, completion
from pipeline.tables.targets import REGRESSION
from tests.conftest import SMILES

TEMPLATE = PromptTemplate("mass", "u")
Y = np.array([float(len(s)) for s in SMILES])


def prompts(engine):
    return [engine.encode(TEMPLATE.render(smiles)) for smiles in SMILES[:10]]


def plain(engine, ids):
    with torch.no_grad():
        return engine.base(input_ids=torch.tensor([ids], device=engine.device)).last_hidden_state[0]


def test_the_model_is_cut(tiny_engine):
    assert tiny_engine.cut == 1


@pytest.mark.parametrize("adapted", [False, True])
def test_cached_layers_and_shared_prefix_equal_the_plain_forward(tiny_engine, adapted):
    ids = prompts(tiny_engine)
    shared = shared_tokens(ids)
    assert shared > 5

    def check():
        rows = tiny_engine.run_upper(tiny_engine.rows(ids, shared))
        for row, text in enumerate(ids):
            own = rows.hidden[row, : len(text) - shared]
            torch.testing.assert_close(own, plain(tiny_engine, text)[shared:], atol=2e-5, rtol=1e-4)

    with torch.no_grad():
        if not adapted:
            return check()
        with tiny_engine.adapted(rank=4, alpha=8, dropout=0.0, seed=0) as model:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.1)
            check()
    return None


def test_a_text_has_the_same_activations_alone_and_in_company(tiny_folder):
    warm = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
    cold = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
    ids = prompts(warm)
    shared = shared_tokens(ids)
    warm.prepare(ids, shared)
    cold.prepare(ids[3:4], shared)
    assert torch.equal(warm._frozen[ids[3]], cold._frozen[ids[3]])


def test_the_engine_is_untouched_after_adaptation(tiny_engine):
    ids = prompts(tiny_engine)[0]
    before = plain(tiny_engine, ids)
    HeadRegressor(tiny_engine, TEMPLATE, steps=3).fit(SMILES, Y)
    assert torch.equal(plain(tiny_engine, ids), before)


def test_equal_seeds_start_from_equal_adapters(tiny_engine):
    def start(seed):
        with tiny_engine.adapted(rank=4, alpha=8, dropout=0.0, seed=seed) as model:
            return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    one, same, other = start(0), start(0), start(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_adapters_are_on_the_top_layers_alone(tiny_engine):
    with tiny_engine.adapted(rank=4, alpha=8, dropout=0.0, seed=0) as model:
        names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert names
    assert all(".1." in name and "embed" not in name for name in names)


def test_a_step_changes_the_score_and_repeats_exactly(tiny_engine):
    first = HeadRegressor(tiny_engine, TEMPLATE, steps=6, seed=1).fit(SMILES, Y)
    again = HeadRegressor(tiny_engine, TEMPLATE, steps=6, seed=1).fit(SMILES, Y)
    assert first.curve_ == again.curve_
    assert np.array_equal(first.predict(SMILES), again.predict(SMILES))
    assert np.std(first.predict(SMILES)) > 0


def test_merged_and_reloaded_weights_give_the_same_scores(tiny_engine, tmp_path):
    from transformers import AutoModelForCausalLM

    arm = HeadRegressor(tiny_engine, TEMPLATE, steps=4).fit(SMILES, Y)
    ids = prompts(tiny_engine)[0]
    with tiny_engine.adapted(rank=16, alpha=32, dropout=0.0, seed=0) as model:
        model.load_state_dict(arm.adapter_, strict=False)
        adapted = plain(tiny_engine, ids)
        merged = model.merge_and_unload()
        merged.save_pretrained(tmp_path)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        again = reloaded.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    torch.testing.assert_close(adapted.cpu(), again, atol=1e-4, rtol=1e-3)


def test_the_prompt_is_tokenised_alike_with_and_without_its_answer(tiny_engine):
    for smiles in SMILES:
        prompt, answer = TEMPLATE.render(smiles), completion("12.5")
        joined = tiny_engine.encode(prompt + answer)
        assert tiny_engine.encode(prompt) + tiny_engine.encode(answer) == joined


def test_the_end_mark_is_the_last_supervised_label(tiny_engine):
    assert tiny_engine.tokenizer.pad_token_id == tiny_engine.end_token
    arm = TextRegressor(tiny_engine, TEMPLATE)
    assert arm._answer_ids("12")[-1] == tiny_engine.end_token


def test_the_loss_is_on_the_answer_alone_and_equals_the_plain_one(tiny_engine):
    arm = TextRegressor(tiny_engine, TEMPLATE)
    ids = prompts(tiny_engine)[:3]
    answers = [arm._answer_ids(text) for text in ("7", "12", "123")]
    texts = [prompt + answer for prompt, answer in zip(ids, answers, strict=True)]
    shared = shared_tokens(texts)
    with torch.no_grad():
        found = arm._completion_losses(tiny_engine.run_upper(tiny_engine.rows(texts, shared)), answers).mean()
        expected = []
        for prompt, answer, text in zip(ids, answers, texts, strict=True):
            logits = tiny_engine.logits(plain(tiny_engine, text))
            chances = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
            expected.append(-chances[range(len(answer)), answer].mean())
    torch.testing.assert_close(found, torch.stack(expected).mean(), atol=1e-5, rtol=1e-4)


def test_accumulation_does_not_change_the_loss(tiny_engine):
    """One batch of eight equals two of four: every row weighs the same, however long its answer."""
    arm = TextRegressor(tiny_engine, TEMPLATE)
    answers = [arm._answer_ids(str(10**i)) for i in range(8)]
    texts = [p + a for p, a in zip(prompts(tiny_engine)[:8], answers, strict=True)]
    shared = shared_tokens(texts)

    def loss(rows):
        return arm._completion_losses(
            tiny_engine.run_upper(tiny_engine.rows([texts[r] for r in rows], shared)), [answers[r] for r in rows]
        ).mean()

    with torch.no_grad():
        torch.testing.assert_close(loss(range(8)), (loss(range(4)) + loss(range(4, 8))) / 2, atol=1e-6, rtol=1e-5)


def test_the_answer_distribution_is_that_of_the_plain_model(tiny_engine):
    answers = [str(n) for n in (7, 8, 70, 71, 199, 200)]
    encoded = [(*tiny_engine.encode(completion(a)), tiny_engine.end_token) for a in answers]
    ids = prompts(tiny_engine)[:5]
    found = read_answers(tiny_engine, ids, shared_tokens(ids), AnswerTree(encoded))
    for row, prompt in enumerate(ids):
        raw, within = [], []
        for answer in encoded:
            settled = next(n for n in range(len(answer)) if sum(a[: n + 1] == answer[: n + 1] for a in encoded) == 1)
            with torch.no_grad():
                logits = tiny_engine.logits(plain(tiny_engine, prompt + answer))[len(prompt) - 1 : -1]
            chances = torch.log_softmax(logits.double(), dim=-1)
            raw.append(sum(chances[i, t].item() for i, t in enumerate(answer[: settled + 1])))
            total = 0.0
            for i, token in enumerate(answer):
                siblings = {a[i] for a in encoded if len(a) > i and a[:i] == answer[:i]}
                total += chances[i, token].item() - torch.logsumexp(chances[i, list(siblings)], 0).item()
            within.append(total)
        np.testing.assert_allclose(found.probabilities[row], np.exp(within), atol=2e-3)
        np.testing.assert_allclose(found.well_formed[row], np.exp(raw).sum(), atol=1e-5)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize("packs", [True, False])
def test_the_models_own_answer_is_that_of_greedy_decoding(tiny_folder, packs):
    engine = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
    engine.packs = packs
    arm = TextRegressor(engine, TEMPLATE, steps=40, settings={"learning_rate": 5e-3}).fit(SMILES, Y)
    arm.predict(SMILES)
    ids = arm.prompts(SMILES)
    answers = [arm._answer_ids(text) for text in arm.format_.texts()]
    with arm.with_adapters(), torch.no_grad():
        for row, prompt in enumerate(ids):
            written = []
            while len(written) < max(map(len, answers)) and engine.end_token not in written:
                written.append(int(engine.logits(plain(engine, prompt + tuple(written)))[-1].argmax()))
            expected = answers.index(tuple(written)) if tuple(written) in answers else -1
            assert arm.reading_.greedy[row] == expected
    assert (arm.reading_.greedy >= 0).any()


def test_what_all_answers_begin_with_counts_when_the_model_would_begin_otherwise(tiny_engine):
    """The model's own answer is one only if its most probable first token is the one that all answers share."""
    ids = prompts(tiny_engine)
    shared, prompt = shared_tokens(ids), ids[0]

    def next_token(written):
        with torch.no_grad():
            return tiny_engine.logits(plain(tiny_engine, prompt + written))[-1].argsort(descending=True).tolist()

    likely, unlikely = next_token(())[:2]
    for first, expected in ((likely, 0), (unlikely, -1)):
        second, other = next_token((first,))[:2]
        third = next_token((first, second))[0]
        found = read_answers(tiny_engine, [prompt], shared, AnswerTree([(first, second, third), (first, other, third)]))
        assert found.greedy.tolist() == [expected]


def test_batch_size_and_padding_do_not_change_a_reading(tiny_engine):
    ids = prompts(tiny_engine)
    shared = shared_tokens(ids)
    tree = AnswerTree([(*tiny_engine.encode(f" {n}"), tiny_engine.end_token) for n in range(40)])
    together = read_answers(tiny_engine, ids, shared, tree)
    for row, prompt in enumerate(ids):
        alone = read_answers(tiny_engine, [prompt], shared, tree)
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[row], atol=1e-5)


def test_a_two_peaked_distribution_across_a_carry_is_read_right():
    """199 and 200 with equal probability: the median and mean lie between them, not at 150 or 249."""
    form = NumberFormat(0, 100, 299)
    chances = np.zeros((1, 200))
    chances[0, [99, 100]] = 0.5
    assert abs((chances @ form.values)[0] - 199.5) < 1e-9
    assert abs(quantiles(chances, form.values, 1.0, 0.5)[0] - 199.5) < 1e-9


def test_an_answer_that_begins_another_is_refused():
    with pytest.raises(ValueError, match="beginning"):
        AnswerTree([(1, 2), (1, 2, 3)])


def test_a_model_that_writes_nonsense_is_scored_as_the_training_mean(tiny_engine):
    arm = TextRegressor(tiny_engine, TEMPLATE, steps=1, settings={"learning_rate": 0.0}).fit(SMILES, Y)
    predicted = arm.predict(SMILES)
    failed = arm.reading_.parse_failed
    assert failed.any()
    assert np.all(predicted[failed] == Y.mean())


@pytest.mark.parametrize(("share", "median"), [(0.4, False), (0.6, True)])
def test_where_most_rows_share_a_value_the_median_is_predicted(tiny_engine, tmp_path, share, median):
    """A mean is never that value; with fewer such rows the mean stays."""
    y = np.where(np.arange(len(SMILES)) < share * len(SMILES), 0.0, Y)
    arm = TextRegressor(tiny_engine, TEMPLATE, steps=40, settings={"learning_rate": 5e-3}).fit(SMILES, y)
    predicted, failed = arm.predict(SMILES), arm.reading_.parse_failed
    assert not failed.all()
    of_rows = arm.medians_ if median else arm.reading_.probabilities @ arm.format_.values
    np.testing.assert_array_equal(predicted, np.where(failed, np.median(y) if median else y.mean(), of_rows))
    described = write_arm(tmp_path, "lm-text", arm)
    again = read_arm(tmp_path, "lm-text", described, ArmSetting(REGRESSION, (), TEMPLATE, lambda: tiny_engine))
    np.testing.assert_array_equal(again.predict(SMILES), predicted)


def test_a_head_for_classes_starts_from_their_shares(tiny_engine):
    """From equal chances it would learn the shares by what it sums up over a molecule's tokens: their number."""
    labels = np.array(["rare", *["usual"] * (len(SMILES) - 1)])
    arm = HeadClassifier(tiny_engine, TEMPLATE, steps=1, settings={"learning_rate": 0.0}).fit(SMILES, labels)
    expected = np.tile([1 / len(SMILES), 1 - 1 / len(SMILES)], (5, 1))
    np.testing.assert_allclose(arm.predict_proba(SMILES[:5]), expected, atol=1e-6)


def test_each_step_has_the_gradient_of_its_own_batch_alone(tiny_engine):
    """All rows in each batch and a rate of zero: the gradient is the same each time, and does not add up."""
    norms = []

    def progress(done, total):
        norms.append(float(arm.head_.linear.weight.grad.norm()))

    settings = {"learning_rate": 0.0, "batch_size": len(SMILES), "clip": 1e9}
    arm = HeadRegressor(tiny_engine, TEMPLATE, steps=5, settings=settings, progress=progress)
    arm.fit(SMILES, Y)
    assert norms[0] > 0
    np.testing.assert_allclose(norms, norms[0], rtol=1e-4)


def test_text_learns_what_it_is_shown(tiny_engine):
    labels = np.where(np.median(Y) < Y, "long", "short")
    arm = TextClassifier(tiny_engine, TEMPLATE, steps=120, settings={"learning_rate": 1e-2}).fit(SMILES, labels)
    assert np.mean(arm.curve_[-20:]) < 0.5 * np.mean(arm.curve_[:5])
    chances = arm.predict_proba(SMILES)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-9)
    assert arm.reading_.parse_failed.mean() < 0.1


def test_every_row_comes_once_per_epoch_and_batches_are_alike_in_length():
    lengths = list(range(64))
    epoch = list(batches(lengths, 8, 8, seed=0))
    assert sorted(row for batch in epoch for row in batch) == lengths
    assert epoch != list(batches(lengths, 8, 8, seed=1))
    assert len(list(batches(lengths, 8, 21, seed=0))) == 21


def test_training_stops_with_a_clear_word_on_a_broken_loss(tiny_engine):
    arm = HeadRegressor(tiny_engine, TEMPLATE, steps=5, settings={"learning_rate": 1e30})
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        arm.fit(SMILES, Y)


def test_settings_are_recorded_whole():
    assert {"steps", "learning_rate", "rank", "batch_size"} <= set(TrainingSettings(1).__dataclass_fields__)


def test_a_prediction_beyond_a_bound_costs_nothing_on_the_side_of_the_truth():
    predicted = torch.tensor([[2.0], [2.0], [2.0], [0.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    losses = [censored_loss(predicted[row : row + 1], targets[row : row + 1]).item() for row in range(4)]
    plain = torch.nn.functional.smooth_l1_loss(torch.tensor(2.0), torch.tensor(1.0), beta=0.5).item()
    assert losses == pytest.approx([plain, 0.0, plain, plain])
    censored_loss(predicted, targets).backward()
    assert predicted.grad[:, 0].sign().tolist() == [1.0, 0.0, 1.0, -1.0]


def test_bounds_used_as_such_change_the_head_and_bounds_at_their_limit_do_not(tiny_engine):
    arms = [HeadRegressor(tiny_engine, TEMPLATE, steps=6) for _ in range(3)]
    sides = np.where(np.arange(len(Y)) % 3 == 0, 1, 0)
    plain, exact, censored = (
        arm.fit(SMILES, Y, censoring=side).predict(SMILES)
        for arm, side in zip(arms, (None, np.zeros(len(Y)), sides), strict=True)
    )
    np.testing.assert_array_equal(plain, exact)
    assert not np.allclose(plain, censored)


def test_text_writes_as_far_beyond_its_labels_as_the_split_asks(tiny_engine):
    """One range further down, none further up; without a reach the list is as it was."""
    settings = {"learning_rate": 0.0}
    plain = TextRegressor(tiny_engine, TEMPLATE, steps=1, settings=settings).fit(SMILES, Y)
    wide = TextRegressor(tiny_engine, TEMPLATE, steps=1, settings=settings, reach=(1.0, 0.0)).fit(SMILES, Y)
    assert plain.format_ == NumberFormat.fit(Y)
    assert wide.format_.high == plain.format_.high
    assert wide.format_.number(wide.format_.low) == pytest.approx(Y.min() - np.ptp(Y), abs=wide.format_.resolution)
    assert wide.predict(SMILES[:3]).shape == (3,)
    assert wide.reading_.probabilities.shape[1] == len(wide.format_.values)
