"""What is learned before the first label: each start lacks what it says, and the null learns nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.errors import InputError
from pipeline.lm.altered import EMBEDDINGS, LAYERS, RANDOM, altered_engine, altered_model
from pipeline.lm.engine import load_model
from pipeline.lm.tokens import PromptTokens, symbols_of
from pipeline.prompts.templates import SMILES as NOTATION
from pipeline.prompts.templates import PromptTemplate, joined
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe
from pipeline.settings.reading import make_config
from pipeline.studies.pretraining import study
from pipeline.studies.pretraining.findings import Findings
from pipeline.studies.pretraining.settings import Settings
from pipeline.studies.pretraining.starts import ALWAYS, FROM_RANDOM, PERMUTED, PRETRAINED, STARTS, ShuffledSymbols
from pipeline.studies.pretraining.words import sentences
from tests.conftest import SMILES, reaction_rows, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture
def chains(tmp_path):
    return write_table(tmp_path / "chains.csv", [(text, len(text)) for text in SMILES])


def context_of(path, tiny, given=None, **settings):
    run = {"smiles": "SMILES", "target": "value", "model": str(tiny), "steps": 3, "dtype": "float32"}
    config = make_config(str(path), run | (given or {}) | {"out": str(path.parent / "out")})
    chosen = {"sizes": (5, 20), "seeds": 2, "probed": 20, **settings}
    return study.prepare(config, Settings(**chosen), Reporter())


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_each_alteration_takes_away_one_thing(tiny_folder):
    original, _ = load_model(str(tiny_folder))
    before = weights_of(original)
    embedding = next(name for name, value in before.items() if value is not None and "embed_tokens" in name)

    dealt = weights_of(altered_model(load_model(str(tiny_folder))[0], EMBEDDINGS, 0))
    changed = {name for name, value in dealt.items() if not torch.equal(value, before[name])}
    assert embedding in changed
    assert not any("layers" in name for name in changed)
    rows = [{tuple(row.tolist()) for row in one[embedding]} for one in (dealt, before)]
    assert rows[0] == rows[1]

    moved = weights_of(altered_model(load_model(str(tiny_folder))[0], LAYERS, 0))
    assert torch.equal(moved[embedding], before[embedding])
    name = next(name for name in before if "layers.0." in name and "q_proj.weight" in name)
    other = name.replace("layers.0.", "layers.1.")
    assert torch.equal(moved[name], before[other])
    assert torch.equal(moved[other], before[name])

    drawn = weights_of(altered_model(load_model(str(tiny_folder))[0], RANDOM, 5))
    assert not torch.equal(drawn[name], before[name])
    assert {key: value.shape for key, value in drawn.items()} == {key: value.shape for key, value in before.items()}
    again = weights_of(altered_model(load_model(str(tiny_folder))[0], RANDOM, 5))
    assert torch.equal(again[name], drawn[name])
    assert not torch.equal(weights_of(altered_model(load_model(str(tiny_folder))[0], RANDOM, 6))[name], drawn[name])


def test_an_altered_engine_runs_and_leaves_the_random_numbers_alone(tiny_folder):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    engine = altered_engine(str(tiny_folder), 1, "float32", None, RANDOM, 3)
    assert torch.equal(torch.rand(3), expected)
    prompts = [engine.encode("one two"), engine.encode("one three four")]
    rows = engine.run_upper(engine.rows(prompts, 0))
    assert torch.isfinite(rows.hidden).all()


def test_shuffled_symbols_keep_what_they_are(tiny_engine):
    template = PromptTemplate("log solubility", "mol/L")
    other = ShuffledSymbols.of(template)
    text = "CC(=O)Nc1ccc(O)c(Cl)c1"
    plain, shuffled = template.pieces(text), other.pieces(text)
    assert joined(shuffled) != joined(plain)
    assert sorted(symbols_of(shuffled[1].text, NOTATION)) == sorted(symbols_of(text, NOTATION))
    assert other.pieces(text) == shuffled
    assert (shuffled[0], shuffled[-1]) == (plain[0], plain[-1])
    tokens = PromptTokens(tiny_engine.tokenizer)
    assert sorted(tokens.prompt(shuffled, "atomwise")) == sorted(tokens.prompt(plain, "atomwise"))


def test_every_start_is_trained_and_the_page_says_what_came_out(chains, tiny_folder):
    context = context_of(chains, tiny_folder)
    assert "descriptors" not in context.settings.starts  # this model has no such adapters
    contents = contents_of(study, context)
    trained = {one["tags"]["arm"] for one in contents if "weights" not in one["tags"]}
    assert trained == {"mean", "ngram-ridge", *STARTS} - {"descriptors"}
    found = study.conclude(context, contents)
    assert set(found.tables["rows_worth"]["start"]) == trained - {"mean", "random weights", "permuted labels"}
    layers = found.tables["layers"]
    assert set(layers["layer"]) == {0, 1, 2}
    assert {"target", "rings", "of this table or of another"} <= set(layers["property"])
    assert (layers["value"] <= 1).all()
    assert any("permuted labels cannot be told from fewer than 3 seeds" in one for one in found.sentences)
    by_start = found.predictions.query("size == 20 and seed == 0").groupby("arm")["prediction"].apply(list)
    different = [PRETRAINED, FROM_RANDOM, PERMUTED, "shuffled layers", "shuffled embeddings", "shuffled symbols"]
    assert len({tuple(by_start[name]) for name in different}) == len(different)


def test_a_property_of_the_string_is_found_by_a_probe_and_labels_at_random_are_not(tmp_path, tiny_folder):
    rng = np.random.default_rng(0)
    path = write_table(tmp_path / "random.csv", [(text, rng.normal()) for text in SMILES])
    context = context_of(path, tiny_folder, starts=ALWAYS, seeds=1, probed=30)
    layers = study.conclude(context, contents_of(study, context)).tables["layers"]
    best = layers[layers["weights"] == "published weights"].groupby("property")["value"].max()
    assert best["tokens of the row"] > 0.5
    assert best["target"] < 0.5


def planted(context, **errors):
    """The results with predictions that miss by given amounts; those of permuted labels know nothing of a row."""
    truth = context.table.targets.loc[list(context.splits[0].folds[0].test)].to_numpy()
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], len(truth))
    found = []
    for one in contents_of(study, context):
        if "weights" in one["tags"]:
            continue
        off = errors[one["tags"]["arm"].replace(" ", "_").replace("-", "_")](one["tags"]["size"])
        known = truth + signs * off * (1 + 0.02 * one["tags"]["seed"])
        found.append(one | {"prediction": (known if off < 4 else rng.normal(size=len(truth))).tolist()})
    return found


def answers(context, contents):
    found = Findings(context, context.splits[0], contents)
    return found, sentences(found, found.layers([]), {})


def test_labels_that_leak_are_a_warning_and_pretraining_is_worth_rows(chains, tiny_folder):
    context = context_of(chains, tiny_folder, starts=ALWAYS, sizes=(5, 10, 20), seeds=4, probed=0)
    others = {"mean": lambda n: 3.9, "ngram_ridge": lambda n: 3.0, "random_weights": lambda n: 8 * n**-0.5}
    contents = planted(context, pretrained=lambda n: 4 * n**-0.5, permuted_labels=lambda n: 9.0, **others)
    found, said = answers(context, contents)
    assert found.needed(FROM_RANDOM, PRETRAINED, 20)[0] == pytest.approx(5, rel=1e-3)
    assert any(one.startswith("From permuted labels nothing was shown to be learned") for one in said)
    assert any(one.startswith("Pretraining helps with 5, 10 and 20 rows") for one in said)
    leaking = planted(context, pretrained=lambda n: 4 * n**-0.5, permuted_labels=lambda n: 1.0, **others)
    assert any(
        one.startswith("Warning: something was learned from permuted labels") for one in answers(context, leaking)[1]
    )
    single = replace(context, settings=replace(context.settings, seeds=1))
    said = answers(single, leaking)[1]
    assert any("cannot be told from fewer than 3 seeds" in one for one in said)
    assert any(one.startswith("Pretraining was not shown to help") for one in said)


def test_permuted_labels_of_a_skewed_target_are_no_warning(tmp_path, tiny_folder):
    """The best constant of another loss has another error than the mean; that is no leak."""
    rng = np.random.default_rng(1)
    path = write_table(tmp_path / "skewed.csv", [(text, f"{np.exp(1.5 * rng.normal()):.4f}") for text in SMILES])
    context = context_of(path, tiny_folder, starts=ALWAYS, sizes=(5, 30), seeds=4, probed=0)
    middle = float(np.median(context.table.targets))
    contents = [
        one | {"prediction": (middle + 1e-3 * rng.normal(size=len(one["prediction"]))).tolist()}
        if one["tags"]["arm"] == PERMUTED
        else one
        for one in contents_of(study, context)
    ]
    assert not any(one.startswith("Warning") for one in answers(context, contents)[1])


def test_the_layer_is_chosen_on_training_rows_and_bounds_are_not_probed(chains, tiny_folder, tmp_path):
    rows = [(text, f">{len(text)}" if number < 12 else len(text)) for number, text in enumerate(SMILES)]
    context = context_of(
        write_table(tmp_path / "bounds.csv", rows), tiny_folder, {"bounds": "limit"}, starts=ALWAYS, seeds=1
    )
    probes = [one for one in contents_of(study, context) if "weights" in one["tags"]]
    exact = [row for row in context.splits[0].folds[0].test if context.table.exact[row]]
    assert all(one["found"]["target"]["rows"] == exact for one in probes)
    found = Findings(context, context.splits[0], [])
    changed = [one | {"found": {"target": one["found"]["target"] | {"on_training": [0.0, 1.0, 0.5]}}} for one in probes]
    assert set(found.layers(changed).query("chosen")["layer"]) == {1}
    assert set(found.beyond_random(changed)) == {"target"}


def test_components_and_another_notation(tmp_path, chains, tiny_folder):
    with pytest.raises(InputError, match="representation is for other commands"):
        context_of(chains, tiny_folder, {"representation": ["selfies"]})
    frame = pd.DataFrame(reaction_rows(), columns=["halide", "amine", "base", "solvent", "rxn", "yield"])
    path = tmp_path / "reactions.csv"
    frame.to_csv(path, index=False)
    run = {"components": ["halide", "amine", "base"], "yield": "yield", "model": str(tiny_folder), "steps": 2}
    config = make_config(str(path), run | {"dtype": "float32", "split": ["random"], "out": str(tmp_path / "out")})
    settings = Settings(starts=(*ALWAYS, "shuffled symbols"), sizes=(5, 10), seeds=1, probed=10)
    context = study.prepare(config, settings, Reporter())
    found = study.conclude(context, contents_of(study, context))
    assert set(found.tables["layers"]["property"]) == {"target", "tokens of the row"}


def test_a_budget_takes_seeds_and_sizes(chains, tiny_folder):
    context = context_of(chains, tiny_folder, sizes=(5, 10, 20), seeds=4)
    timed = Probe({"ngram-ridge": ((40, 0.1),)}, 0.0, {"lm-head": 0.5}, {"lm-head": 0.01}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1, "float32"), timed)
    smaller = fit_budget(context, Machine(1, "float32"), timed, whole / 3, study.BUDGET)
    assert study.BUDGET.seconds(smaller, Machine(1, "float32"), timed) <= whole / 3
    assert smaller.settings.seeds < 4
    assert smaller.settings.starts == context.settings.starts
    assert smaller.settings.probed == 0
    assert "what each layer knows" in smaller.left_out


def test_bad_settings_are_one_line():
    with pytest.raises(InputError, match="start 'pretrain'"):
        Settings(starts=("pretrain",))
    with pytest.raises(InputError, match="the study takes one"):
        Settings(split=("random", "scaffold"))
    with pytest.raises(InputError, match="two or more"):
        Settings(sizes=(20,))


def test_the_command_goes_from_table_to_page_and_back(chains, tiny_folder):
    out = chains.parent / "before"
    command = ("study", "pretraining", chains, "--smiles", "SMILES", "--target", "value", "--sizes", "5,20")
    more = ("--seeds", 1, "--probed", 10, "--model", tiny_folder, "--steps", 2, "--dtype", "float32", "--bins", 2)
    done = chemtune(*command, *more, "--out", out, cwd=chains.parent)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "what is learned before the first label?" in page
    assert set(pd.read_csv(out / "metrics.csv")["metric"]) == {"auroc", "log_loss", "accuracy"}
    again = chemtune("report", out, cwd=chains.parent)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
