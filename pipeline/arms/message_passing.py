"""Directed message passing over the molecular graph (D-MPNN), by the package chemprop with the settings of its program.

Where the numbers come from: layers, widths, batches, epochs, rates and the share held out are the defaults of
``chemprop train`` (Heid et al. 2024, J. Chem. Inf. Model. 64, 9), in which a tenth of the rows chooses the epoch beside
eight tenths that train. One network is its default too; its authors' benchmarks take the mean of five. A last batch of
one row is trained on, which the program drops for the sake of a normalisation that is off.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from pipeline.errors import InputError, first_line
from pipeline.features.inputs import MoleculeFeatures, as_frame, smiles_of
from pipeline.splits.splitters import inner_fold_numbers
from pipeline.tables.targets import CLASSES

EPOCHS, WARM_UP = 50, 2
BATCH = 64
RATES = (1e-4, 1e-3, 1e-4)  # of Adam: at first, after the warm-up, at last
PARTS = 9  # of the training rows, of which one chooses the epoch
MEMBERS = 1
Weights = dict[str, np.ndarray]


class _MessagePassing(BaseEstimator):
    """Networks that differ in their first weights, whose mean is the prediction.

    Of each, the epoch is kept that has the least loss on a held-out part of the training rows, whole groups. Context
    columns stand beside what message passing makes of the molecule. All sums are made by one thread, so that no number
    hangs on the cores there are; a GPU trains where there is one, predictions are made without it.

    Parameters
    ----------
    seed : int
        For the held-out part, the first weights and the order of the rows.
    """

    def __init__(self, seed: int = 0, members: int = MEMBERS, epochs: int = EPOCHS) -> None:
        self.seed = seed
        self.members = members
        self.epochs = epochs

    def _fit(self, X: Any, target: np.ndarray, strata: np.ndarray, groups: Any) -> None:
        """Train on targets of shape (n,) as the loss takes them."""
        held = inner_fold_numbers(groups, strata, PARTS, self.seed) == 0
        if held.all():
            held[:] = False
        self.context_ = MoleculeFeatures((), ()).fit(X) if as_frame(X).shape[1] > 1 else None
        graphs, beside = _graphs(smiles_of(X)), self._beside(X)
        self.weights_ = [
            _trained(self._outputs(), graphs, beside, target, held, self.epochs, self.seed, self.seed + member)
            for member in range(self.members)
        ]

    def _outputs(self) -> int:
        """0 for a number, else how many classes there are."""
        return 0

    def _beside(self, X: Any) -> np.ndarray:
        """The context columns. Shape (n, columns)."""
        return np.zeros((len(as_frame(X)), 0)) if self.context_ is None else self.context_.transform(X)

    def _scores(self, X: Any) -> np.ndarray:
        """What the networks say, in double precision, so that no other row counts. Shape (members, n, outputs)."""
        import torch

        graphs, beside = _graphs(smiles_of(X)), self._beside(X)
        found = []
        with _quiet(), _one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
            for weights in self.weights_:
                network = _network(self._outputs(), beside.shape[1])
                network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
                network.double().eval()
                batches = (np.arange(start, min(start + BATCH, len(graphs))) for start in range(0, len(graphs), BATCH))
                parts = [_output(network, *_batch(graphs, beside, rows, torch.float64)) for rows in batches]
                found.append(torch.cat(parts).numpy())
        return np.stack(found)


class MessagePassingRegressor(RegressorMixin, _MessagePassing):
    """A number for each molecule, by the mean squared error of the standardised target."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> MessagePassingRegressor:
        y = np.asarray(y, dtype=np.float64)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        self._fit(X, (y - self.mean_) / self.scale_, np.zeros(len(y)), groups)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Shape (n,)."""
        return self.mean_ + self.scale_ * self._scores(X).mean(axis=0)[:, 0]


class MessagePassingClassifier(ClassifierMixin, _MessagePassing):
    """Class probabilities, by the cross-entropy."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> MessagePassingClassifier:
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self._fit(X, codes.astype(np.float64), codes, groups)
        return self

    def _outputs(self) -> int:
        return len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Shape (n, classes)."""
        scores = self._scores(X)
        if len(self.classes_) == 2:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=2)
        chances = np.exp(scores - scores.max(axis=2, keepdims=True))
        return (chances / chances.sum(axis=2, keepdims=True)).mean(axis=0)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def chemprop(task: str, seed: int, threads: int) -> Any:
    return (MessagePassingClassifier if task == CLASSES else MessagePassingRegressor)(seed=seed)


def _package() -> Any:
    """The package, with the parts that are used here imported."""
    try:
        with _quiet():
            import chemprop
            from chemprop import data, featurizers, models, nn, schedulers  # noqa: F401
    except ImportError as error:
        told = f"the arm chemprop needs the package chemprop ({first_line(error)}): pip install 'chemtune[chemprop]'"
        raise InputError(told) from error
    return chemprop


def _graphs(smiles: Sequence[str]) -> list[Any]:
    """Atoms and bonds of each molecule as chemprop describes them by default."""
    featurizer = _package().featurizers.SimpleMoleculeMolGraphFeaturizer()
    with rdBase.BlockLogs():
        return [featurizer(Chem.MolFromSmiles(text)) for text in smiles]


def _network(outputs: int, beside: int) -> Any:
    """An untrained network for a number (0) or so many classes, with so many columns beside the molecule."""
    package = _package()
    message_passing = package.nn.BondMessagePassing()
    width = message_passing.output_dim + beside
    if not outputs:
        predictor = package.nn.RegressionFFN(input_dim=width)
    elif outputs == 2:
        predictor = package.nn.BinaryClassificationFFN(input_dim=width)
    else:
        predictor = package.nn.MulticlassClassificationFFN(outputs, input_dim=width)
    return package.models.MPNN(message_passing, package.nn.NormAggregation(), predictor)


def _batch(graphs: Sequence[Any], beside: np.ndarray, rows: np.ndarray, dtype: Any) -> tuple[Any, Any]:
    """Graphs of these rows as one, and what stands beside them (None if nothing does)."""
    import torch

    made = _package().data.BatchMolGraph([graphs[row] for row in rows])
    made.V, made.E = made.V.to(dtype), made.E.to(dtype)
    return made, torch.from_numpy(beside[rows]).to(dtype) if beside.shape[1] else None


def _output(network: Any, graph: Any, beside: Any) -> Any:
    """A standardised number, or logits. Shape (n, outputs)."""
    device = next(network.parameters()).device
    graph.to(device)
    made = network.fingerprint(graph, None, None if beside is None else beside.to(device))
    return network.predictor.train_step(made).flatten(1)


def _loss(output: Any, target: Any, outputs: int) -> Any:
    from torch.nn import functional

    if not outputs:
        return functional.mse_loss(output[:, 0], target)
    if outputs == 2:
        return functional.binary_cross_entropy_with_logits(output[:, 0], target)
    return functional.cross_entropy(output, target.long())


def _trained(
    outputs: int,
    graphs: Sequence[Any],
    beside: np.ndarray,
    target: np.ndarray,
    held: np.ndarray,
    epochs: int,
    order_seed: int,
    seed: int,
) -> Weights:
    """The weights of the epoch with the least loss on the rows held out, or on those trained on where none is."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with _quiet(), _one_thread(), _repeatable(device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(outputs, beside.shape[1]).to(device)
        targets = torch.from_numpy(target).float().to(device)
        train, validation = np.flatnonzero(~held), np.flatnonzero(held)
        steps = -(-len(train) // BATCH)
        optimizer = torch.optim.Adam(network.parameters(), RATES[0])
        schedule = _package().schedulers.build_NoamLike_LRSched(
            optimizer, WARM_UP * steps, (epochs - WARM_UP) * steps, *RATES
        )
        rng, least, best = np.random.default_rng(order_seed), np.inf, {}
        for _ in range(epochs):
            network.train()
            rng.shuffle(train)
            total = 0.0
            for rows in np.array_split(train, range(BATCH, len(train), BATCH)):
                loss = _loss(_output(network, *_batch(graphs, beside, rows, torch.float32)), targets[rows], outputs)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item() * len(rows)
            if len(validation):
                network.eval()
                with torch.no_grad():
                    said = _output(network, *_batch(graphs, beside, validation, torch.float32))
                    total = _loss(said, targets[validation], outputs).item()
            if total < least:
                least = total
                best = {name: values.cpu().numpy().copy() for name, values in network.state_dict().items()}
    return best


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what lightning and torch warn of in their own use by chemprop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _repeatable(device: Any) -> Iterator[None]:
    """A GPU adds up in the same order each time."""
    import torch

    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
