"""Training a language model further on what it writes, by a verifier's reward.

In each round it writes molecules for the value that was asked for. By expert iteration those that the verifier accepts
are trained on, with molecules of the table beside them; by policy gradient it writes about as many again in groups, and
each of these makes a step. However it was rewarded, it is judged by the oracle, on molecules that it was not trained
on: what was accepted in an earlier round counts as written before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple
from math import ceil
from typing import Any

import numpy as np

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE
from pipeline.arms.writing import MoleculeWriter
from pipeline.cells.cell import Cell, measured
from pipeline.design.experiment import Experiment
from pipeline.design.settings import BY_TRUTH, GRADIENT, LM, NEAR, OF_HITS, OF_MODEL
from pipeline.design.work import BATCH, look_at, of_judge, of_table, start_of, tuned_writer
from pipeline.features.structures import morgan_bits, nearest_rows, tanimoto
from pipeline.proposing.drawing import NEW, Draw, Sieve
from pipeline.proposing.measures import diversity
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.studies.negatives.judges import LINE, NEIGHBOURS, familiarity
from pipeline.studies.oracle import Truth, inputs_of_oracle
from pipeline.tables.molecules import molecule_identity

WORK = "pipeline.design.reinforce:reinforce"
# Of each round of expert iteration. With 80 steps on eight accepted molecules and as many of the table the model wrote
# these eight and little else (113 of 192 texts were new before, 9 after).
EPOCHS, RATE = 4, 5e-4
LEAST_BESIDE = 64  # molecules of the table that are trained on with the accepted ones, or as many as those if more
GROUP, GRADIENT_RATE = 64, 2e-4  # texts of each step by policy gradient
LOOKED_AT = 64  # molecules of each round whose true value is asked for, however they were rewarded
Reward = Callable[[Sequence[Draw]], np.ndarray]


def cells(experiment: Experiment, machine: Machine) -> list[Cell]:
    """One for each training seed: all rewards begin with the same training."""
    asked = experiment.settings
    inputs = of_table(experiment, WORK, *LANGUAGE_MODEL_CODE) | {
        "language_model": language_model_inputs(experiment.context, machine),
        "settings": [asked.generator_steps, asked.notation, asked.rounds, asked.samples],
        "rewards": asked.rewards,
        "start": start_of(experiment),
        "goal": astuple(experiment.goals[0]),
        "oracle": inputs_of_oracle(experiment.context),
    }
    if {OF_MODEL, NEAR} & {name.removesuffix(GRADIENT) for name in asked.rewards}:
        inputs |= of_judge(experiment)
    return [
        Cell(
            WORK,
            {"arm": LM, "seed": seed},
            inputs | {"seed": experiment.seed + seed},
            (),
            f"reinforced, seed {seed}",
            True,
        )
        for seed in range(asked.lm_seeds)
    ]


def reinforce(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rounds of writing, judging and training for each reward.

    ``rounds`` holds for each reward a list, one for the start and one for each round: how many were ``written``, how
    many of them are ``new`` (neither in the table nor trained on in an earlier round), how many of those were
    ``accepted``; ``looked_at`` draws with their true value; the ``diversity`` of the new ones and the ``divergence``
    from the start in nats; ``texts`` and ``calls``, how much was written and how many molecules the oracle was asked
    about so far, training included.
    """
    made: dict[str, Any] = {}
    experiment = Experiment(context)
    with measured(made):
        begun = tuned_writer(experiment, machine, LM, cell.tags["seed"], cell.label)
        made["rounds"] = {
            name: _rounds(experiment, machine, copy.copy(begun), name, cell) for name in cell.inputs["rewards"]
        }
    return made


def _rounds(
    experiment: Experiment, machine: Machine, writer: MoleculeWriter, name: str, cell: Cell
) -> list[dict[str, Any]]:
    truth, begun = experiment.truth(machine, f"{cell.label}, {name}"), copy.copy(writer)
    writer.out_, writer.value_ = copy.deepcopy(writer.out_), copy.deepcopy(writer.value_)
    reward, rng = _reward(experiment, machine, truth, name), np.random.default_rng([cell.inputs["seed"], 7])
    kept: dict[str, None] = {}  # SMILES that were trained on or are about to be
    texts, found = 0, []
    for number in range(experiment.settings.rounds + 1):
        draws = _written(experiment, writer, kept)
        fresh = [draw for draw in draws if draw["status"] == NEW]
        accepted = reward(fresh)
        texts += len(draws)
        judged = _judged(experiment, truth, draws, fresh, accepted, rng) | _apart(experiment, begun, writer, fresh)
        found.append(judged | {"texts": texts, "calls": len(truth.asked)})
        if number < experiment.settings.rounds:
            if name.endswith(GRADIENT):
                texts += _climb(experiment, writer, reward, kept)
            else:
                kept |= _good(fresh, accepted)
                if kept:
                    _train(experiment, writer, list(kept), rng)
        writer.seed += 1
    return found


def _good(draws: Sequence[Draw], accepted: np.ndarray) -> dict[str, None]:
    """The SMILES of those that were accepted, in order."""
    return dict.fromkeys(draw["smiles"] for draw, good in zip(draws, accepted, strict=True) if good)


def _climb(experiment: Experiment, writer: MoleculeWriter, reward: Reward, kept: dict[str, None]) -> int:
    """Steps by policy gradient on about as many molecules as a round has; how many were written for them.

    What is no new molecule has no reward. Those that have one are put into ``kept``, and have none in a later step.
    """

    def rewards(asked: float, texts: list[str]) -> np.ndarray:
        draws = _sieve(experiment, kept).read_all(texts)
        fresh = [draw for draw in draws if draw["status"] == NEW]
        good = _good(fresh, reward(fresh))
        kept.update(good)
        return np.array([float(draw["status"] == NEW and draw["smiles"] in good) for draw in draws])

    group = min(GROUP, experiment.settings.samples)
    steps = max(1, experiment.settings.samples // group)
    writer.improve([[experiment.asking(LM, experiment.goals[0])]] * steps, rewards, group, GRADIENT_RATE)
    return steps * group


def _sieve(experiment: Experiment, kept: Collection[str]) -> Sieve:
    """A reader of what is written for which these molecules were written before."""
    return experiment.sieve(written=True, seen=[molecule_identity(smiles) for smiles in kept])


def _written(experiment: Experiment, writer: MoleculeWriter, kept: Collection[str]) -> list[Draw]:
    """What it writes for the value asked for, at temperature 1; what was trained on counts as written before."""
    sieve, count = _sieve(experiment, kept), experiment.settings.samples
    asking = experiment.asking(LM, experiment.goals[0])
    return sieve.read_all([text for _, text in writer.texts(asking, [1.0], lambda texts: len(texts) >= count)][:count])


def _train(experiment: Experiment, writer: MoleculeWriter, kept: list[str], rng: np.random.Generator) -> None:
    """Go on with the molecules that were accepted, stating the value that was asked for, and some of the table."""
    kept = [smiles for smiles in kept if writer.can_write(smiles)]
    places = rng.permutation(len(experiment.smiles))[: max(len(kept), LEAST_BESIDE)]
    asked, values = experiment.asking(LM, experiment.goals[0]), experiment.stated(LM, 0)
    stated = [asked] * len(kept) + values[places].tolist()
    steps = ceil(EPOCHS * len(stated) / BATCH)
    writer.fit_again(stated, kept + [experiment.smiles[place] for place in places], steps, RATE)


def _judged(
    experiment: Experiment,
    truth: Truth,
    draws: Sequence[Draw],
    fresh: list[Draw],
    accepted: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What of a round is reported: some of the new molecules, drawn at random, have their true value looked up."""
    places = np.sort(rng.permutation(len(fresh))[:LOOKED_AT])
    looked_at = [dict(fresh[place]) | {"accepted": bool(accepted[place])} for place in places]
    look_at(truth, looked_at)
    smiles = [draw["smiles"] for draw in fresh]
    known = nearest_rows(morgan_bits(smiles), morgan_bits(experiment.smiles))[0] if smiles else np.zeros(0)
    return {
        "written": len(draws),
        "new": len(fresh),
        "accepted": int(accepted.sum()),
        "looked_at": looked_at,
        "diversity": diversity(smiles),
        "similarity": float(known.mean()) if len(known) else float("nan"),
    }


def _apart(
    experiment: Experiment, begun: MoleculeWriter, writer: MoleculeWriter, fresh: Sequence[Draw]
) -> dict[str, float]:
    """How far the model is from where it began: the mean over what it writes of the difference of log-probabilities,
    which is the Kullback-Leibler divergence on molecules that can be read."""
    smiles = [draw["smiles"] for draw in fresh if writer.can_write(draw["smiles"])][:LOOKED_AT]
    if not smiles or writer.adapter_ is begun.adapter_:
        return {"divergence": 0.0 if smiles else float("nan")}
    asking = experiment.asking(LM, experiment.goals[0])
    now, before = (one.log_probabilities(asking, smiles) for one in (writer, begun))
    return {"divergence": float((now - before).mean())}


def _reward(experiment: Experiment, machine: Machine, truth: Truth, name: str) -> Reward:
    """What accepts molecules. Shape (n,), bool."""
    goal = experiment.goals[0]

    def by_truth(draws: Sequence[Draw]) -> np.ndarray:
        return goal.is_hit(truth.numbers([draw["smiles"] for draw in draws]))

    def by_model(draws: Sequence[Draw]) -> np.ndarray:
        model, smiles = experiment.judge(machine.reporter), [draw["smiles"] for draw in draws]
        good = goal.is_hit(experiment.predicted(model, smiles)) if smiles else np.zeros(0, dtype=bool)
        if name == NEAR and smiles:
            good &= model.domain.nearest(smiles)[0] >= model.domain.threshold
        return good

    def by_hits(draws: Sequence[Draw]) -> np.ndarray:
        smiles = [draw["smiles"] for draw in draws]
        hits = [text for text, good in zip(experiment.smiles, goal.is_hit(experiment.values), strict=True) if good]
        if len(hits) <= NEIGHBOURS or not smiles:
            return np.zeros(len(smiles), dtype=bool)
        known = morgan_bits(hits)
        alike = tanimoto(known, known)
        np.fill_diagonal(alike, 0.0)
        line = float(np.quantile(familiarity(alike), LINE))
        return familiarity(tanimoto(morgan_bits(smiles), known)) >= line

    kinds = {BY_TRUTH: by_truth, OF_MODEL: by_model, NEAR: by_model, OF_HITS: by_hits}
    return kinds[name.removesuffix(GRADIENT)]
