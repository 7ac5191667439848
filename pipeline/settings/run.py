"""The settings of a run: each an option of the command line and a key of a YAML file, with its help and its bounds."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.defaults import (
    ATOMWISE,
    AUTO,
    DEFAULT_MODEL,
    DEFAULT_TEMPLATE,
    STARTS,
    TOKENIZATIONS,
)
from pipeline.errors import InputError
from pipeline.settings.fields import check, setting
from pipeline.settings.threshold import EVEN, Rule
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS, Kind
from pipeline.tables.measurements import ANNOTATED, BOUNDS, CENSORED
from pipeline.tables.notation import DECIMALS, THOUSANDS
from pipeline.tables.scales import TRANSFORMS

TABLE, SPLITS, ARMS, MODEL, RUN = "The table", "Splits", "Arms", "Language model", "The run"  # panels of the help
PER_TARGET = ("property_name", "units", "task", "transform")  # may differ between the targets of one table
ALIASES = {"yield": "target"}  # what the target of a reaction is called


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on.

    The settings of several targets are taken apart by `pipeline.settings.reading.config_per_target`.
    """

    table: str = setting(
        "",
        "Path of a CSV, TSV (or .gz), Parquet, Excel or SDF file, a Hugging Face dataset id, or the name of a "
        "built-in table.",
    )
    smiles: str = setting("", "Column that holds the SMILES.", "run fit audit prompts study", panel=TABLE, common=True)
    composition: str = setting(
        "",
        "Column that holds formulas, such as Ag(AuS)2, for a table of materials.",
        "run fit audit prompts study",
        panel=TABLE,
        common=True,
    )
    text: str = setting(
        "",
        "Column that holds texts, such as procedures or names, for a table of these.",
        "run fit audit prompts study",
        panel=TABLE,
    )
    target: str = setting(
        "",
        "Column that holds the measured value or class; several with commas.",
        "run fit audit prompts study",
        panel=TABLE,
        common=True,
    )
    id: str = setting(
        "",
        "Column with your own names of the rows; copied to all outputs.",
        "run fit audit prompts study",
        panel=TABLE,
    )
    reaction: str = setting(
        "",
        "Column that holds reaction SMILES, for a table of reactions.",
        "run fit audit prompts reactions study",
        panel=TABLE,
        common=True,
    )
    components: tuple[str, ...] = setting(
        (),
        "Columns that hold one component of a reaction each, such as halide,ligand,base; NAME:name for names.",
        "run fit audit prompts reactions study",
        panel=TABLE,
        common=True,
    )
    yield_unit: str = setting(
        "",
        "percent (default) or fraction.",
        "run fit audit prompts reactions study",
        panel=TABLE,
        choices=("percent", "fraction"),
    )
    failure_words: tuple[str, ...] = setting(
        (),
        "Words in the column of yields that stand for 0, such as 'trace,NR', instead of the usual list; +n.d. "
        "adds a word to it.",
        "run fit audit prompts reactions study",
        panel=TABLE,
    )
    success: float = setting(
        0.0,
        "Predict whether the yield reaches this many percent, instead of the yield.",
        "run fit audit prompts study",
        panel=TABLE,
    )
    property_name: str = setting("", "What the prompt calls the target.", "run fit prompts study", panel=TABLE)
    units: str = setting(
        "",
        "Units of the target, stated in the prompt and the report.",
        "run fit audit prompts study",
        panel=TABLE,
        common=True,
    )
    task: str = setting(
        "auto",
        "auto, regression or classes; auto looks at the column.",
        "run fit audit prompts study",
        panel=TABLE,
        choices=("auto", "regression", "classes"),
        common=True,
    )
    transform: str = setting(
        "",
        "Model the target as log10, or as pIC50 (which needs its units); predictions come back in its units.",
        "run fit audit prompts study",
        panel=TABLE,
        choices=TRANSFORMS,
    )
    bounds: str = setting(
        "",
        "Values such as >10: refuse (default, but for yields limit), limit (train on the limit), or censored "
        "(one-sided where the arm can, lm-head and blend; others take the limit). Bounds are never scored.",
        "run fit audit prompts study",
        panel=TABLE,
        choices=BOUNDS,
    )
    annotated: str = setting(
        "",
        "Values such as 1.2±0.3, 5 µM, ~5: refuse (default, but for yields accept) or accept (the number; "
        "units converted).",
        "run fit audit prompts study",
        panel=TABLE,
        choices=ANNOTATED,
    )
    decimal: str = setting(
        "",
        "Mark before decimals, . or , ; decided from the column if not given.",
        "run fit audit prompts study",
        panel=TABLE,
        choices=DECIMALS,
    )
    thousands: str = setting(
        "",
        "Mark between thousands: , . ' space or none; decided from the column if not given.",
        "run fit audit prompts study",
        panel=TABLE,
        choices=THOUSANDS,
    )
    relation: str = setting(
        "",
        "Column that says =, > or < of each value, as in exports of databases.",
        "run fit audit prompts study",
        panel=TABLE,
    )
    units_column: str = setting(
        "",
        "Column with the unit of each value; all are converted to --units.",
        "run fit audit prompts study",
        panel=TABLE,
    )
    min_class_rows: int = setting(
        0, "Leave out classes with fewer rows than this.", "run fit audit prompts study", panel=TABLE, least=0
    )
    bins: int = setting(
        0,
        "Make this many classes of a number, by training quantiles.",
        "run fit study",
        panel=TABLE,
        least=0,
        help_fit="Make this many classes of a number, by quantiles.",
    )
    context: tuple[str, ...] = setting(
        (),
        "Columns the prompt states and the baselines get, such as solvent,temperature; NAME:number or "
        "NAME:name says what one holds.",
        "run fit audit prompts reactions study",
        panel=TABLE,
    )
    features: tuple[str, ...] = setting(
        (),
        "Columns of numbers of your own, such as computed descriptors: features of the baselines, and not stated in "
        "the prompt.",
        "run fit audit reactions study",
        panel=TABLE,
    )
    largest_fragment: bool = setting(
        False, "Keep only the largest fragment of each structure.", "run fit audit prompts study", panel=TABLE
    )
    max_rows: int = setting(
        0, "Use at most this many rows, drawn by seed.", "run fit reactions study", panel=TABLE, least=0
    )
    data_dir: str = setting(
        "",
        "Folder with the files of built-in tables that are not shipped (nicolit, hitea_buchwald, chromophores, "
        "aqsoldb).",
        "run fit audit prompts reactions study",
        panel=TABLE,
    )
    split: tuple[str, ...] = setting(
        ("random", "scaffold"),
        "Splits: random, scaffold, generic-scaffold, cluster, similarity, size, label-high, label-low; ladder: all; "
        "(time|group|column|fold):COLUMN; component:COLUMN(+COLUMN), components (reactions); chemical-system, "
        "element:SYMBOL, elements (compositions); an earlier splits.csv.",
        "run",
        panel=SPLITS,
        common=True,
    )
    n_train: int = setting(
        0, "Train on at most this many rows of each fold, drawn by seed; test rows stay.", "run", panel=SPLITS, least=0
    )
    test_size: float = setting(0.2, "Share of rows to test on.", "run study", panel=SPLITS)
    folds: int = setting(0, "Number of folds; 0 for a hold-out.", "run", panel=SPLITS, least=0, common=True)
    repeats: int = setting(
        1, "How often to redo the split, each time with another seed of every arm.", "run", panel=SPLITS, least=1
    )
    arms: tuple[str, ...] = setting(
        ("all",),
        "Arms by name, the groups baselines, lm, all, or your own as MODULE:FUNCTION.",
        "run",
        panel=ARMS,
        common=True,
    )
    margin: float = setting(
        0.0,
        "Smallest difference in MAE or AUROC that matters; from repeated measurements if not given.",
        "run",
        panel=ARMS,
        least=0,
    )
    primary: str = setting(
        "", "The arm whose comparison with the preferred baseline is not corrected for the others.", "run", panel=ARMS
    )
    positive: str = setting(
        "",
        "Of two classes the one that AUPRC and --threshold are about; the rarer one if not given.",
        "run fit",
        panel=ARMS,
    )
    threshold: str = setting(
        EVEN,
        "Of two classes: from which probability on the positive one is the answer. A number, or chosen on held-out "
        "training rows: mcc (highest Matthews correlation) or cost:FN=5,FP=1 (lowest cost).",
        "run fit",
        panel=ARMS,
    )
    model: str = setting(
        DEFAULT_MODEL,
        "Known model, Hugging Face id, or local folder.",
        "run fit audit reactions study",
        panel=MODEL,
        common=True,
        help_audit="Known model, Hugging Face id, or local folder, for --states.",
    )
    dtype: str = setting(
        "auto",
        "auto (bfloat16 where it is faster here), float32 or bfloat16.",
        "run fit reactions study",
        panel=MODEL,
        choices=("auto", "float32", "bfloat16"),
    )
    template: str = setting(
        DEFAULT_TEMPLATE,
        "Prompt with the fields {property}, {context} and {molecule}, {reaction}, {components}, {composition} or "
        "{text}.",
        "run fit prompts reactions study",
        panel=MODEL,
    )
    tokenization: str = setting(
        ATOMWISE,
        "atomwise: each symbol of a SMILES has tokens of its own; model: cut like any text.",
        "run fit study",
        panel=MODEL,
        choices=TOKENIZATIONS,
    )
    representation: tuple[str, ...] = setting(
        ("canonical",),
        "How language models and ngram-ridge are shown molecules: canonical (SMILES), randomised:K, selfies, "
        "deepsmiles, inchi, name; of several the predictions are averaged.",
        "run fit prompts",
        panel=MODEL,
    )
    shuffle_components: bool = setting(
        False,
        "State the components of each training reaction in a random order of its own.",
        "run fit reactions study",
        panel=MODEL,
    )
    start: str = setting(
        AUTO,
        "What lm-head starts from: auto (adapters that know RDKit's descriptors, where shipped) or plain (none).",
        "run fit study",
        panel=MODEL,
        choices=STARTS,
    )
    steps: int = setting(
        0,
        "Optimiser steps of the LM arms; 0: by the number of rows.",
        "run fit study",
        panel=MODEL,
        least=0,
    )
    batch: int = setting(16, "Rows of each optimiser step of the LM arms.", "run fit study", panel=MODEL, least=1)
    lm_seeds: int = setting(
        0,
        "Training seeds of each language model on a hold-out; two of the primary one if not given.",
        "run",
        panel=MODEL,
        least=0,
    )
    calibrate_lm: bool = setting(
        False, "Train each language model once more, to calibrate how sure it is.", "run", panel=MODEL
    )
    seed: int = setting(
        0,
        "Seed of the splits and of every arm.",
        "run fit reactions study",
        panel=RUN,
        least=0,
        help_fit="Seed of the arm and of its calibration.",
        help_reactions="Seed of the splits, and the first of the training seeds.",
        help_study="Seed of the splits, and the first of the training seeds.",
        common=True,
    )
    budget: str = setting(
        "", "Time to keep within, such as 10m; says what it left out.", "run study", panel=RUN, common=True
    )
    keep_models: bool = setting(False, "Keep the fitted arms.", "run", panel=RUN)
    out: str = setting("", "Folder of the run; runs/<table> if empty.")

    def __post_init__(self) -> None:
        check(self)
        if not 0.05 <= self.test_size <= 0.5:
            raise InputError(f"test_size is {self.test_size}; it must lie between 0.05 and 0.5")
        for name in ("bins", "folds"):
            if getattr(self, name) == 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or at least 2")
        if self.bins and self.task == "classes":
            raise InputError("bins makes classes of a number, but task says that the target is classes already")
        if self.bins and (self.transform or self.bounds == CENSORED):
            raise InputError("bins makes classes of a number; transform and censored bounds are for numbers")
        if not self.split:
            raise InputError("no split was named; give one or more, such as random,scaffold")
        beside = [name.removesuffix(":number").removesuffix(":name") for name in self.beside]
        twice = next((name for name in beside if beside.count(name) > 1), None)
        if twice:
            raise InputError(f"{twice!r} is named twice as context or feature; name it once")
        if not self.arms:
            raise InputError("no arm was named; give one or more, such as ensemble,lm-head")
        from pipeline.prompts.templates import PromptTemplate  # these load the libraries of chemistry
        from pipeline.splits.catalogue import rung_of

        for split in self.split:
            rung_of(split)
        self._check_template(PromptTemplate(self.property_name, self.units, self.template).row_field)
        self._check_kind()
        self._check_reactions()
        Rule.of(self.threshold)
        if self.budget:
            budget_seconds(self.budget)

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns beside structure and target that arms are given: context, then features."""
        return (*self.context, *(f"{name}:number" for name in self.features))

    @property
    def kind(self) -> Kind:
        """What a row of the table is."""
        if self.reaction or self.components:
            return REACTIONS
        return COMPOSITIONS if self.composition else TEXTS if self.text else MOLECULES

    @property
    def structure(self) -> str:
        """The column of what a row is, where it stands in one; empty where it is to be found."""
        return str(getattr(self, self.kind.setting))

    def _check_kind(self) -> None:
        columns = {"smiles": self.smiles, "composition": self.composition, "text": self.text}
        named = [name for name, column in columns.items() if column]
        if self.kind is not REACTIONS and len(named) > 1:
            raise InputError(f"{' and '.join(named)} both say what a row is; give one of them")
        from pipeline.features.notations import representations  # it loads the libraries of chemistry

        if not representations(self.representation):
            raise InputError("no representation was named; give one or more, such as canonical,selfies")
        if self.representation != ("canonical",) and self.kind is not MOLECULES:
            raise InputError(f"representation is for molecules; this table holds {self.kind}")
        if self.representation != ("canonical",) and self.keep_models:
            raise InputError("keep_models keeps arms that read canonical SMILES; fit one with chemtune fit instead")
        if self.largest_fragment and self.kind is not MOLECULES:
            raise InputError(f"largest_fragment is for molecules; this table holds {self.kind}")

    def _check_template(self, field: str) -> None:
        if self.kind in (COMPOSITIONS, TEXTS) and field != self.kind.field:
            raise InputError(
                f"template {self.template!r}: a table of {self.kind} needs the field {{{self.kind.field}}} in it"
            )
        if self.kind not in (COMPOSITIONS, TEXTS) and field in (COMPOSITIONS.field, TEXTS.field):
            raise InputError(f"template {self.template!r}: the field {{{field}}} is for a table of {field}s")

    def _check_reactions(self) -> None:
        if self.shuffle_components and "{components}" not in self.template:
            raise InputError("shuffle_components is for prompts that state {components}; name them with --components")
        if self.kind is not REACTIONS:
            for name in ("success", "yield_unit", "failure_words"):
                if getattr(self, name):
                    raise InputError(f"{name} is about yields; name the reactions with --reaction or --components")
            return
        if not 0 <= self.success <= 100:
            raise InputError(f"success is {self.success}; it must be a yield in percent, between 0 and 100")
        for name in ("smiles", "composition", "text", "largest_fragment"):
            if getattr(self, name):
                kind = {"composition": COMPOSITIONS, "text": TEXTS}.get(name, MOLECULES)
                raise InputError(f"{name} is for {kind}; this table holds reactions (--reaction or --components)")
        if self.bins and self.success:
            raise InputError("bins and success both make classes of the yield; give one of the two")
        if self.yield_unit:
            for name in ("transform", "units", "units_column"):
                if getattr(self, name):
                    raise InputError(
                        f"{name} is not for yields, which are in percent; name another property with --target"
                    )
            if self.task == "classes":
                raise InputError("yields are numbers; --success makes classes of them")
            return
        for name in ("success", "failure_words"):
            if getattr(self, name):
                raise InputError(f"{name} is about yields; name their column with --yield")

    def as_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def budget_seconds(text: str) -> float:
    """Seconds in ``90s``, ``10m`` or ``1.5h``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*", text.lower())
    if not match or float(match[1]) == 0:
        raise InputError(f"budget {text!r} is not a time; write it as 90s, 10m or 1.5h")
    if not match[2]:
        raise InputError(f"budget {text!r} has no unit; write {match[1]}s, {match[1]}m or {match[1]}h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
