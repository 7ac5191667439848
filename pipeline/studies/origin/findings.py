"""What the study of origins says: how often sources are recognised, and errors with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import CONTROLS
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import LEVEL, Estimate, holm
from pipeline.evaluation.metrics import RANGE, divide, row_errors
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import SHARE, UNBOUNDED, interval_over_seeds, over_seeds
from pipeline.runs.context import Context
from pipeline.runs.origins import losses
from pipeline.splits.splitters import Split
from pipeline.studies.words import RESAMPLES, error_of
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

PREDICTED, TRUE = "predicted source alone", "true source alone"
PERMUTED, DEALT = "sources of other rows", "labels of other sources"  # the nulls
ALONE = {
    PREDICTED: "the mean label of the training rows of the source that the structure gives away",
    TRUE: "the mean label of the training rows of the source that the row has: the bound of the one above",
    PERMUTED: "the same as the predicted source, with the sources of the table dealt to other rows",
    DEALT: "the predicted source, with the mean label of another source: nothing to gain",
}
RANDOM = "random"
LEAST_REPEATS_FOR_NULL = 3
RECOGNISED, TOLD, LEARNED, TOLD_APART, LEARNED_APART = "recognised", "told", "learned", "told apart", "learned apart"


def sources_of(table: Table, column: str) -> pd.Series:
    """The source of each row, by ``row_id``."""
    return table.cells[column].loc[table.frame["row_id"]]


def structured(context: Context) -> list[str]:
    """The arms that are shown a structure."""
    return [arm for arm in context.arms if arm not in CONTROLS.values() and not ARMS[arm].structureless]


@dataclass(frozen=True)
class Findings:
    """Out-of-fold predictions of all rows, by split, arm and repeat.

    Attributes
    ----------
    contents : sequence of mapping
        The results of all cells.
    """

    context: Context
    contents: Sequence[Mapping[str, Any]]

    def repeats(self, split: str = RANDOM) -> range:
        """The repeats of a split: fewer where whole sources can be dealt to folds in few ways."""
        return range(min(self.context.settings.repeats, self.context.split_named(split).repeats))

    @property
    def control(self) -> str:
        """The constant."""
        return CONTROLS[self.context.task]

    @property
    def compared(self) -> list[str]:
        return structured(self.context)

    @property
    def main(self) -> str:
        """The arm that the source is compared with: the first one that was named."""
        return next((arm for arm in self.context.settings.arms if arm in self.compared), self.compared[0])

    @property
    def apart(self) -> Split | None:
        """The split by whole sources; None where none can be made."""
        return self.context.splits[1] if len(self.context.splits) > 1 else None

    @cached_property
    def rows(self) -> list[str]:
        """The rows whose target is a value, and not a bound."""
        exact = self.context.table.exact
        return list(exact.index[exact])

    @cached_property
    def sources(self) -> np.ndarray:
        """The source of each row. Shape (n,)."""
        found: np.ndarray = sources_of(self.context.table, self.context.settings.origin).loc[self.rows].to_numpy()
        return found

    @cached_property
    def molecules(self) -> np.ndarray:
        """The group of variants of one structure that each row belongs to. Shape (n,)."""
        groups = self.context.splits[0].groups
        return np.array([groups[row] for row in self.rows], dtype=object)

    def groups(self, split: str) -> np.ndarray:
        """What is drawn whole: molecules where they were dealt to folds, else sources. Shape (n,)."""
        return self.molecules if split == RANDOM else self.sources

    def weights(self, split: str) -> np.ndarray:
        """The rows as they are, then resamples of their groups. Shape (1 + resamples, n)."""
        return self.context.once(("weights", split == RANDOM, "origin"), lambda: self._weights(self.groups(split)))

    def _weights(self, groups: np.ndarray) -> np.ndarray:
        return np.vstack([np.ones((1, len(groups))), group_weights(groups, self.context.config.seed, RESAMPLES)])

    @cached_property
    def _by_row(self) -> dict[tuple[str, str, int], pd.DataFrame]:
        """The predictions of each split, arm and repeat as columns ``p0``, ..., by row; with ``truth`` and ``error``,
        and where a source was asked for ``found`` and ``hit``."""
        parts: dict[tuple[str, str, int], list[pd.DataFrame]] = {}
        for content in self.contents:
            tags = content["tags"]
            _, fold = self.context.division(tags)
            truth = self.context.targets(fold).loc[list(fold.test)].to_numpy()
            for name, said in content["said"].items():
                predicted = np.array(said)
                part = pd.DataFrame(predicted.reshape(len(truth), -1), index=list(fold.test)).add_prefix("p")
                part["truth"], part["fold"], part["cell_id"] = truth, fold.fold, content["id"]
                part["error"] = row_errors(truth, predicted, self.context.classes)
                part["loss"] = losses(truth, predicted, self.context.classes)
                if name in (PREDICTED, PERMUTED):
                    part["found"], part["hit"] = content["found"], np.equal(content["found"], content["given"])
                    part["given"] = content["given"]
                parts.setdefault((tags["split"], name, tags["repeat"]), []).append(part)
        return {key: pd.concat(found).loc[self.rows] for key, found in parts.items()}

    def arms(self, split: str) -> list[str]:
        """What was scored on a split, the constant first and the nulls last."""
        there = {arm for name, arm, _ in self._by_row if name == split}
        ordered = [self.control, *(arm for arm in self.context.arms if arm != self.control), *ALONE]
        return [arm for arm in ordered if arm in there]

    # -- scores, each of shape (1 + resamples,) for every repeat --

    def _mean(self, values: np.ndarray, by: str) -> np.ndarray:
        weights = self.weights(by)
        return divide(weights @ values.astype(np.float64), weights.sum(axis=1))

    def error_scores(self, split: str, arm: str, by: str = "", of: str = "error") -> list[np.ndarray]:
        """The mean error, or loss, in resamples of the groups of this split, or of another one."""
        return [
            self._mean(self._by_row[split, arm, repeat][of].to_numpy(), by or split) for repeat in self.repeats(split)
        ]

    def hit_scores(self, what: str) -> list[np.ndarray]:
        """The share of rows whose source is recognised, on random folds."""
        return [self._mean(self._hits(what, repeat), RANDOM) for repeat in self.repeats()]

    def _hits(self, what: str, repeat: int) -> np.ndarray:
        hits: np.ndarray = self._by_row[RANDOM, what, repeat]["hit"].to_numpy().astype(np.float64)
        return hits

    def recall_scores(self, what: str) -> list[np.ndarray]:
        """The mean over sources of the share of their rows that is recognised."""
        weights, found = self.weights(RANDOM), []
        for repeat in self.repeats():
            given = self._by_row[RANDOM, what, repeat]["given"].to_numpy().astype(str)
            own = (given[:, None] == np.unique(given)[None, :]).astype(np.float64)
            found.append(np.nanmean(divide(weights @ (own * self._hits(what, repeat)[:, None]), weights @ own), axis=1))
        return found

    @cached_property
    def floor_scores(self) -> np.ndarray:
        """The share of the largest source. Shape (1 + resamples,)."""
        names, counts = np.unique(self.sources.astype(str), return_counts=True)
        return self._mean(self.sources == names[counts.argmax()], RANDOM)

    # -- estimates --

    def estimate(self, scores: Sequence[np.ndarray], split: str = RANDOM) -> Estimate:
        return over_seeds(list(scores), self.groups(split))

    def interval(self, scores: Sequence[np.ndarray], split: str, bounds: tuple[float, float]) -> Interval:
        return interval_over_seeds(scores, self.groups(split), bounds)

    def error(self, split: str, arm: str) -> Interval:
        """The mean error of an arm, with its interval."""
        return self.interval(self.error_scores(split, arm), split, RANGE[error_of(self.context)])

    def share(self, scores: Sequence[np.ndarray]) -> Interval:
        return self.interval(scores, RANDOM, SHARE)

    def ahead(self, split: str, arm: str, other: str = "", of: str = "loss") -> Estimate:
        """By how much the loss (or the error) of an arm is below that of another one, or of the constant."""
        pairs = zip(
            self.error_scores(split, other or self.control, of=of), self.error_scores(split, arm, of=of), strict=True
        )
        return self.estimate([theirs - own for theirs, own in pairs], split)

    def advantage(self, split: str) -> Interval:
        """What share of the main arm's advantage over the constant the predicted source alone has."""
        constant = self.error_scores(split, self.control)
        alone, arm = self.error_scores(split, PREDICTED), self.error_scores(split, self.main)
        shares = [divide(none - one, none - other) for none, one, other in zip(constant, alone, arm, strict=True)]
        return self.interval(shares, split, UNBOUNDED)

    def harder(self, arm: str) -> Interval:
        """How many times as large the error is with sources apart, on the same rows, over whole sources."""
        assert self.apart is not None
        name = self.apart.name
        near = np.mean(self.error_scores(RANDOM, arm, by=name), axis=0)
        return self.interval([divide(apart, near) for apart in self.error_scores(name, arm)], name, (0.0, np.inf))

    @cached_property
    def shown(self) -> dict[str, bool]:
        """What was shown, by Holm's method over all that was asked: that the source is recognised more often than the
        largest stands there, and that the predicted source and the main arm are better than the constant, on random
        folds and with sources apart.

        The predicted source has to be better than sources of other rows, too (the larger p-value counts): these may be
        better than the constant without meaning anything, since the rows that a molecule is most like have a part in
        the mean label of their source.
        """
        told = [self.ahead(RANDOM, PREDICTED), self.ahead(RANDOM, PREDICTED, PERMUTED)]
        asked = {
            RECOGNISED: _one_sided(self.estimate([one - self.floor_scores for one in self.hit_scores(PREDICTED)])),
            TOLD: max(map(_one_sided, told)),
            LEARNED: _one_sided(self.ahead(RANDOM, self.main, of="error")),
        }
        if self.apart is not None:
            asked[TOLD_APART] = _one_sided(self.ahead(self.apart.name, PREDICTED))
            asked[LEARNED_APART] = _one_sided(self.ahead(self.apart.name, self.main, of="error"))
        p_values = holm(list(asked.values()))
        return {name: p < 1 - LEVEL for name, (p, _) in zip(asked, p_values, strict=True)}

    @cached_property
    def leaks(self) -> bool:
        """Whether sources that were dealt to other rows are recognised."""
        above = self.estimate([one - self.floor_scores for one in self.hit_scores(PERMUTED)])
        return len(self.repeats()) >= LEAST_REPEATS_FOR_NULL and _one_sided(above) < 1 - LEVEL

    @cached_property
    def of_one_class(self) -> bool:
        """Whether each source holds rows of one class alone."""
        if self.context.task != CLASSES:
            return False
        truth = self._by_row[RANDOM, self.control, 0]["truth"].astype(str)
        return bool((truth.groupby(self.sources).nunique() == 1).all())

    # -- tables --

    def metrics(self) -> pd.DataFrame:
        """Errors of all arms on both splits, and how often sources are recognised."""
        rows, name = [], error_of(self.context)
        for split in (one.name for one in self.context.splits):
            found = [(arm, name, self.error(split, arm)) for arm in self.arms(split)]
            if self.context.task == CLASSES:
                found += [(arm, "accuracy", self._accuracy(split, arm)) for arm in self.arms(split)]
            rows += [self._row(split, *one) for one in found]
        for what in (PREDICTED, PERMUTED):
            rows.append(self._row(RANDOM, what, "recognised", self.share(self.hit_scores(what))))
            rows.append(self._row(RANDOM, what, "macro_recall", self.share(self.recall_scores(what))))
        rows.append(self._row(RANDOM, "largest source", "recognised", self.share([self.floor_scores])))
        return pd.DataFrame(rows)

    def _accuracy(self, split: str, arm: str) -> Interval:
        scores = []
        for repeat in self.repeats(split):
            part = self._by_row[split, arm, repeat]
            chances = part[[f"p{place}" for place in range(len(self.context.classes))]].to_numpy()
            answers = np.array(self.context.classes)[chances.argmax(axis=1)]
            scores.append(self._mean(answers == part["truth"].to_numpy().astype(str), split))
        return self.interval(scores, split, SHARE)

    def _row(self, split: str, arm: str, metric: str, found: Interval) -> dict[str, Any]:
        about = {"n": len(self.rows), "groups": len(set(self.groups(split))), "seeds": len(self.repeats(split))}
        return (
            {"split": split, "arm": arm, "metric": metric}
            | dict(zip(("value", "low", "high"), found, strict=True))
            | about
        )

    def predictions(self) -> pd.DataFrame:
        """One row per prediction; of a source that was asked for, ``found`` is the one that was told."""
        names = {f"p{place}": f"p_{label}" for place, label in enumerate(self.context.classes)} or {"p0": "prediction"}
        parts = []
        for (split, arm, repeat), part in self._by_row.items():
            kept = part.drop(columns=["error", "loss", "hit", "given"], errors="ignore").rename(columns=names)
            kept.insert(0, "source", self.sources)
            kept = kept.rename_axis("row_id").reset_index()
            parts.append(kept.assign(split=split, arm=arm, repeat=repeat))
        return pd.concat(parts, ignore_index=True)

    def by_source(self) -> pd.DataFrame:
        """Each source with its rows, the share of them that is recognised, and errors, the largest first."""
        first = self._by_row[RANDOM, PREDICTED, 0]
        found = pd.DataFrame({"source": self.sources, "rows": 1})
        found["molecules"] = self.molecules
        if self.context.task != CLASSES:
            found["mean_label"] = first["truth"].to_numpy().astype(np.float64)
        found["recognised"] = np.mean([self._hits(PREDICTED, repeat) for repeat in self.repeats()], axis=0)
        for split, name in ((one.name, label) for one, label in zip(self.context.splits, ("", "_apart"), strict=False)):
            of = [self._by_row[split, self.main, repeat]["error"].to_numpy() for repeat in self.repeats(split)]
            found[f"error{name}"] = np.mean(of, axis=0)
        how = {column: "mean" for column in found if column not in ("source", "rows", "molecules")}
        whole = found.groupby("source", as_index=False).agg({"rows": "sum", "molecules": "nunique", **how})
        return whole.sort_values(["rows", "source"], ascending=[False, True], ignore_index=True)


def _one_sided(found: Estimate) -> float:
    """The p-value of a quantity that can only be shown above zero."""
    return found.p_difference() if found.value > 0 else 1.0
