"""One arm fitted on all rows of a table, with the residuals and the domain that its predictions need."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import arms_of
from pipeline.arms.ladder import BLENDS, MEANS, fit_arm, is_language_model, mean_of, reads_notation
from pipeline.errors import InputError, unknown
from pipeline.evaluation.blending import Share, chosen_blend, share_said
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.intervals import (
    DEFAULT_LEVEL,
    DISTANCE,
    METHODS,
    SPREAD,
    calibrated_coverage,
    interval_method,
)
from pipeline.evaluation.metrics import LABELS, PRIMARY
from pipeline.evaluation.numbers import number
from pipeline.features.inputs import ReactionInput
from pipeline.features.notations import CANONICAL, other_spellings
from pipeline.features.similarity import nearest_neighbours
from pipeline.models.about import about_language_model, about_model
from pipeline.models.card import temperature_said, threshold_said
from pipeline.models.chances import held_out_chances
from pipeline.models.conditions import Conditions
from pipeline.models.folder import SavedModel
from pipeline.named import is_own
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine, binned_all, this_machine
from pipeline.runs.fits import new_arm, starting_adapter
from pipeline.runs.held_out import held_out_predictions, predicted_by, validation_score
from pipeline.runs.prepare import cleaned
from pipeline.settings.run import RunConfig
from pipeline.settings.threshold import EVEN, Rule
from pipeline.splits.groups import twin_groups
from pipeline.splits.splitters import fold_numbers, hold_out
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.reaction_table import component_column
from pipeline.tables.reading import RawTable
from pipeline.tables.table import STRUCTURE, Table
from pipeline.tables.targets import CLASSES

CALIBRATION_FOLDS = 5
LEAST_RESPELLED = 10  # held-out molecules with another SMILES, from which on a score is given
CALIBRATION_SHARE = 0.2  # held out once where an arm takes minutes to train


def fit_model(
    config: RunConfig,
    arm: str,
    reporter: Reporter,
    finished: FinishedRun | None = None,
    raw: RawTable | None = None,
) -> SavedModel:
    """Fit ``arm`` on all rows of the table that ``config`` names; it is read unless ``raw`` already holds it.

    The scores of a finished run over the same table go into the model's card.

    Baselines are calibrated by out-of-fold predictions over groups of twins; arms with a language
    model by one group hold-out, after which they are trained again on all rows.

    Raises
    ------
    InputError
        For an unknown arm or a table from which nothing can be learned.
    """
    order = arms_of(config.kind)
    if is_own(arm):
        raise InputError(f"arm {arm!r} is your own: it is compared in a run, and not kept in a file")
    if arm not in order:
        raise unknown("arm", arm, order)
    # A run leaves out the rows that one of its arms cannot take: the model is fitted on the rows that were judged.
    context = cleaned(config, [arm, *config.arms] if finished else [arm], reporter, raw)
    machine = this_machine(config, (arm,), reporter)
    table, X, y = context.table, context.table.inputs, context.table.targets
    edges: list[float] = []
    if config.bins:
        y, edges = binned_all(y, config.bins)
    scores = finished.scores(arm, table.fingerprint()) if finished else []
    if finished and not scores:
        reporter.say(f"Warning: {finished.folder} has no score of {arm} on these rows; none goes into the model card.")
    groups = twin_groups(table)
    residuals, calibration = calibrate(context, machine, arm, X, y, groups)
    # Arrays: they go beside the residuals, not into model.json.
    difficulty, of_residuals = calibration.pop("difficulty", {}), calibration.pop("groups", None)
    if "share" in calibration:
        reporter.say(share_said(arm, calibration["share"]))
    if "temperature" in calibration:
        reporter.say(temperature_said(calibration["temperature"]))
    if "threshold" in calibration:
        reporter.say(threshold_said(calibration["threshold"]))
    reporter.say(f"{arm} on all {len(y)} {table.rows_are}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; the result is scored
        sides = table.censoring(list(X.index))
        model = fit_arm(
            new_arm(context, machine, arm, config.seed, f"{arm} on all rows"), X, y.to_numpy(), groups, sides
        )
    if "share" in calibration:
        model.share = calibration["share"]["value"]
    otherwise = finished.measured_with(arm, config, calibration, len(table)) if finished and scores else []
    about = _about(context, machine, arm, calibration, scores, otherwise, edges)
    domain = Domain.fit(list(X[STRUCTURE]), groups, table.kind, list(table.frame["identity"]))
    return SavedModel(model, about, domain, residuals, difficulty, of_residuals)


def _about(
    context: Context,
    machine: Machine,
    arm: str,
    calibration: dict[str, Any],
    scores: list[dict[str, Any]],
    otherwise: list[str],
    edges: list[float],
) -> dict[str, Any]:
    """What the folder of a model says of it."""
    config, table = context.config, context.table
    return about_model(
        arm=arm,
        task=context.task,
        classes=context.classes,
        target=config.target,
        rows=table.kind.name,
        template=context.template,
        context=table.context,
        conditions=Conditions.of(table),
        n_train=len(table),
        seed=config.seed,
        source=Path(config.table).name,
        fingerprint=table.fingerprint(),
        smiles=config.structure,
        largest_fragment=config.largest_fragment,
        refused=len(table.refused),
        scale=table.scale,
        possible=table.possible,
        bounds={"use": table.bounds, "n": table.bounded},
        language_model=(
            about_language_model(config.model, machine.dtype, *context.layers(arm), starting_adapter(context, arm))
            if is_language_model(arm)
            else None
        ),
        calibration=calibration,
        scores=scores,
        measured_with=otherwise,
        bin_edges=edges,
        reactions=_reaction_input(config, table) if table.components else None,
        notations=config.representation if reads_notation(arm) and table.kind is MOLECULES else (),
    )


def _reaction_input(config: RunConfig, table: Table) -> ReactionInput:
    """How the table's rows were read, for those to come."""
    given = tuple(map(component_column, config.components))
    return ReactionInput(config.reaction, given, table.components, table.names)


def calibrate(
    context: Context, machine: Machine, arm: str, X: pd.DataFrame, y: pd.Series, groups: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Residuals on rows held out of a fit, and what was learned of the arm on the same rows.

    Returns
    -------
    residuals : ndarray of shape (rows,)
        Truth minus prediction; empty for classes.
    calibration : dict
        How it was done, a score, what another spelling of the same molecules does to it, of a blend the share of the
        language model, for classes what `held_out_chances` says, and for numbers what `interval_method` says, its
        coverage, the ``groups`` of the residuals, numbered, and their ``difficulty`` by each signal that it chose from.
    """
    strata = y.to_numpy() if context.task == CLASSES else np.zeros(len(y))
    if is_language_model(arm):
        masks = [hold_out(groups, strata, CALIBRATION_SHARE, context.config.seed)]
        how = f"held out of a first training on the other {int((~masks[0]).sum())}"
    else:
        k = min(CALIBRATION_FOLDS, len(set(groups)))
        numbers = fold_numbers(groups, strata, k, context.config.seed)
        masks = [numbers == number for number in range(k)]
        how = f"out of fold in {k} folds, variants of one structure together"
    if context.task == CLASSES:
        masks = [held for held in masks if len(set(strata[~held])) == len(context.classes)]

    found, signals, respelled, share = _held_out(context, machine, arm, masks, X, y, groups)
    known = np.isfinite(found[:, 0]) & context.table.exact.to_numpy()
    scored = found if context.task == CLASSES else found[:, 0]
    value = abs(validation_score(list(scored[known]), y[known], context.task, context.classes)) if known.any() else None
    calibration = {"how": how, "n": int(known.sum()), "metric": LABELS[PRIMARY[context.task]], "value": value}
    calibration |= _by_spelling(context, found, respelled, known, y) | ({"share": asdict(share)} if share else {})
    if context.task == CLASSES:
        of_chances = held_out_chances(
            found[known],
            y.to_numpy()[known],
            groups[known],
            context.classes,
            context.positive,
            context.config.threshold,
            context.config.seed,
        )
        return np.zeros(0), calibration | of_chances
    residuals = (y.to_numpy(dtype=np.float64) - found[:, 0])[known]
    difficulty = {name: values[known] for name, values in signals.items()}
    method = interval_method(residuals, difficulty, groups[known])
    quarters = calibrated_coverage(residuals, difficulty, groups[known], method)
    return residuals, calibration | {
        "interval": method,
        "interval_is": METHODS[method],
        "coverage": {"level": DEFAULT_LEVEL, "quarters": quarters},
        "difficulty": difficulty,
        "groups": np.unique(groups[known].astype(str), return_inverse=True)[1],
    }


def _by_spelling(
    context: Context, found: np.ndarray, respelled: np.ndarray, known: np.ndarray, y: pd.Series
) -> dict[str, Any]:
    """The score on held-out molecules from their canonical SMILES and from another one; nothing where an arm reads no
    text, or too few molecules have another one."""
    both = known & np.isfinite(respelled[:, 0])
    if both.sum() < LEAST_RESPELLED:
        return {}
    scores = [
        abs(
            validation_score(
                list(one if context.task == CLASSES else one[:, 0]), y[both], context.task, context.classes
            )
        )
        for one in (found[both], respelled[both])
    ]
    return {"spelling": {"n": int(both.sum()), "canonical": scores[0], "other": scores[1]}}


def _respelled(context: Context, X: pd.DataFrame) -> np.ndarray | None:
    """Another SMILES of each molecule, empty where there is none; None where models are not shown canonical SMILES.
    Shape (n,)."""
    if context.table.kind is not MOLECULES or context.config.representation != (CANONICAL,):
        return None
    seed = context.config.seed
    others = [next(iter(other_spellings(str(smiles), 1, seed)), "") for smiles in X[STRUCTURE]]
    return np.array(others, dtype=object)


def _held_out(
    context: Context,
    machine: Machine,
    arm: str,
    masks: Sequence[np.ndarray],
    X: pd.DataFrame,
    y: pd.Series,
    groups: np.ndarray,
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, Share | None]:
    """Predictions of the rows of each mask by a fit on the others, of numbers the signals of difficulty, predictions
    from another SMILES of each molecule, and of a blend the share of the language model.

    The signals are the distance to the rows of that fit, and for a mean of baselines the spread of its members.
    Shapes (n, 1), or (n, classes), (n,) each, and as the first; NaN where no mask holds a row, or there is no other
    SMILES or no arm that reads text.
    """
    several = arm in BLENDS or (arm in MEANS and context.task != CLASSES)
    read = [member for member in (MEANS[arm] if several else (arm,)) if reads_notation(member)]
    respelled = np.full((len(X), len(context.classes) if context.task == CLASSES else 1), np.nan)
    others = _respelled(context, X) if read else None

    def held_out(member: str) -> np.ndarray:
        def make(number: int) -> Any:
            held, label = masks[number], f"calibration {number + 1}/{len(masks)}"
            who = f"{member} of {arm}" if several else arm
            machine.reporter.say(
                f"{who}, {label}: {int((~held).sum())} {context.table.rows_are}, {int(held.sum())} held out"
            )
            return new_arm(context, machine, member, context.config.seed, label)

        def seen(model: Any, held: np.ndarray) -> None:
            assert others is not None
            rows = held & (others != "")
            if rows.any():
                respelled[rows] = predicted_by(context, model, X[rows].assign(**{STRUCTURE: others[rows]}))

        respells = member in read and others is not None
        return held_out_predictions(context, masks, make, X, y, groups, seen if respells else None)

    members, share = [held_out(member) for member in (MEANS[arm] if several else (arm,))], None
    found = mean_of(members)
    if arm in BLENDS:
        found, respelled, share = _blended(context, members, respelled, y, groups)
    if context.task == CLASSES:
        return found, {}, respelled, share
    structures, distance = X[STRUCTURE].to_numpy(dtype=object), np.full(len(X), np.nan)
    for mask in masks:
        distance[mask] = 1 - nearest_neighbours(list(structures[mask]), list(structures[~mask]), context.table.kind)[0]
    signals = {DISTANCE: distance}
    if several and arm not in BLENDS:
        signals[SPREAD] = np.std(np.stack(members), axis=0)[:, 0]
    return found, signals, respelled, share


def _blended(
    context: Context, members: Sequence[np.ndarray], respelled: np.ndarray, y: pd.Series, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Share | None]:
    """What a blend predicts of held-out rows, and from another SMILES of them, where its second member alone reads
    that; and the share of that member."""
    classes = context.classes if context.task == CLASSES else ()
    first, second = members if classes else (member[:, 0] for member in members)
    exact = context.table.exact.to_numpy()
    share, predicted = chosen_blend(first, second, y.to_numpy(), groups, exact, context.config.seed, classes)
    other = mean_of([members[0], respelled], share.value if share else None)
    return predicted.reshape(respelled.shape), other, share


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a finished run and its ``run.json``."""

    folder: Path
    info: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """Raise `InputError` if the folder holds no finished run."""
        try:
            info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if not (isinstance(info, dict) and all(info.get(key) for key in ("settings", "task", "verdicts"))):
                raise ValueError("it lacks settings, task or verdicts")
        except (OSError, ValueError) as error:
            below = sorted(path.parent.name for path in folder.glob("*/run.json"))
            if below:
                raise InputError(
                    f"{folder}: holds one run per target; give one of them: "
                    f"{', '.join(str(folder / name) for name in below)}"
                ) from error
            raise InputError(f"{folder}: not the folder of a finished run (no readable run.json)") from error
        return cls(folder, info)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run, as `RunConfig` has them.

        Raises
        ------
        InputError
            For a setting that there is not: another version of chemtune made the run.
        """
        settings, known = dict(self.info["settings"]), {field.name for field in fields(RunConfig)}
        strange = next((name for name in settings if name not in known), None)
        if strange is not None:
            raise InputError(
                f"{self.folder}: the run has a setting {strange!r}, which this version of chemtune does not know; "
                "make the run again with this version"
            )
        if not (settings.get("reaction") or settings.get("components")):
            settings.pop("yield_unit", None)  # earlier versions wrote one for molecules, too
        return settings

    def best_arm(self, split: str = "") -> tuple[str, str]:
        """The arm that a verdict says to use, and the sentence that says which verdict that is.

        Parameters
        ----------
        split : str
            Whose verdict to follow; if empty that of the hardest split tested: the one whose test rows are, by their
            median similarity, least like the training rows.

        Raises
        ------
        InputError
            For a split that was not tested, or if its verdict names no arm.
        """
        answers: dict[str, str | None] = {verdict["split"]: verdict["use"] for verdict in self.info["verdicts"]}
        if split and split not in answers:
            raise unknown(f"split in {self.folder}", split, answers)
        arm = next(iter(answers.values()))
        if arm and len(answers) > 1 and set(answers.values()) == {arm}:
            return arm, f"Arm {arm}: what the verdicts on all splits tested ({', '.join(answers)}) say to use."
        followed = split or self._hardest_split(list(answers))
        arm = answers[followed]
        if arm is None:
            raise self._no_arm(followed, answers)
        others = {name: use for name, use in answers.items() if name != followed}
        listed = ", ".join(f"{name} says {use}" if use else f"{name} names no arm" for name, use in others.items())
        sentence = f"Arm {arm}: what the verdict on the {followed} split says to use{f' ({listed})' if listed else ''}"
        beyond = self._beyond_an_edge(followed)
        if split or not others:
            return arm, f"{sentence}.{beyond}"
        other = next((name for name, use in others.items() if use not in (None, arm)), None)
        if other:
            sentence += f"; --split {other} follows that {'one' if len(others) == 1 else f'of {other}'}"
        return arm, f"{sentence}. {self._why_hardest(followed)}{beyond}"

    def _beyond_an_edge(self, split: str) -> str:
        """What the verdict on a split that tests one end of an order does not say of a model of all rows."""
        order = next((card.get("order") for card in self.info.get("splits") or [] if card["name"] == split), None)
        if not order:
            return ""
        return (
            f" That split tests the {order}, beyond the training rows. The intervals of a model of all rows are made "
            "for rows like those of the table, and are too narrow further out."
        )

    def _no_arm(self, split: str, answers: Mapping[str, str | None]) -> InputError:
        sentence = next(verdict["sentence"] for verdict in self.info["verdicts"] if verdict["split"] == split)
        named = ", ".join(f"{name} ({use})" for name, use in answers.items() if use)
        instead = f", or follow the verdict on another split with --split: {named}" if named else ""
        return InputError(
            f"{self.folder}: the verdict on the {split} split names no arm to use ({sentence}); name one yourself with "
            f"--arm{instead}"
        )

    def _median_similarities(self) -> dict[str, float]:
        """By split: the median over the test rows of the similarity to the nearest training row."""
        cards = self.info.get("splits") or []
        return {card["name"]: float(card["similarity"][1]) for card in cards if card.get("similarity")}

    def _hardest_split(self, names: Sequence[str]) -> str:
        """Of equally hard ones the last, since a ladder goes from easy to hard."""
        if len(names) == 1:
            return names[0]
        medians = self._median_similarities()
        if not set(names) <= set(medians):
            raise InputError(
                f"{self.folder}: it does not say how hard its splits are; say with --split whose verdict to follow: "
                f"{', '.join(names)}"
            )
        return min(reversed(names), key=lambda name: medians[name])

    def _why_hardest(self, split: str) -> str:
        medians = self._median_similarities()
        others = ", ".join(f"{name} {value:.2f}" for name, value in medians.items() if name != split)
        return (
            f"Of the splits tested {split} is the hardest: its test rows are the least similar to their nearest "
            f"training rows (median {medians[split]:.2f}; {others})."
        )

    def measured_with(self, arm: str, config: RunConfig, calibration: Mapping[str, Any], n: int) -> list[str]:
        """What the arm's scores were measured with where a model of all rows has something else, in words.

        Parameters
        ----------
        config : RunConfig
            Of the model.
        calibration : mapping
            As `calibrate` gives it.
        n : int
            Rows that the model is trained on.
        """
        share, answer = self._other_share(arm, calibration), self._other_answer(arm, config, calibration)
        return [*share, *answer, *self._other_rows(n)]

    def _other_share(self, arm: str, calibration: Mapping[str, Any]) -> list[str]:
        """Of a blend, how much the second arm makes."""
        if arm not in BLENDS:
            return []
        (first, second), cells = MEANS[arm], [cell for cell in self.info.get("cells", []) if cell["arm"] == arm]
        alike, share = sum("share" not in cell for cell in cells), calibration.get("share")
        if share and alike:
            where = "" if alike == len(cells) else f" in {alike} of {len(cells)} divisions"
            return [f"equal shares of {first} and {second}{where} (here {share['value']:.0%} of {second})"]
        if not share and alike < len(cells):
            return [f"a chosen share of {second} (here equal shares of {first} and {second})"]
        return []

    def _other_answer(self, arm: str, config: RunConfig, calibration: Mapping[str, Any]) -> list[str]:
        """Of two classes, from which probability on one is the answer."""
        threshold = calibration.get("threshold")
        asked = self.settings.get("threshold", EVEN)
        unchosen = is_language_model(arm) and not self.settings.get("calibrate_lm")  # it had no held-out rows
        judged = EVEN if Rule.of(asked).chosen and unchosen else asked
        if self.info["task"] != CLASSES or (Rule.of(judged).even and not threshold):
            return []
        if Rule.of(judged) != Rule.of(config.threshold):
            how = "a chosen threshold" if Rule.of(judged).chosen else f"a threshold of {judged}"
            return [f"{how} (here {number(threshold['value']) if threshold else EVEN})"]
        if not Rule.of(judged).chosen and calibration["temperature"]["value"] is not None:
            return [f"the threshold of {judged} on probabilities that were not calibrated (here they are)"]
        return []

    def _other_rows(self, n: int) -> list[str]:
        most = int(self.settings.get("n_train") or 0)
        return [f"at most {most} training rows of each division (here {n})"] if 0 < most < n else []

    def scores(self, arm: str, fingerprint: str) -> list[dict[str, Any]]:
        """The arm's main metric on each split; empty if the run was over another table."""
        if self.info.get("table") != fingerprint:
            return []
        metrics = pd.read_csv(self.folder / "metrics.csv")
        metric = PRIMARY[self.info["task"]]
        rows = metrics[(metrics["arm"] == arm) & (metrics["metric"] == metric)]
        kept = rows[["split", "value", "low", "high", "n"]].to_dict("records")
        return [
            {"run": self.folder.name, "metric": LABELS[metric], **{str(key): value for key, value in row.items()}}
            for row in kept
        ]
