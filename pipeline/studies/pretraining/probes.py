"""What each layer of a language model knows before any training: a linear model on what it says of a row.

The states of a row are the mean over the tokens of its own. A ridge regression (a logistic one for classes) is fitted
on the training rows and scored on the test rows, as is usual for probes (Alain and Bengio 2016); the same of weights
that were never trained says what the probe itself finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import torch
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.arms.baselines import ALPHAS
from pipeline.cells.cell import Cell, measured
from pipeline.cells.reach import code_of
from pipeline.evaluation.metrics import LEAST_CHANCE
from pipeline.lm.altered import EMBEDDINGS, RANDOM, altered_model
from pipeline.lm.decoders import shared_prefix
from pipeline.lm.engine import load_model
from pipeline.lm.tokens import PromptTokens
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS
from pipeline.studies.fitting import ordered
from pipeline.tables.catalogue import card
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.molecules import MoleculeError, canonical_smiles
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

PROBE = "pipeline.studies.pretraining.probes:probe_layers"
PUBLISHED = "published weights"
PROBED = (PUBLISHED, RANDOM, EMBEDDINGS)
TARGET, LENGTH, RINGS, ATOMS, LOGP, ACCEPTORS, ORIGIN = (
    "target",
    "tokens of the row",
    "rings",
    "heavy atoms",
    "log P (Crippen)",
    "hydrogen-bond acceptors",
    "of this table or of another",
)
OTHERS, OTHER_ROWS = ("esol", "freesolv", "lipophilicity", "photoswitch"), 200  # molecules of other tables
BATCH = 16
INNER = 3  # folds of the training rows, to choose a layer for classes
_OF_MOLECULES = {
    RINGS: rdMolDescriptors.CalcNumRings,
    ATOMS: lambda molecule: molecule.GetNumHeavyAtoms(),
    LOGP: lambda molecule: rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
    ACCEPTORS: rdMolDescriptors.CalcNumHBA,
}


def probe_code() -> str:
    """A hash of the code behind a probe."""
    return code_of(PROBE, *OBJECTS)


def probe_layers(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a linear model on each layer's states says of the test rows.

    Returns
    -------
    dict
        ``found``: for each property its ``kind`` (numbers or classes), the ``truth`` of its test rows, their ``rows``
        (row ids; empty for those of other tables), and ``by_layer``: predictions from the embeddings, then from each
        layer. Of classes it is the probability of the last one, or of each.
    """
    split, table = context.splits[0], context.table
    train, test = sorted(ordered(context, split, 0)[: cell.tags["size"]]), list(split.folds[0].test)
    made: dict[str, Any] = {}
    with measured(made):
        model, tokenizer = load_model(context.config.model)
        weights = cell.tags["weights"]
        if weights != PUBLISHED:
            model = altered_model(model, weights, context.config.seed)
        states = _States(model.eval(), PromptTokens(tokenizer), context, machine)
        of_train, of_test = states.of(table.inputs.loc[train]), states.of(table.inputs.loc[test])
        made["found"] = {}
        for name, (kind, values) in _properties(context, states.lengths).items():
            of = [np.array([row in values.index for row in rows]) for rows in (train, test)]
            known, truth = values.loc[list(compress(train, of[0]))], values.loc[list(compress(test, of[1]))]
            if kind != CLASSES or known.nunique() > 1:
                made["found"][name] = _probed(kind, of_train[:, of[0]], of_test[:, of[1]], known, truth)
        if table.kind is MOLECULES:
            if len(table.inputs.columns) > 1:  # prompts that state more than the molecule would tell the tables apart
                of_train, of_test = (states.of(table.inputs.loc[rows, [STRUCTURE]]) for rows in (train, test))
            others = states.of(_of_other_tables(context, len(train)))
            made["found"][ORIGIN] = _origin(others, {"known": (train, of_train), "asked": (test, of_test)})
    return made


class _States:
    """Mean states of rows by layer."""

    def __init__(self, model: Any, tokens: PromptTokens, context: Context, machine: Machine) -> None:
        self.model = model.to(getattr(torch, machine.dtype))
        self.tokens, self.context, self.machine = tokens, context, machine
        self.lengths: dict[str, int] = {}

    def of(self, X: pd.DataFrame) -> np.ndarray:
        """Shape (layers + 1, n, d)."""
        template = self.context.template
        prompts = [self.tokens.prompt(pieces, template.tokenization) for pieces in template.pieces_all(X)]
        shared = shared_prefix(template, lambda pieces: self.tokens.prompt(pieces, template.tokenization))
        self.lengths |= {row: len(prompt) - shared for row, prompt in zip(X.index, prompts, strict=True)}
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), BATCH):
            members = order[start : start + BATCH]
            self.machine.reporter.step("asking the layers", start, len(order))
            found |= zip(members, self._batch([prompts[row] for row in members], shared), strict=True)
        return np.stack([found[row] for row in range(len(prompts))], axis=1)

    def _batch(self, prompts: Sequence[tuple[int, ...]], shared: int) -> list[np.ndarray]:
        width = max(map(len, prompts))
        ids, mask = torch.zeros(len(prompts), width, dtype=torch.long), torch.zeros(len(prompts), width)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        with torch.no_grad():
            states = self.model.base_model(
                input_ids=ids, attention_mask=mask.long(), output_hidden_states=True, use_cache=False
            ).hidden_states
        own = mask.clone()
        own[:, :shared] = 0
        means = [(state.float() * own[..., None]).sum(dim=1) / own.sum(dim=1, keepdim=True) for state in states]
        return list(torch.stack(means, dim=1).float().numpy())


def _properties(context: Context, lengths: Mapping[str, int]) -> dict[str, tuple[str, pd.Series]]:
    """What is asked for: kind of task, and values by row; of the target no bounds."""
    table = context.table
    rows = list(lengths)
    targets = context.targets(context.splits[0].folds[0])[table.exact]
    found: dict[str, tuple[str, pd.Series]] = {TARGET: (context.task, targets), LENGTH: ("", pd.Series(lengths))}
    if table.kind is MOLECULES:
        molecules = table.inputs.loc[rows, STRUCTURE].map(Chem.MolFromSmiles)
        found |= {name: ("", molecules.map(function).astype(float)) for name, function in _OF_MOLECULES.items()}
    return found


def _probed(kind: str, of_train: np.ndarray, of_test: np.ndarray, known: pd.Series, truth: pd.Series) -> dict[str, Any]:
    """Predictions of the test rows from each layer, and how well each layer does on held-out training rows."""
    by_layer, on_training = [], []
    for train, test in zip(of_train, of_test, strict=True):
        if kind == CLASSES:
            model, labels = (
                make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2_000)),
                known.astype(str),
            )
            chances = cross_val_predict(model, train, labels, cv=INNER, method="predict_proba")
            codes = np.unique(labels, return_inverse=True)[1]
            on_training.append(float(np.log(np.maximum(chances[np.arange(len(codes)), codes], LEAST_CHANCE)).mean()))
            by_layer.append(model.fit(train, labels).predict_proba(test).round(5).tolist())
        else:
            model = make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS)).fit(train, known.to_numpy(dtype=float))
            on_training.append(float(model[-1].best_score_))  # leaving one out
            by_layer.append([float(f"{value:.6g}") for value in model.predict(test)])
    classes = sorted(set(map(str, known))) if kind == CLASSES else []
    return {
        "kind": kind,
        "classes": classes,
        "truth": truth.tolist(),
        "rows": list(truth.index),
        "by_layer": by_layer,
        "on_training": on_training,
    }


def _origin(others: np.ndarray, own: Mapping[str, tuple[list[str], np.ndarray]]) -> dict[str, Any]:
    """Whether a row is of this table or of another one, by its structure alone.

    Parameters
    ----------
    others : ndarray of shape (layers + 1, n, d)
        Of rows of other tables, which are dealt to training and test.
    own : mapping
        The rows that are ``known`` and those that are ``asked``, each with its states.
    """
    half = others.shape[1] // 2
    parts = {"known": others[:, :half], "asked": others[:, half:]}
    states = {name: np.concatenate([own[name][1], other], axis=1) for name, other in parts.items()}
    labels = {
        name: pd.Series(
            ["this"] * len(own[name][0]) + ["other"] * other.shape[1], index=[*own[name][0], *_named(other.shape[1])]
        )
        for name, other in parts.items()
    }
    return _probed(CLASSES, states["known"], states["asked"], labels["known"], labels["asked"])


def _named(count: int) -> list[str]:
    return [f"other {place}" for place in range(count)]


def _of_other_tables(context: Context, most: int) -> pd.DataFrame:
    """Molecules of built-in tables that this table does not have, as many of each, in an order of the seed."""
    count = min(OTHER_ROWS, most)
    own = set(context.table.frame["smiles"])
    chosen: list[str] = []
    rng = np.random.default_rng(context.config.seed)
    names = [name for name in OTHERS if name != context.config.table]
    for name in names:
        about = card(name)
        given = pd.read_csv(about.file())[about.smiles].dropna().astype(str)
        written = dict.fromkeys(filter(None, map(_written, given.iloc[rng.permutation(len(given))][:count])))
        chosen += [smiles for smiles in written if smiles not in own][: count // len(names)]
    mixed = [chosen[place] for place in rng.permutation(len(chosen))]
    return pd.DataFrame({STRUCTURE: mixed}, index=_named(len(mixed)))


def _written(text: str) -> str:
    try:
        return canonical_smiles(text)
    except MoleculeError:
        return ""
