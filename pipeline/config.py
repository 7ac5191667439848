"""Settings of a run: a frozen dataclass from YAML and the command line, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from pipeline.coerce import coerced
from pipeline.errors import InputError, nearest, unknown
from pipeline.files import shipped_folder
from pipeline.lm.pretrained import AUTO, STARTS
from pipeline.lm.weights import DEFAULT_MODEL
from pipeline.prompts.templates import (
    ATOMWISE,
    COMPONENTS_TEMPLATE,
    DEFAULT_TEMPLATE,
    REACTION_TEMPLATE,
    TOKENIZATIONS,
    PromptTemplate,
)
from pipeline.splits.catalogue import rung_of
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.measurements import ANNOTATED, BOUNDS, CENSORED
from pipeline.tables.notation import DECIMALS, THOUSANDS
from pipeline.tables.reactions import PERCENT, YIELD_UNITS
from pipeline.tables.reading import table_name
from pipeline.tables.scales import TRANSFORMS

TASKS = ("auto", "regression", "classes")
DTYPES = ("auto", "float32", "bfloat16")
PER_TARGET = ("property_name", "units", "task", "transform")  # may differ between the targets of one table
_CHOICES = {
    "task": TASKS,
    "dtype": DTYPES,
    "transform": TRANSFORMS,
    "bounds": ("", *BOUNDS),
    "annotated": ("", *ANNOTATED),
    "decimal": DECIMALS,
    "thousands": THOUSANDS,
    "tokenization": TOKENIZATIONS,
    "start": STARTS,
    "yield_unit": ("", *YIELD_UNITS),
}
EXPERIMENTS = ("negatives", "published-only", "verifier")
STRESS = "stress"  # the key of a YAML file under which the failure-mode experiments have their settings
_ALIASES = {"yield": "target"}  # what the target of a reaction is called


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on; every field is an option of the command line and a key of the YAML.

    Attributes
    ----------
    table : str
        Path of a CSV, TSV (or ``.gz``) or Parquet file, a Hugging Face dataset id, or the name of a built-in table.
    smiles, target : str
        Column names; ``yield`` in a YAML names the column of the yields of reactions, ``target`` that of any other
        property of theirs. The settings of several targets are taken apart by `config_per_target`.
    id : str
        Column with the user's own name of each row; it stands in all tables of the run.
    reaction : str
        Column of reaction SMILES, for a table of reactions.
    components : tuple of str
        Columns that hold one component of a reaction each; ``NAME:name`` for one that holds names, not SMILES.
    yield_unit : {"", "percent", "fraction"}
        Of the target, if it is a yield; empty for another property.
    failure_words : tuple of str
        Words that stand for a yield of zero, in place of those that chemtune knows, or beside them (``+n.d.``).
    success : float
        If not 0: the target is whether the yield reaches this many percent.
    property_name, units : str
        What the prompt calls the target.
    task : {"auto", "regression", "classes"}
    transform : {"", "log10", "pIC50"}
        Scale on which a number is modelled; ``predict`` answers on the column's own.
    bounds : {"", "refuse", "limit", "censored"}
        What becomes of values such as ``>10``; empty refuses them, but takes yields at the limit.
    annotated : {"", "refuse", "accept"}
        What becomes of values such as ``1.2±0.3`` and ``5 µM``; empty refuses them, but accepts yields.
    decimal, thousands : str
        The mark before the decimals (``.`` or ``,``) and between thousands (``,``, ``.``, ``'``, ``space``, ``none``);
        empty decides from the column.
    relation, units_column : str
        Columns with the relation (``=``, ``>``, ``<``) and the unit of each value.
    min_class_rows : int
        Leave out the rows of classes with fewer rows than this; 0 for none.
    bins : int
        Turn a number into this many classes by quantiles of the training rows; 0 leaves it a number.
    context : tuple of str
        Columns that the prompt states and the baselines get as features; ``NAME:number`` and ``NAME:name`` say what
        one holds.
    largest_fragment : bool
        Keep only the largest fragment of each structure.
    max_rows : int
        Use at most this many rows, drawn by seed; 0 for all.
    n_train : int
        Train on at most this many of a fold's training rows, drawn by seed; 0 for all. Test rows stay.
    split : tuple of str
    test_size : float
        Share of rows in a hold-out.
    folds : int
        0 for a hold-out.
    repeats : int
        How often the rows are dealt into test and training rows anew; every arm is trained with a seed of its own
        each time.
    margin : float
        Largest difference in the primary metric that makes no difference in practice; 0 for what repeated measurements
        say, where there are some: half the lower limit of their noise, and at most a tenth of the error of the
        preferred baseline.
    primary : str
        The arm whose comparison with the preferred baseline is the primary one, tested at 5 % by itself; empty for the
        first language model, `lm-head` before others.
    positive : str
        Of two classes the one that AUPRC is about; empty for the rarer one.
    arms : tuple of str
        Names of arms, or the groups ``baselines``, ``lm`` and ``all``.
    model : str
        Known name, Hugging Face id, or folder.
    dtype : {"auto", "float32", "bfloat16"}
    template : str
        Of the prompt.
    tokenization : {"atomwise", "model"}
        Whether each symbol of a SMILES has tokens of its own, or the tokenizer cuts it like any text.
    shuffle_components : bool
        State the components of each training reaction in a random order of its own.
    start : {"auto", "plain"}
        Whether ``lm-head`` starts from adapters that know RDKit's descriptors, where there are some for the model.
    steps : int
        Optimiser steps of the language-model arms; 0 lets them follow from the number of rows.
    lm_seeds : int
        With how many seeds each language model is trained on each hold-out; 0 for two of the primary one on the first
        split if that has at most 1,000 training rows, and one elsewhere.
    seed : int
        Of the splits and of every arm.
    calibrate_lm : bool
        Train each language-model arm once more without a part of the training rows, to calibrate its intervals or
        chances on them; the baselines are calibrated anyway.
    budget : str
        Time to keep within, such as ``10m``; empty for no limit.
    keep_models : bool
        Keep the fitted arms.
    data_dir : str
        A folder with the files of built-in tables that are not shipped; empty to fetch them.
    out : str
        Folder of the run; empty for ``runs/<table>``.
    """

    table: str = ""
    smiles: str = ""
    target: str = ""
    id: str = ""
    reaction: str = ""
    components: tuple[str, ...] = ()
    yield_unit: str = ""
    failure_words: tuple[str, ...] = ()
    success: float = 0.0
    property_name: str = ""
    units: str = ""
    task: str = "auto"
    transform: str = ""
    bounds: str = ""
    annotated: str = ""
    decimal: str = ""
    thousands: str = ""
    relation: str = ""
    units_column: str = ""
    min_class_rows: int = 0
    bins: int = 0
    context: tuple[str, ...] = ()
    largest_fragment: bool = False
    max_rows: int = 0
    n_train: int = 0
    split: tuple[str, ...] = ("random", "scaffold")
    test_size: float = 0.2
    folds: int = 0
    repeats: int = 1
    margin: float = 0.0
    primary: str = ""
    positive: str = ""
    arms: tuple[str, ...] = ("all",)
    model: str = DEFAULT_MODEL
    dtype: str = "auto"
    template: str = DEFAULT_TEMPLATE
    tokenization: str = ATOMWISE
    shuffle_components: bool = False
    start: str = AUTO
    steps: int = 0
    lm_seeds: int = 0
    seed: int = 0
    calibrate_lm: bool = False
    budget: str = ""
    keep_models: bool = False
    data_dir: str = ""
    out: str = ""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), [choice for choice in choices if choice])
        if not 0.05 <= self.test_size <= 0.5:
            raise InputError(f"test_size is {self.test_size}; it must lie between 0.05 and 0.5")
        for name in ("bins", "folds"):
            if getattr(self, name) < 0 or getattr(self, name) == 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or at least 2")
        if self.repeats < 1:
            raise InputError(f"repeats is {self.repeats}; it must be at least 1")
        for name in ("max_rows", "n_train", "steps", "seed", "margin", "min_class_rows", "lm_seeds"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.bins and self.task == "classes":
            raise InputError("bins makes classes of a number, but task says that the target is classes already")
        if self.bins and (self.transform or self.bounds == CENSORED):
            raise InputError("bins makes classes of a number; transform and censored bounds are for numbers")
        if not self.split:
            raise InputError("no split was named; give one or more, such as random,scaffold")
        if not self.arms:
            raise InputError("no arm was named; give one or more, such as ensemble,lm-head")
        for split in self.split:
            rung_of(split)
        PromptTemplate(self.property_name, self.units, self.template)
        self._check_reactions()
        if self.budget:
            budget_seconds(self.budget)

    @property
    def has_reactions(self) -> bool:
        return bool(self.reaction or self.components)

    def _check_reactions(self) -> None:
        if self.shuffle_components and "{components}" not in self.template:
            raise InputError("shuffle_components is for prompts that state {components}; name them with --components")
        if not self.has_reactions:
            for name in ("success", "yield_unit", "failure_words"):
                if getattr(self, name):
                    raise InputError(f"{name} is about yields; name the reactions with --reaction or --components")
            return
        if not 0 <= self.success <= 100:
            raise InputError(f"success is {self.success}; it must be a yield in percent, between 0 and 100")
        for name in ("smiles", "largest_fragment"):
            if getattr(self, name):
                raise InputError(f"{name} is for molecules; this table holds reactions (--reaction or --components)")
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
    """Seconds in ``90s``, ``10m``, ``1.5h`` or ``600``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*", text.lower())
    if not match or float(match[1]) == 0:
        raise InputError(f"budget {text!r} is not a time; write it as 90s, 10m or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def _coerce(name: str, value: Any, kind: Any, where: str) -> Any:
    if name in ("target", *PER_TARGET) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if kind == tuple[str, ...] and not isinstance(value, (str, list, tuple)):
        raise InputError(f"{where}: {name} is {value!r}; expected a list of names")
    return coerced(value, kind, f"{where}: {name}")


def _load_yaml(path: Path) -> Mapping[str, Any]:
    """The keys and values of a YAML file, not yet understood."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected settings as 'key: value' lines")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings from a YAML file, their names and types checked."""
    content = _load_yaml(path)
    kinds = get_type_hints(RunConfig)
    content = _without_aliases({key: value for key, value in content.items() if key != STRESS}, str(path))
    for key in content:
        if key not in kinds:
            names = [*(field.name for field in fields(RunConfig)), *_ALIASES]
            raise InputError(f"{path}: unknown key {key!r}{nearest(str(key), names)}; the keys are {', '.join(names)}")
    return {key: _coerce(key, value, kinds[key], str(path)) for key, value in content.items()}


def read_stress(source: str, experiment: str) -> dict[str, Any]:
    """What a YAML file says under ``stress`` of an experiment; nothing for another source."""
    if not source.lower().endswith((".yaml", ".yml")):
        return {}
    path = _config_path(source)
    found = _load_yaml(path).get(STRESS) or {}
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: {STRESS} is {found!r}; expected the name of an experiment and settings below it")
    for name in found:
        if name not in EXPERIMENTS:
            raise unknown(f"experiment under {STRESS} in {path}", str(name), EXPERIMENTS)
    settings = found.get(experiment) or {}
    if not isinstance(settings, Mapping):
        raise InputError(f"{path}: {STRESS}: {experiment} is {settings!r}; expected settings as 'key: value' lines")
    return dict(settings)


def _config_path(source: str) -> Path:
    """A YAML file of the user's, or one that comes with chemtune."""
    path = Path(source)
    folder = shipped_folder("configs")
    if not path.exists():
        path = folder / source.removeprefix("configs/")
    if not path.exists():
        shipped = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.yaml"))
        raise InputError(
            f"no such file: {source}{nearest(Path(source).name, shipped)}; configs that come with chemtune: "
            f"{', '.join(shipped)}"
        )
    return path


def _without_aliases(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings under their own names, none given twice."""
    settings = {key: value for key, value in given.items() if key not in _ALIASES}
    for alias, name in _ALIASES.items():
        if given.get(alias) is None:
            continue
        if settings.get(name) is not None:
            raise InputError(f"{where}: {alias} and {name} are the same setting; give one of the two")
        settings[name] = given[alias]
    return settings


def merge_settings(source: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from the card of a built-in table, a YAML file and the command line, in that order.

    Parameters
    ----------
    source : str
        A YAML file, or what its key ``table`` may hold.
    given : mapping
        Options of the command line; those that are None were not given.
    """
    settings: dict[str, Any] = {}
    content: Mapping[str, Any] = {}
    if source.lower().endswith((".yaml", ".yml")):
        path = _config_path(source)
        settings, content = read_yaml(path), _load_yaml(path)
        beside = path.parent / str(settings.get("table", ""))
        if not Path(settings.get("table", "")).exists() and beside.is_file():
            settings["table"] = str(beside)
    else:
        settings["table"] = source
    kinds = get_type_hints(RunConfig)
    named = {key: value for key, value in given.items() if value is not None}
    settings |= {
        key: _coerce(key, value, kinds[key], "command line")
        for key, value in _without_aliases(named, "command line").items()
    }
    if not settings.get("table"):
        raise InputError(f"{source}: no table is named; add a line such as 'table: my.csv'")
    settings = _from_card(settings) | settings
    settings = _of_reactions(settings) | settings
    if "yield_unit" not in settings and _names_yields(settings, {**content, **named}):
        settings["yield_unit"] = PERCENT
    if not settings.get("target"):
        option = "--yield" if settings.get("reaction") or settings.get("components") else "--target"
        raise InputError(f"{settings['table']}: which column is the target? Name it with {option}")
    settings["out"] = settings.get("out") or str(Path("runs") / table_name(settings["table"]))
    return settings


def _names_yields(settings: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the target of a table of reactions is a yield: named as such, or by a name that says so."""
    if not (settings.get("reaction") or settings.get("components")):
        return False
    named = str(settings.get("target") or "").lower()
    return given.get("yield") is not None or not named or "yield" in named


def make_config(source: str, given: Mapping[str, Any]) -> RunConfig:
    """The settings of a run over one target; see `merge_settings`."""
    return RunConfig(**merge_settings(source, given))


def config_per_target(settings: Mapping[str, Any], columns: Sequence[str]) -> list[RunConfig]:
    """One run per target where ``target`` names several columns, separated by commas.

    Each has a folder of its own below ``out``. What differs between targets (`PER_TARGET`) may be
    given once for all of them, or once for each, separated by commas as well.

    Parameters
    ----------
    settings : mapping
        As `merge_settings` gives them.
    columns : sequence of str
        Of the table: a column whose own name has a comma in it is one target.

    Raises
    ------
    InputError
        If a setting is given for some targets but not for all.
    """
    wanted = settings["target"]
    names = [wanted] if wanted in columns else [name.strip() for name in wanted.split(",") if name.strip()]
    if len(names) == 1:
        return [RunConfig(**{**settings, "target": names[0]})]
    if len(set(names)) < len(names):
        raise InputError(f"target {wanted!r} names a column twice")
    each = {key: _one_each(key, settings[key], names) for key in PER_TARGET if settings.get(key)}
    configs = []
    for number, name in enumerate(names):
        out = Path(settings["out"]) / _folder_name(name, names)
        own = {key: values[number] for key, values in each.items()}
        configs.append(RunConfig(**{**settings, **own, "target": name, "out": str(out)}))
    return configs


def _folder_name(target: str, targets: Sequence[str]) -> str:
    """A name for the folder of a target that no other target of the table gets."""
    slugs = [re.sub(r"[^\w.-]+", "_", name).strip("._") or "target" for name in targets]
    position = list(targets).index(target)
    lowered = [slug.lower() for slug in slugs]
    return slugs[position] if lowered.count(lowered[position]) == 1 else f"{slugs[position]}_{position + 1}"


def _one_each(key: str, value: str, names: Sequence[str]) -> list[str]:
    parts = [part.strip() for part in value.split(",")]
    if len(parts) == 1 and key != "property_name":
        return parts * len(names)
    if len(parts) != len(names):
        raise InputError(
            f"{key} is {value!r}: {len(parts)} for {len(names)} targets ({', '.join(names)}); give one for each, "
            "separated by commas"
        )
    return parts


def _from_card(settings: dict[str, Any]) -> dict[str, Any]:
    """What the card of a built-in table says, if the table is one and its own target is meant."""
    name = settings["table"]
    if not is_built_in(name):
        return {}
    about = card(name)
    if about.reaction or about.components:
        return {
            "reaction": about.reaction,
            "components": about.components,
            "target": about.target,
            "yield_unit": about.yield_unit,
        }
    if settings.get("target", about.target) != about.target:
        return {"smiles": about.smiles}
    return {
        "smiles": about.smiles,
        "target": about.target,
        "task": "auto" if settings.get("bins") else about.task,
        "property_name": about.property_name,
        "units": about.units,
    }


def _of_reactions(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is usual for a table of reactions, if the table is one."""
    if settings.get("components"):
        return {"split": ("random", "components"), "template": COMPONENTS_TEMPLATE}
    return {"split": ("random", "components"), "template": REACTION_TEMPLATE} if settings.get("reaction") else {}


def write_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as YAML, as stored with the run."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
