"""The language model as scikit-learn estimators over arrays of SMILES, RDKit molecules, formulas or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from pipeline.arms.catalogue import ARMS
from pipeline.defaults import ATOMWISE, AUTO, DEFAULT_MODEL, DEFAULT_TEMPLATE, STARTS
from pipeline.evaluation.domain import Domain
from pipeline.features.inputs import canonical_frame, identities_of, in_known_spelling
from pipeline.lm.defaults import LAYERS, POOLINGS, TrainingSettings
from pipeline.models.about import about_language_model, about_model
from pipeline.models.folder import SavedModel, load_model
from pipeline.prompts.templates import PromptTemplate
from pipeline.tables.kinds import KINDS, REACTIONS, Kind
from pipeline.tables.targets import CLASSES, REGRESSION

READOUTS = ("head", "text")
NAMED = 5  # targets that cannot be used, in an error


class _Lora(BaseEstimator):
    """A small language model fine-tuned with LoRA.

    Parameters
    ----------
    property_name : str
        What the prompt calls the target.
    units : str
        Stated behind the property; may be empty.
    readout : {"head", "text"}
        A linear head on the pooled last hidden states, or the answer written as text.
    model : str
        Known name, Hugging Face id, or folder of a causal language model.
    template : str
        Prompt with the fields ``{property}``, ``{context}`` and ``{molecule}``, or, for an ``X`` of formulas or of
        texts, ``{composition}`` or ``{text}`` in its place.
    tokenization : {"atomwise", "model"}
        Whether each symbol of a SMILES has tokens of its own, or the tokenizer cuts it like any text.
    start : {"auto", "plain"}
        What a head's training starts from: ``auto`` takes adapters that know RDKit's descriptors, where there are some
        for the model and these settings (`pipeline.lm.pretrained`); ``plain`` takes none.
    depth : int, optional
        How many layers of the model are used, from the first; by default 5 for a head and 10 for text. As many as the
        model has, or more, are all.
    trained_layers : int, optional
        How many of those, from the last, carry adapters, by default 5 and 10; layers below are run once per molecule.
    rank : int
        Of the adapters.
    learning_rate : float
    steps : int, optional
        Optimiser steps; by default they follow from the number of training rows.
    batch_size : int
    pooling : {"mean", "sqrt", "sum"}
        How the head pools the tokens of a molecule: their sum divided by their number, its square root, or not at all.
    dtype : {"auto", "float32", "bfloat16"}
        Of the matrix products; ``auto`` measures which is faster here.
    random_state : int

    Attributes
    ----------
    arm_ : estimator
        The fitted arm.
    n_train_ : int
    """

    def __init__(
        self,
        property_name: str = "value",
        units: str = "",
        readout: str = "head",
        model: str = DEFAULT_MODEL,
        template: str = DEFAULT_TEMPLATE,
        tokenization: str = ATOMWISE,
        start: str = AUTO,
        depth: int | None = None,
        trained_layers: int | None = None,
        rank: int = 16,
        learning_rate: float = 1e-3,
        steps: int | None = None,
        batch_size: int = 16,
        pooling: str = TrainingSettings.pooling,
        dtype: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.property_name = property_name
        self.units = units
        self.readout = readout
        self.model = model
        self.template = template
        self.tokenization = tokenization
        self.start = start
        self.depth = depth
        self.trained_layers = trained_layers
        self.rank = rank
        self.learning_rate = learning_rate
        self.steps = steps
        self.batch_size = batch_size
        self.pooling = pooling
        self.dtype = dtype
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fine-tune on molecules and their targets.

        Parameters
        ----------
        X : sequence of str or RDKit Mol, or DataFrame
            SMILES or molecules; a data frame has them in its first column, and context columns beside them.
        y : array of shape (n,)
            Finite numbers, or classes.

        Raises
        ------
        ValueError
            For what is no molecule or no target, naming its position, lengths that differ, an unknown readout, or
            sample weights, which the loss does not use.
        """
        from pipeline.lm.engine import shared_engine

        if sample_weight is not None:
            raise ValueError(f"{type(self).__name__} does not use sample_weight; repeat rows instead")
        if self.readout not in READOUTS:
            raise ValueError(f"readout is {self.readout!r}; expected one of {', '.join(READOUTS)}")
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}; expected one of {', '.join(STARTS)}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; expected one of {', '.join(POOLINGS)}")
        frame, targets = canonical_frame(X, kind=self._kind()), np.asarray(y)
        identities = identities_of(frame, self._kind())
        self._known = dict(zip(identities, frame.iloc[:, 0], strict=True))
        frame = in_known_spelling(frame, identities, self._known)
        if targets.shape != (len(frame),):
            raise ValueError(f"X has {len(frame)} rows and y has shape {targets.shape}; expected ({len(frame)},)")
        _check_targets(targets, self._task())
        depth, trained = self._layers()
        self.arm_ = (
            ARMS[self._arm_name()]
            .builder()(
                self._task(),
                engine=shared_engine(self.model, trained, self.dtype, depth),
                template=self._prompt(),
                steps=self.steps,
                start=self.start,
                settings={
                    "rank": self.rank,
                    "alpha": 2 * self.rank,
                    "learning_rate": self.learning_rate,
                    "batch_size": self.batch_size,
                    "pooling": self.pooling,
                },
                seed=self.random_state,
            )
            .fit(frame, targets)
        )
        self.n_train_ = len(frame)
        self._context = [str(column) for column in frame.columns[1:]]
        return self

    def _prompt(self) -> PromptTemplate:
        return PromptTemplate(self.property_name, self.units, self.template, self.tokenization)

    def _kind(self) -> Kind:
        """What the rows are: the template says it."""
        field = self._prompt().row_field
        found = next((kind for kind in KINDS.values() if kind.field == field and kind is not REACTIONS), None)
        if found is None:
            raise ValueError(
                f"template {self.template!r}: the field {{{field}}} is for tables, with chemtune run or fit"
            )
        return found

    def _layers(self) -> tuple[int | None, int]:
        from pipeline.lm.decoders import layers_within

        depth, trained = LAYERS[self._arm_name()]
        return layers_within(self.model, self.depth or depth, self.trained_layers or trained)

    def _arm_name(self) -> str:
        return f"lm-{self.readout}"

    def _task(self) -> str:
        return CLASSES if isinstance(self, ClassifierMixin) else REGRESSION

    def predict(self, X: Any) -> np.ndarray:
        """Predicted values or classes of what `fit` takes as ``X``. Shape (n,)."""
        check_is_fitted(self, "arm_")
        return self.arm_.predict(self._rows(X))

    def _rows(self, X: Any) -> pd.DataFrame:
        """What the arm is given: one SMILES for each molecule of training, however it was written."""
        frame = canonical_frame(X, kind=self._kind())
        return in_known_spelling(frame, identities_of(frame, self._kind()), self._known)

    def save(self, folder: str | Path) -> None:
        """Write a model folder that `load` and ``chemtune predict`` read.

        It carries no intervals: for those fit with ``chemtune fit``, which calibrates on held-out rows.
        """
        check_is_fitted(self, "arm_")
        dtype = str(self.arm_.engine.dtype).removeprefix("torch.")
        about = about_model(
            arm=self._arm_name(),
            task=self._task(),
            classes=[str(label) for label in getattr(self, "classes_", ())],
            target=self.property_name,
            rows=self._kind().name,
            template=self.arm_.template,
            context=self._context,
            n_train=self.n_train_,
            seed=self.random_state,
            source="an array in Python",
            language_model=about_language_model(self.model, dtype, *self._layers(), getattr(self.arm_, "start_", None)),
        )
        smiles, identities = list(self._known.values()), list(self._known)
        domain = Domain.fit(smiles, np.array(smiles, dtype=object), self._kind(), identities)
        SavedModel(self.arm_, about, domain, np.zeros(0)).save(Path(folder))


def _check_targets(targets: np.ndarray, task: str) -> None:
    """Raise `ValueError` for targets that are missing, or where numbers are asked for no finite ones, naming some."""
    if task == REGRESSION:
        numbers = pd.to_numeric(pd.Series(targets), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong, expected = np.flatnonzero(~np.isfinite(numbers)), "a finite number"
    else:
        wrong, expected = np.flatnonzero(pd.isna(targets)), "a class"
    if len(wrong):
        shown = ", ".join(f"y[{place}] is {targets[place]}" for place in wrong[:NAMED])
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ValueError(f"{shown}{more}; expected {expected} for each molecule: leave these rows out of X and y")


class LoraRegressor(RegressorMixin, _Lora):
    __doc__ = (_Lora.__doc__ or "").replace("A small language model", "Regression with a small language model")


class LoraClassifier(ClassifierMixin, _Lora):
    __doc__ = (_Lora.__doc__ or "").replace("A small language model", "Classes from a small language model")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LoraClassifier:
        """As for regression; ``classes_`` holds the labels in sorted order."""
        super().fit(X, y, sample_weight)
        self.classes_ = self.arm_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities in the order of ``classes_``. Shape (n, classes)."""
        check_is_fitted(self, "arm_")
        return self.arm_.predict_proba(self._rows(X))


def load(folder: str | Path) -> SavedModel:
    """The model in a folder written by ``save`` or ``chemtune fit``, ready to ``predict``.

    Raises
    ------
    InputError
        If the folder is not a model, was cut short or changed, or was made by a newer chemtune.
    """
    return load_model(Path(folder))
