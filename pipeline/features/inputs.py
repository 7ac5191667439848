"""What every arm is given as ``X``: canonical texts, with a reaction's components and context columns beside them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.tables.canonical import as_known, canonical_text, identity_of
from pipeline.tables.kinds import MOLECULES, Kind
from pipeline.tables.measurements import TargetError, parse_number
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reactions import ReactionReader, role_of
from pipeline.tables.table import STRUCTURE


@dataclass(frozen=True)
class ReactionColumns:
    """Which columns of ``X``, behind the reaction SMILES, hold ``components``; of those ``names`` are no SMILES."""

    components: tuple[str, ...]
    names: tuple[str, ...] = ()

    def without(self, X: Any) -> pd.DataFrame:
        """``X`` with the reaction SMILES and the context alone."""
        return as_frame(X).drop(columns=list(self.components))


@dataclass(frozen=True)
class ReactionInput:
    """How rows of a table of reactions become ``X``, for rows that come after training.

    Parameters
    ----------
    reaction : str
        Column of the reaction SMILES, or empty.
    given : tuple of str
        Columns of components as the table has them.
    components, names : tuple of str
        As in `ReactionColumns`: without ``given`` the roles of the reaction SMILES.
    """

    reaction: str
    given: tuple[str, ...]
    components: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def stored(cls, about: Mapping[str, Any]) -> ReactionInput | None:
        """As a model's description keeps it; None where that is of molecules."""
        if not about:
            return None
        lists = {name: tuple(about[name]) for name in ("given", "components", "names")}
        return cls(reaction=about["reaction"], **lists)

    @property
    def columns(self) -> list[str]:
        """The columns that a row must have."""
        return [*([self.reaction] if self.reaction else []), *self.given]

    @cached_property
    def _reader(self) -> ReactionReader:
        structures = [column for column in self.given if column not in self.names]
        return ReactionReader(self.reaction, structures, self.names, self.given)

    def _read_as(self, name: str) -> str:
        """What the reader calls a component: a role of the reaction SMILES has its own name."""
        return name if self.given else role_of(name)

    def row(self, cells: Mapping[str, str]) -> dict[str, str]:
        """One row of ``X``, without its context.

        Raises
        ------
        MoleculeError
            With the column at fault in `column`.
        """
        found = self._reader.read(cells)
        return {STRUCTURE: found.smiles, **{name: found.components[self._read_as(name)] for name in self.components}}

    def frame(self, X: pd.DataFrame, context: Sequence[str] = ()) -> pd.DataFrame:
        """``X`` from a data frame with `columns` and the context; an empty cell is an absent component.

        Raises
        ------
        ValueError
            For a column that is missing, or a reaction that cannot be read, naming its position and column.
        """
        missing = [column for column in (*self.columns, *context) if column not in X]
        if missing:
            raise ValueError(f"X has no column {missing[0]!r}; the model reads {', '.join((*self.columns, *context))}")
        rows = []
        for position, cells in enumerate(X[self.columns].fillna("").astype(str).to_dict("records")):
            try:
                rows.append(self.row({str(name): cell for name, cell in cells.items()}))
            except MoleculeError as error:
                raise ValueError(f"X[{position}], column {getattr(error, 'column', '')!r}: {error}") from None
        made = pd.DataFrame(rows, index=X.index, columns=[STRUCTURE, *self.components])
        return made.assign(**{column: X[column] for column in context})


def as_frame(X: Any) -> pd.DataFrame:
    """``X`` as a data frame whose first column is the canonical SMILES and the rest context.

    Raises
    ------
    ValueError
        If ``X`` is neither one-dimensional nor a data frame.
    """
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, pd.Series):
        return X.to_frame("smiles")
    texts = np.asarray(X, dtype=object)
    if texts.ndim == 0:
        raise ValueError(f"X is {_shown(X)}; expected a sequence, such as a list of SMILES, or a data frame")
    if texts.ndim != 1:
        raise ValueError(
            f"X must be a one-dimensional array of SMILES or a data frame, got an array of shape {texts.shape}; give "
            "its column of SMILES, such as X[:, 0]"
        )
    return pd.DataFrame({"smiles": pd.Series(texts, dtype=object)})


def canonical_frame(X: Any, largest_fragment: bool = False, kind: Kind = MOLECULES) -> pd.DataFrame:
    """`as_frame` with canonical SMILES (or formulas, or texts), for rows that come straight from a user.

    Parameters
    ----------
    X : sequence of str or RDKit Mol, or DataFrame
        In a data frame they stand in the first column.
    kind : Kind
        What the rows are; not reactions.

    Raises
    ------
    ValueError
        For no molecule at all, and for what is no molecule, naming its position and what it is.
    """
    frame = as_frame(X).copy()
    if not frame.size:
        raise ValueError(f"X is empty; expected one {kind.one} or more")
    canonical = []
    for position, given in enumerate(frame.iloc[:, 0]):
        text = smiles_if_mol(given)
        if not isinstance(text, str):
            why = "; Chem.MolFromSmiles gives None for a SMILES that it cannot read" if given is None else ""
            expected = "SMILES or an RDKit Mol" if kind is MOLECULES else kind.notation
            raise ValueError(f"X[{position}] is {_shown(given)}; expected a {expected}{why}")
        try:
            canonical.append(canonical_text(text, kind, largest_fragment))
        except MoleculeError as error:
            raise ValueError(f"X[{position}] is {text!r}: {error}") from None
    frame.isetitem(0, np.array(canonical, dtype=object))
    return frame


def identities_of(frame: pd.DataFrame, kind: Kind) -> list[str]:
    """What a table would tell the rows of `canonical_frame` apart by. Length n."""
    return [identity_of(text, kind) for text in frame.iloc[:, 0]]


def in_known_spelling(frame: pd.DataFrame, identities: Sequence[str], known: Mapping[str, str]) -> pd.DataFrame:
    """The rows of `canonical_frame`, those of known identity (`identities_of`) as the ``known`` ones are written."""
    frame.isetitem(0, np.array(as_known(list(frame.iloc[:, 0]), identities, known), dtype=object))
    return frame


def smiles_if_mol(value: Any) -> Any:
    """An RDKit molecule as SMILES, anything else as it is."""
    return Chem.MolToSmiles(value) if isinstance(value, Chem.Mol) else value


def _shown(value: Any) -> str:
    """A value that is not what was expected, as an error names it."""
    shown = reprlib.repr(value)
    return shown if value is None or value is pd.NA else f"{shown} ({type(value).__name__})"


def smiles_of(X: Any) -> list[str]:
    return [str(text) for text in as_frame(X).iloc[:, 0]]


class MoleculeFeatures(TransformerMixin, BaseEstimator):
    """Blocks of features side by side: one per function of SMILES, then the context columns.

    Context columns that hold only numbers in training are standardised, others one-hot encoded
    (an unseen value becomes all zeros). What is no number where training had numbers counts as their mean.

    Parameters
    ----------
    functions : tuple of callables
        Each maps a list of SMILES to an array of shape (n, d).
    cleaners : tuple
        For each function an unfitted transformer for its block, or None to leave it as it is.
    """

    def __init__(self, functions: tuple[Callable[[list[str]], np.ndarray], ...], cleaners: tuple[Any, ...]) -> None:
        self.functions = functions
        self.cleaners = cleaners

    def fit(self, X: Any, y: Any = None) -> MoleculeFeatures:
        from sklearn.base import clone

        smiles = smiles_of(X)
        self.cleaners_ = [
            None if cleaner is None else clone(cleaner).fit(function(smiles))
            for function, cleaner in zip(self.functions, self.cleaners, strict=True)
        ]
        context = as_frame(X).iloc[:, 1:]
        self.numeric_ = [column for column in context if _all_numbers(context[column])]
        self.context_ = ColumnTransformer(
            [
                ("numbers", make_pipeline(StandardScaler()), self.numeric_),
                (
                    "names",
                    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                    [column for column in context if column not in self.numeric_],
                ),
            ],
            sparse_threshold=0,
        )
        if context.shape[1]:
            self.context_.fit(self._context(X))
        return self

    def _context(self, X: Any) -> pd.DataFrame:
        context = as_frame(X).iloc[:, 1:].copy()
        for column in self.numeric_:
            context[column] = [_number_or_nan(value) for value in context[column]]
        if not self.numeric_ or not hasattr(self.context_, "transformers_"):  # while fitting every cell is a number
            return context
        means = self.context_.named_transformers_["numbers"][0].mean_
        return context.fillna(dict(zip(self.numeric_, means, strict=True)))

    def transform(self, X: Any) -> np.ndarray:
        smiles = smiles_of(X)
        blocks = [
            function(smiles).astype(np.float32) if cleaner is None else cleaner.transform(function(smiles))
            for function, cleaner in zip(self.functions, self.cleaners_, strict=True)
        ]
        if as_frame(X).shape[1] > 1:
            blocks.append(np.asarray(self.context_.transform(self._context(X)), dtype=np.float64))
        return np.hstack(blocks)


class MolecularFeatures(TransformerMixin, BaseEstimator):
    """Fingerprints and descriptors of SMILES, side by side, as a scikit-learn transformer.

    Parameters
    ----------
    kinds : tuple of {"bits", "counts", "descriptors"}
        Morgan bits or counts of radius 2 (2048 columns), and RDKit's 2D descriptors: undefined
        values filled, standardised and clipped with what the training rows show.
    """

    def __init__(self, kinds: tuple[str, ...] = ("counts", "descriptors")) -> None:
        self.kinds = kinds

    def fit(self, X: Any, y: Any = None) -> MolecularFeatures:
        """Learn medians and scales of the descriptors from SMILES (context columns beside them)."""
        from pipeline.features.structures import CleanDescriptors, descriptors, morgan_bits, morgan_counts

        functions = {"bits": morgan_bits, "counts": morgan_counts, "descriptors": descriptors}
        for kind in self.kinds:
            if kind not in functions:
                raise ValueError(f"kinds holds {kind!r}; expected some of {', '.join(functions)}")
        self.blocks_ = MoleculeFeatures(
            tuple(functions[kind] for kind in self.kinds),
            tuple(CleanDescriptors() if kind == "descriptors" else None for kind in self.kinds),
        ).fit(canonical_frame(X))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Shape (n, number of features)."""
        return self.blocks_.transform(canonical_frame(X))


def _number_or_nan(text: str) -> float:
    try:
        return parse_number(str(text))
    except TargetError:
        return np.nan


def _all_numbers(values: pd.Series) -> bool:
    return bool(np.isfinite([_number_or_nan(value) for value in values]).all())
