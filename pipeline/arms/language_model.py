"""The language-model arms: a frozen model's features, a fine-tuned head, fine-tuned text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from pipeline.arms.baselines import GroupedRidge
from pipeline.defaults import PLAIN
from pipeline.lm.decoders import shared_prefix
from pipeline.lm.defaults import KEPT_OF_START, LABEL_SMOOTHING, training_settings
from pipeline.lm.engine import Engine
from pipeline.lm.pretrained import pretrained_adapter
from pipeline.lm.rows import Rows
from pipeline.lm.training import Enter, Head, Labels, Loss, disagreement, pooled, train
from pipeline.prompts.templates import PromptTemplate
from pipeline.tables.targets import CLASSES

Progress = Callable[[int, int], None]
_PREDICT_BATCH = 16


def _silent(done: int, total: int) -> None:
    """Report nothing."""


class LanguageModelArm(BaseEstimator):
    """What the language-model arms share: prompts, tokens, and the frozen engine.

    Parameters
    ----------
    engine : Engine
        Shared by all arms of a run; always left untouched.
    template : PromptTemplate
    steps : int, optional
        Optimiser steps; by default a function of the number of training rows.
    settings : dict, optional
        Overrides of `TrainingSettings`.
    start : {"auto", "plain"}
        What `lm-head` starts from: pretrained adapters where there are some (see `pipeline.lm.pretrained`), or none.
    reach : tuple of float
        How far below and above the training labels `lm-text` may have to write, in training ranges: that of a split.
    seed : int
    progress : callable
        Told how many steps are done, of how many.
    """

    steps_of = "lm-head"  # whose rule says how many steps follow from the rows

    def __init__(
        self,
        engine: Engine,
        template: PromptTemplate,
        steps: int | None = None,
        settings: dict[str, Any] | None = None,
        start: str = PLAIN,
        reach: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
        progress: Progress = _silent,
    ) -> None:
        self.engine = engine
        self.template = template
        self.steps = steps
        self.settings = settings
        self.start = start
        self.reach = reach
        self.seed = seed
        self.progress = progress

    def prompts(self, X: Any) -> list[tuple[int, ...]]:
        """The prompts of rows, as token ids."""
        return [self.engine.prompt(self.template, pieces) for pieces in self.template.pieces_all(X)]

    def _training_prompts(self, X: Any) -> list[tuple[int, ...]]:
        return [self.engine.prompt(self.template, pieces) for pieces in self.template.training_pieces(X, self.seed)]

    def shared(self) -> int:
        """Tokens that open every prompt."""
        return shared_prefix(self.template, lambda pieces: self.engine.prompt(self.template, pieces))

    def steps_for(self, n: int) -> int:
        """Optimiser steps of a training on so many rows."""
        return int(self._settings(n).steps)

    def _settings(self, n: int) -> Any:
        return training_settings(n, self.steps_of, self.steps, **(self.settings or {}))

    def _pooled_output(self, prompts: list[tuple[int, ...]], function: Callable[[Rows], torch.Tensor]) -> np.ndarray:
        """``function`` of the upper layers' output for each prompt. Shape (n, d)."""
        return self._in_batches(prompts, lambda rows, members: function(rows), self.engine.at_once(_PREDICT_BATCH))

    def _in_batches(
        self,
        texts: list[tuple[int, ...]],
        function: Callable[[Rows, list[int]], torch.Tensor],
        size: int,
        enter: Enter | None = None,
        shared: int | None = None,
    ) -> np.ndarray:
        """``function`` of the upper layers' output of each batch of texts, and of their numbers. Shape (n, ...).

        ``enter`` is given the activations that enter the upper layers, and says what enters instead. ``shared`` is how
        many first tokens these texts have in common, if not those of all prompts.
        """
        shared = self.shared_ if shared is None else shared
        order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
        result: dict[int, np.ndarray] = {}
        self.engine.prepare(texts, shared)
        for start in range(0, len(order), size):
            members = order[start : start + size]
            rows = self.engine.rows([texts[row] for row in members], shared)
            with torch.no_grad(), self.engine.precision():
                rows = self.engine.run_upper(enter(rows) if enter else rows)
            with torch.no_grad():
                values = function(rows, members).float().cpu().numpy()
            result.update(zip(members, values, strict=True))
        return np.stack([result[row] for row in range(len(texts))])


def _linear_classifier() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2_000))


def _linear_regressor() -> Pipeline:
    return make_pipeline(StandardScaler(), GroupedRidge())


def linear_start(features: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of shape (classes, d) and biases of a linear classifier, for features that are not scaled."""
    scaler, linear = _linear_classifier().fit(features, codes)
    weights, biases = linear.coef_, linear.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps the difference
        weights, biases = np.vstack([-weights / 2, weights / 2]), np.concatenate([-biases / 2, biases / 2])
    weights = weights / scaler.scale_
    return weights, biases - weights @ scaler.mean_


class _Frozen(LanguageModelArm):
    """A linear model on the pooled hidden states of the untouched language model."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> _Frozen:
        states = self.states(X)
        if isinstance(self, ClassifierMixin):
            self.model_ = _linear_classifier().fit(states, y)
            self.classes_ = self.model_.classes_
        else:
            self.model_ = _linear_regressor().fit(states, y, groupedridge__groups=groups)
        return self

    def states(self, X: Any) -> np.ndarray:
        """Mean hidden state over the tokens of each row, of the untouched model. Shape (n, d)."""
        self.shared_ = self.shared()
        return self._pooled_output(self.prompts(X), pooled)

    def predict(self, X: Any) -> np.ndarray:
        return self.model_.predict(self._pooled_output(self.prompts(X), pooled))


class FrozenRegressor(RegressorMixin, _Frozen):
    """Ridge on hidden states."""


class FrozenClassifier(ClassifierMixin, _Frozen):
    """Logistic regression on hidden states."""

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.model_.predict_proba(self._pooled_output(self.prompts(X), pooled))


class Tuned(LanguageModelArm):
    """Adapters trained in `fit` and used in `predict`; between the two the engine is untouched."""

    def _fit_adapters(
        self,
        texts: list[tuple[int, ...]],
        loss: Loss,
        labels: Labels,
        head: nn.Module | None,
        start: dict[str, torch.Tensor] | None = None,
        first: Callable[[], None] | None = None,
        enter: Enter | None = None,
    ) -> None:
        """Train adapters, and a head.

        Parameters
        ----------
        head : nn.Module, optional
            What is trained with them.
        start : dict, optional
            Weights that the adapters start from, by name.
        first : callable, optional
            Called with these in place; what it makes of the head is where training begins, and the result lies
            between there and where training ends (`KEPT_OF_START`).
        enter : callable, optional
            What enters the trained layers (`pipeline.lm.training.train`).
        """
        settings = self.settings_ = self._settings(len(texts))
        with self.engine.adapted(
            rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout, seed=self.seed
        ) as model:
            _load(model, start or {})
            parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
            if head is not None:
                head.to(self.engine.device)
                parameters += list(head.parameters())
            if first is not None:
                model.eval()
                first()
                begun = [parameter.detach().clone() for parameter in parameters]
            model.train()
            self.curve_ = train(
                self.engine, texts, self.shared_, loss, labels, parameters, settings, self.seed, self.progress, enter
            )
            if first is not None:
                with torch.no_grad():
                    for parameter, beginning in zip(parameters, begun, strict=True):
                        parameter.lerp_(beginning, KEPT_OF_START)
            self.adapter_ = {
                name: parameter.detach().cpu().clone()
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
            }

    def with_adapters(self) -> Any:
        """Context: the engine's model with the trained adapters in place."""
        return _loaded(self.engine, self.settings_, self.adapter_)


@contextmanager
def _loaded(engine: Engine, settings: Any, weights: dict[str, torch.Tensor]) -> Iterator[Any]:
    """The engine's model with trained adapters in place."""
    with engine.adapted(rank=settings.rank, alpha=settings.alpha, dropout=0.0, seed=0) as model:
        _load(model, weights)
        model.eval()
        yield model


def _load(model: Any, weights: dict[str, torch.Tensor]) -> None:
    strange = model.load_state_dict(weights, strict=False).unexpected_keys
    if strange:
        raise ValueError(f"the adapter does not fit the model: there is no {strange[0]!r}")


class _TunedHead(Tuned):
    """LoRA and a linear head on the pooled last hidden states."""

    def _fit_head(
        self,
        X: Any,
        targets: torch.Tensor,
        outputs: int,
        criterion: Any,
        biases: np.ndarray | None = None,
        linear: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> None:
        """Train adapters and head.

        Parameters
        ----------
        X : array of SMILES, or DataFrame
        targets : tensor of shape (n, ...)
        outputs : int
            Of the head.
        criterion : callable
            From the head's outputs and the targets of a batch to a scalar.
        biases : ndarray of shape (outputs,), optional
            Where the head's constant part starts; by default at 0.
        linear : callable, optional
            From what pretrained adapters compute, of shape (n, d), to the weights and biases that the head starts from.
        """
        prompts = self._training_prompts(X)
        self.shared_ = self.shared()
        torch.manual_seed(self.seed)
        typical = float(np.mean([len(prompt) - self.shared_ for prompt in prompts]))
        engine, settings = self.engine, self._settings(len(prompts))
        self.head_ = Head(engine.model.config.hidden_size, outputs, settings.pooling, typical)
        if biases is not None:
            self.head_.set_linear(np.zeros((outputs, engine.model.config.hidden_size)), biases)

        def loss(rows: Rows, wanted: torch.Tensor) -> torch.Tensor:
            with torch.autocast(engine.device.type, enabled=False):
                outputs = self.head_(rows)
                value = criterion(outputs, wanted)
                return value + settings.agreement * disagreement(outputs) if settings.agreement else value

        def labels(members: list[int]) -> tuple[torch.Tensor, ...]:
            return (targets[members].to(engine.device),)

        self.start_ = pretrained_adapter(
            self.start, engine.name, len(engine.layers), engine.trained_layers, settings, self.template
        )

        def first() -> None:
            assert linear is not None
            self.head_.set_linear(*linear(self._pooled_output(prompts, self.head_.features)))

        start = self.start_.load() if self.start_ else None
        self._fit_adapters(prompts, loss, labels, self.head_, start, first if start and linear is not None else None)

    def _outputs(self, X: Any) -> np.ndarray:
        with self.with_adapters():
            return self._pooled_output(self.prompts(X), self.head_)


def censored_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Smooth-L1 loss that a prediction beyond a bound, on the side where the truth lies, does not add to.

    Parameters
    ----------
    predicted : tensor of shape (B, 1)
    targets : tensor of shape (B, 2)
        The standardised target, and 1 where the truth lies above it, -1 where below, 0 where it is the target.
    """
    residual, side = predicted[:, 0] - targets[:, 0], targets[:, 1]
    residual = torch.where(residual * side > 0, torch.zeros_like(residual), residual)
    return torch.nn.functional.smooth_l1_loss(residual, torch.zeros_like(residual), beta=0.5)


class HeadRegressor(RegressorMixin, _TunedHead):
    """``lm-head`` for numbers: smooth-L1 loss on the standardised target, one-sided where that is a bound."""

    uses_censoring = True

    def fit(self, X: Any, y: np.ndarray, groups: Any = None, censoring: np.ndarray | None = None) -> HeadRegressor:
        y = np.asarray(y, dtype=np.float64)
        side = np.zeros(len(y)) if censoring is None else np.asarray(censoring, dtype=np.float64)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        targets = torch.tensor(np.column_stack([(y - self.mean_) / self.scale_, side]), dtype=torch.float32)
        self._fit_head(X, targets, 1, censored_loss)
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.mean_ + self.scale_ * self._outputs(X)[:, 0].astype(np.float64)


class HeadClassifier(ClassifierMixin, _TunedHead):
    """``lm-head`` for classes: cross-entropy with smoothed labels.

    From pretrained adapters it is trained as a linear classifier on what they compute, then fine-tuned (Kumar et al.
    2022), and the weights of the two are averaged (Wortsman et al. 2022): with few rows the fine-tuning alone is wrong
    more often and far too sure. `pipeline.lm.defaults` has the evidence.
    """

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> HeadClassifier:
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        shares = np.bincount(codes) / len(codes)  # from equal chances, the sum over tokens would learn them first
        linear = partial(linear_start, codes=codes) if len(self.classes_) > 1 else None
        self._fit_head(X, torch.tensor(codes), len(self.classes_), self._criterion(shares), np.log(shares), linear)
        return self

    def _criterion(self, shares: np.ndarray) -> Any:
        """The loss, from logits and codes to a scalar, where training rows have these shares of the classes."""
        return torch.nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)

    def predict_proba(self, X: Any) -> np.ndarray:
        logits = torch.tensor(self._outputs(X), dtype=torch.float64)
        return torch.softmax(logits, dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def frozen(task: str, **options: Any) -> Any:
    return (FrozenClassifier if task == CLASSES else FrozenRegressor)(**options)


def head(task: str, **options: Any) -> Any:
    return (HeadClassifier if task == CLASSES else HeadRegressor)(**options)
