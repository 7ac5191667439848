"""Language-model arms that write the answer as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin

from pipeline.arms.language_model import Tuned
from pipeline.lm.answers import AnswerTree, Reading, read_answers
from pipeline.lm.rows import Rows
from pipeline.lm.training import Enter, Labels
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import completion
from pipeline.tables.targets import CLASSES


class TunedText(Tuned):
    """LoRA on prompt and completion; the loss is on the completion and its end mark alone."""

    steps_of = "lm-text"

    def _fit_text(self, X: Any, answers: list[Any]) -> None:
        """Tune on rows and their answers."""
        prompts = self._training_prompts(X)
        self.shared_ = self.shared()
        completions = [self._answer_ids(answer) for answer in answers]
        self._fit_last([prompt + ids for prompt, ids in zip(prompts, completions, strict=True)], completions)

    def _fit_last(self, texts: list[tuple[int, ...]], answers: list[tuple[int, ...]]) -> None:
        """Train on texts that end in answers, with the loss on those."""

        def loss(rows: Rows, *labels: torch.Tensor) -> torch.Tensor:
            return self._losses(rows, *labels).mean()

        self._fit_adapters(texts, loss, self._labels(texts, answers), None)

    def _labels(self, texts: list[tuple[int, ...]], answers: list[tuple[int, ...]]) -> Labels:
        """From row numbers to the labels of the answers that the texts end in."""

        def labels(members: list[int]) -> tuple[torch.Tensor, ...]:
            lengths = [len(texts[row]) - self.shared_ for row in members]
            return self._answer_labels(lengths, [answers[row] for row in members])

        return labels

    def _answer_ids(self, answer: Any) -> tuple[int, ...]:
        return (*self.engine.encode(completion(answer)), self.engine.end_token)

    def _completion_losses(self, rows: Rows, answers: list[tuple[int, ...]]) -> torch.Tensor:
        """Negative log-probability of each row's answer per token. Shape (B,)."""
        return self._losses(rows, *self._answer_labels(rows.lengths.tolist(), answers))

    def _answer_losses(
        self,
        texts: list[tuple[int, ...]],
        answers: list[tuple[int, ...]],
        size: int,
        enter: Enter | None = None,
        shared: int | None = None,
    ) -> np.ndarray:
        """Negative log-probability per token of the answers that texts end in. Shape (n,).

        ``enter`` and ``shared`` as for `_in_batches`.
        """

        def of(rows: Rows, members: list[int]) -> torch.Tensor:
            with self.engine.precision():
                return self._completion_losses(rows, [answers[row] for row in members])

        most = self.engine.at_once(size, max(map(len, answers)))
        return self._in_batches(texts, of, most, enter, shared).astype(np.float64)

    def _answer_labels(self, lengths: list[int], answers: list[tuple[int, ...]]) -> tuple[torch.Tensor, ...]:
        """The row and the position before each token of the answers, the token, and its weight in the row's mean.

        Which positions those are follows from the lengths, since pad, end of text and end mark can be one id.
        """
        found = [
            (row, length - len(answer) - 1 + offset, token, 1.0 / len(answer))
            for row, (length, answer) in enumerate(zip(lengths, answers, strict=True))
            for offset, token in enumerate(answer)
        ]
        found += [(0, 0, 0, 0.0)] * (self.engine.label_places(len(found)) - len(found))  # these weigh nothing
        return tuple(torch.tensor(part, device=self.engine.device) for part in zip(*found, strict=True))

    def _losses(
        self, rows: Rows, row: torch.Tensor, position: torch.Tensor, token: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Weighted negative log-probabilities of tokens, added up by row; no other gets logits. Shape (B,)."""
        logits = self._logits(rows.hidden[row, position])
        losses = torch.nn.functional.cross_entropy(logits, token, reduction="none") * weight
        owner = row == torch.arange(len(rows.lengths), device=row.device)[:, None]
        return torch.where(owner, losses, 0.0).sum(dim=1)  # adding by index has no fixed order on a GPU

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of the next token, for hidden states of shape (n, d). Shape (n, tokens there are)."""
        return self.engine.logits(hidden)

    def _read(self, X: Any, answers: list[str]) -> Reading:
        tree = AnswerTree([self._answer_ids(answer) for answer in answers])
        with self.with_adapters():
            self.reading_ = read_answers(self.engine, self.prompts(X), self.shared_, tree)
        return self.reading_


class TextRegressor(RegressorMixin, TunedText):
    """``lm-text`` for numbers: written at a resolution fitted on the training rows.

    The prediction is the mean of the model's distribution over whole numbers (see `pipeline.lm.defaults` for why), or
    its median where more than half of the training rows have one value, such as a band gap of 0: a mean is never that
    value. Where the most probable answer is not a number it is the mean, or the median, of the training rows. After
    `predict`, ``reading_``, ``medians_``, ``lower_`` and ``upper_`` (5th and 95th percentile) describe the last call.
    """

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> TextRegressor:
        y = np.asarray(y, dtype=np.float64)
        self.takes_median_ = bool(np.unique(y, return_counts=True)[1].max() > len(y) / 2)
        self.centre_ = float(np.median(y) if self.takes_median_ else y.mean())
        self.format_ = NumberFormat.fit(y, self.reach)
        self._fit_text(X, [self.format_.write(value) for value in y])
        return self

    def predict(self, X: Any) -> np.ndarray:
        reading = self._read(X, self.format_.texts())
        values = self.format_.values
        self.lower_, self.medians_, self.upper_ = (
            quantiles(reading.probabilities, values, self.format_.resolution, level) for level in (0.05, 0.5, 0.95)
        )
        found = self.medians_ if self.takes_median_ else reading.probabilities @ values
        return np.where(reading.parse_failed, self.centre_, found)


class TextClassifier(ClassifierMixin, TunedText):
    """``lm-text`` for classes: the probability of each label, read in one walk of their tree."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> TextClassifier:
        self.classes_ = np.unique(np.asarray(y))
        self._fit_text(X, [str(label) for label in np.asarray(y)])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._read(X, [str(label) for label in self.classes_]).probabilities

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def quantiles(probabilities: np.ndarray, values: np.ndarray, resolution: float, level: float) -> np.ndarray:
    """Quantile of a distribution over equally spaced values, linear within each value's interval.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k)
        Rows sum to 1.
    values : ndarray of shape (k,)
        Ascending, ``resolution`` apart; value v stands for the interval v ± resolution / 2.
    level : float
        Between 0 and 1.
    """
    cumulative = probabilities.cumsum(axis=1)
    index = np.minimum((cumulative < level).sum(axis=1), len(values) - 1)
    rows = np.arange(len(probabilities))
    inside = probabilities[rows, index]
    below = cumulative[rows, index] - inside
    share = np.divide(level - below, inside, out=np.full(len(rows), 0.5), where=inside > 0)
    return values[index] + resolution * (np.clip(share, 0, 1) - 0.5)


def text(task: str, **options: Any) -> Any:
    return (TextClassifier if task == CLASSES else TextRegressor)(**options)
