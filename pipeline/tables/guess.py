"""Which columns of a table hold the structure and the measured value, where the user has not said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pandas as pd
from rdkit import rdBase

from pipeline.errors import InputError
from pipeline.tables.compositions import parse_composition
from pipeline.tables.measurements import MISSING, TargetError, parse_measurement
from pipeline.tables.molecules import MoleculeError, is_smiles
from pipeline.tables.reactions import is_reaction, split_reaction
from pipeline.tables.reading import RawTable, find_smiles_column
from pipeline.tables.scales import is_unit
from pipeline.tables.target_column import column_notation
from pipeline.tables.targets import CLASSES, REGRESSION, infer_task

STRUCTURES = ("smiles", "reaction", "components", "composition", "text")  # settings that say what the structures are
FEW_ROWS = 20
SAMPLE = 60  # cells of a column that are looked at for structures
LEAST_SHARE = 0.9  # of them that must be structures
MOST_CLASSES = 10  # values of a column that is thought to hold classes
_TARGET = re.compile(
    r"^(y|target|label|value|activity|property|class|measured|exp(eriment(al)?)?|outcome|response|result|active|toxic)$"
    r"|^(measured|exp(erimental)?)[ -]"
    r"|^(p?(ic|ec|ac|cc|gi|ld|lc|ed)50|p?k[id]|pk[ab]|log ?[sk]\w*|p?mic|ee|er|dr)\b"
    r"|solubil|lipophil|permeab|affinity|potency|toxic|yield|band[ -]?gap|wavelength|lambda|melting|boiling|hydration"
    r"|inhibition|conversion|clearance|half[ -]?life|barrier|enthalp|energy|selectivity|\bd?tm\b|\btg\b|\b(h|l)omo\b",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"^(unnamed.*|column \d+|index|row|no|nr|id|.* id|id .*|#|.*number|cas.*|cid|line"
    r"|year|date|doi|ref(erence)?|source|split|fold|set)$",
    re.IGNORECASE,
)
_ORIGIN = re.compile(
    r"(source|origin|reference|ref|doi|pmid|paper|publication|article|journal|patent|lab|laboratory|assay|dataset"
    r"|data ?base|study|site|batch|screen|campaign|document|operator|instrument)"
    r"( ?(id|name|no|number|doi|chembl id))?s?|(document|assay|source) chembl id|year|date",
    re.IGNORECASE,
)
_PREDICTED = re.compile(
    r"predict|calculat|computed|\bcalc\b|error|\bstd\b|\bsd\b|stdev|uncertain|weight|\bmw\b|count", re.I
)
_AMOUNT = re.compile(r"^eq[ _.]|equiv|mmol|amount|loading|conc|temp|time", re.IGNORECASE)
_ROLES = (
    "halide", "aryl", "amine", "ligand", "base", "solvent", "additive", "catalyst", "acid", "boron", "nucleophile",
    "electrophile", "reactant", "reagent", "substrate", "oxidant", "reductant",
)  # fmt: skip
_SUFFIXES = ("nM", "uM", "µM", "mM", "pM", "M", "eV", "meV", "K", "nm", "cm-1", "kcal/mol", "kJ/mol", "g/L", "mg/L")
_WORDS = ("SMILES", "CANONICAL")  # not structures
_LOGARITHM = re.compile(r"log(10)?[ _]?[A-Z]\b|log(10)?[ _(]", re.IGNORECASE)  # a number that is one already
_SLASHED = re.compile(r"^(.*?)\s*/\s*(\S+)$")
_IN_BRACKETS = re.compile(r"^(.*?)\s*[(\[]([^()\[\]]+)[)\]]$")


@dataclass(frozen=True)
class Guess:
    """What a table seems to hold.

    Attributes
    ----------
    settings : dict
        ``smiles``, ``reaction`` or ``components``, ``target``, ``units``, ``property_name`` as far as they are clear.
    reasons : dict
        Why, by the name of the setting.
    candidates : tuple of str
        Columns that may be the target.
    named : tuple of str
        Columns that seem to hold the user's names of the rows.
    """

    settings: dict[str, object] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether the target is clear."""
        return "target" in self.settings

    def beside(self, said: Mapping[str, object]) -> Guess:
        """What is left of the guess beside settings that the user has made; one that says what the structures are hides
        all of that kind."""
        made = {name for name, value in said.items() if value}
        hidden = made | (set(STRUCTURES) if made & set(STRUCTURES) else set())
        kept = {name: value for name, value in self.settings.items() if name not in hidden}
        return replace(self, settings=kept, reasons={name: why for name, why in self.reasons.items() if name in kept})

    def said(self) -> list[str]:
        """What was taken for what, and why, a sentence each."""
        shown = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in self.settings.items()}
        options = {name: name.replace("_", "-") for name in self.settings}
        if "target" in options and "smiles" not in self.settings and "yield" in str(shown["target"]).lower():
            options["target"] = "yield"
        others = [column for column in self.candidates if column != self.settings.get("target")]
        also = f"; also possible: {', '.join(others[:5])}" if others else ""
        return [
            f"Guessed: --{options[name]} {shown[name]} ({reason}{also if name == 'target' else ''})"
            for name, reason in self.reasons.items()
        ]


def guess(raw: RawTable, target: str = "") -> Guess:
    """Look at the names and the cells of all columns.

    A column is taken for the target if it is the only one with measured values, or the only one of these whose name
    says so.

    Parameters
    ----------
    target : str
        The target, where the user has named it; if that is no column, none is guessed.

    Raises
    ------
    InputError
        If the table has no header.
    """
    settings: dict[str, object] = {}
    reasons: dict[str, str] = {}
    columns = [str(column) for column in raw.frame.columns]
    molecules = _structures(raw)
    reactions = [column for column in columns if _holds_reactions(raw.frame[column])]
    roles = [
        column for column in columns if any(role in column.lower() for role in _ROLES) and not _AMOUNT.search(column)
    ]
    values = _measured(raw, {*molecules, *reactions, *roles})
    yields = [column for column in values if "yield" in column.lower()]
    if reactions:
        settings["reaction"], reasons["reaction"] = reactions[0], "its cells are reaction SMILES"
    if (reactions or yields) and len(roles) > 1:
        components = tuple(column if column in molecules else f"{column}:name" for column in roles)
        settings["components"], reasons["components"] = components, "their names are roles in a reaction"
    if not reactions and "components" not in settings:
        formulas = [] if molecules else [column for column in columns if _holds_formulas(raw.frame[column])]
        settings |= _smiles(raw, columns, molecules, formulas, reasons)
    named = tuple(column for column in columns if _names_rows(column, raw.frame[column]))
    _refuse_headless(raw, settings)
    if not target:
        target = _target(values, yields if "smiles" not in settings else [], reasons)
    if target in columns:
        settings["target"] = target
        _units(target, settings, reasons)
    return Guess(settings, reasons, tuple(values), named)


def guessed(raw: RawTable, option: str) -> Guess:
    """`guess`, where the target is clear.

    Raises
    ------
    InputError
        If it is not, with the columns that it may be.
    """
    found = guess(raw)
    if found.sure:
        return found
    listed = ", ".join(map(repr, found.candidates[:30]))
    few = f" (there are {len(raw.frame)} rows, of which little can be told)" if len(raw.frame) < FEW_ROWS else ""
    what = f"it may be {listed}" if listed else f"no column looks like measured values{few}"
    raise InputError(f"{raw.source}: which column is the target? Name it with {option}; {what}")


def structure_column(raw: RawTable) -> tuple[str, str]:
    """The column of structures when the user named none, and how it was found if not by its name.

    Raises
    ------
    InputError
        If no column is named like one, and not exactly one holds structures.
    """
    columns = [str(column) for column in raw.frame.columns]
    try:
        return find_smiles_column(columns, raw.source, raw.structure), ""
    except InputError:
        found = _structures(raw)
        if len(found) != 1:
            raise
        return found[0], f"{found[0]!r} is taken for the structure: the only column whose cells are SMILES"


def origin_columns(raw: RawTable) -> list[str]:
    """The columns that say by their name where a row comes from, and hold two or more values."""
    names = [str(column) for column in raw.frame.columns]
    named = [name for name in names if _ORIGIN.fullmatch(re.sub(r"[\s_.-]+", " ", name).strip())]
    return [name for name in named if raw.frame[name].nunique() > 1]


def _names_rows(column: str, cells: pd.Series) -> bool:
    """Whether a column seems to hold the user's names of the rows."""
    return bool(re.search(r"(^|[ _])(id|name|compound|entry)$", column, re.IGNORECASE)) and not cells.duplicated().any()


def _refuse_headless(raw: RawTable, settings: dict[str, object]) -> None:
    """Raise `InputError` where the name of the column of structures is a structure itself."""
    name = str(settings.get("smiles", ""))
    numbered = any(re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", str(column)) for column in raw.frame.columns)
    with rdBase.BlockLogs():
        is_structure = bool(name) and name not in _WORDS and is_smiles(name)
    if is_structure and (numbered or len(name) > 2):
        raise InputError(
            f"{raw.source}: the first line looks like a row, not a header ({name!r} is a SMILES); the names of the "
            "columns belong there"
        )


def _smiles(
    raw: RawTable, columns: Sequence[str], molecules: Sequence[str], formulas: Sequence[str], reasons: dict[str, str]
) -> dict[str, object]:
    """The column of the molecules, or of formulas where there are none."""
    try:
        found = find_smiles_column(list(columns), raw.source, raw.structure)
    except InputError:
        if not molecules and formulas:
            reasons["composition"] = "its cells are formulas" + (", the first of several" if len(formulas) > 1 else "")
            return {"composition": formulas[0]}
        if not molecules:
            return {}
        reasons["smiles"] = "its cells are SMILES" + (", the first of several" if len(molecules) > 1 else "")
        return {"smiles": molecules[0]}
    reasons["smiles"] = "the drawn molecules" if found == raw.structure else "by its name"
    return {"smiles": found}


def _sample(cells: pd.Series) -> list[str]:
    filled = [cell.strip() for cell in cells.drop_duplicates() if cell.strip()]
    step = max(1, len(filled) // SAMPLE)
    return filled[::step][:SAMPLE]


def _structures(raw: RawTable) -> list[str]:
    """The columns whose cells are SMILES of molecules."""
    return [str(column) for column in raw.frame.columns if _structure_share(raw.frame[column]) >= LEAST_SHARE]


def _structure_share(cells: pd.Series) -> float:
    """Share of some cells that are SMILES of molecules; 0 for words and numbers that are such by chance."""
    sample = _sample(cells)
    if not sample or max(map(len, sample)) < 4:
        return 0.0
    with rdBase.BlockLogs():
        found = [is_smiles(cell) for cell in sample if not is_reaction(cell)]
    telling = any(re.search(r"[=#()\[\]]|[A-Za-z]\d", cell) for cell in sample)
    return sum(found) / len(sample) if telling else 0.0


def _holds_formulas(cells: pd.Series) -> bool:
    """Whether some cells are formulas of compounds, most of several elements; words and numbers are such by chance."""
    sample, found = _sample(cells), []
    for cell in sample:
        try:
            found.append(parse_composition(cell))
        except MoleculeError:
            continue
    several = sum("-" in one.scaffold for one in found)
    return len(sample) > 1 and len(found) >= LEAST_SHARE * len(sample) and several >= len(found) / 2


def _holds_reactions(cells: pd.Series) -> bool:
    sample = _sample(cells)
    if not sample or not all(is_reaction(cell) for cell in sample):
        return False
    with rdBase.BlockLogs():
        whole = [all(is_smiles(part) for part in split_reaction(cell.split(" |")[0]) if part) for cell in sample]
    return sum(whole) >= LEAST_SHARE * len(whole)


def _measured(raw: RawTable, others: set[str]) -> dict[str, str]:
    """The columns that may be the target, with their task."""
    found: dict[str, str] = {}
    for column in map(str, raw.frame.columns):
        cells = raw.frame[column]
        plain = column.replace("_", " ")
        if column in others or _NUMBERED.match(plain) or _PREDICTED.search(plain):
            continue
        filled = [cell.strip() for cell in cells if cell.strip().lower() not in MISSING]
        if len(filled) < 2 or len(set(filled)) < 2:
            continue
        try:
            notation = column_notation(raw, column)
        except InputError:  # numbers that can be read in two ways: who reads them says what to do
            found[column] = REGRESSION
            continue
        try:
            task, _ = infer_task(list(cells), notation, raw.source, column)
        except InputError:  # too many words to be classes
            continue
        if (task == REGRESSION and not _counts_rows(filled)) or (
            task == CLASSES and len(set(filled)) <= MOST_CLASSES and len(filled) >= 4 * len(set(filled))
        ):
            found[column] = task
    return found


def _counts_rows(filled: Sequence[str]) -> bool:
    """Whether the cells are the numbers of the rows."""
    numbers = []
    for cell in filled:
        try:
            numbers.append(parse_measurement(cell).number)
        except TargetError:
            return False
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return steps == {1.0}


def _target(values: dict[str, str], yields: Sequence[str], reasons: dict[str, str]) -> str:
    """The column that is the target, or nothing where that is not clear."""
    if len(yields) == 1:
        reasons["target"] = "by its name"
        return yields[0]
    if len(values) == 1:
        reasons["target"] = "the only column of measured values"
        return next(iter(values))
    named = [column for column in values if _TARGET.search(column.replace("_", " "))]
    if len(named) == 1:
        reasons["target"] = "by its name"
        return named[0]
    numbers = [column for column in values if values[column] == REGRESSION]
    if len(numbers) == 1 and not named:
        reasons["target"] = "the only column of numbers"
        return numbers[0]
    return ""


def _units(target: str, settings: dict[str, object], reasons: dict[str, str]) -> None:
    """The units that stand in the name of the target, and the name without them."""
    if "yield" in target.lower() and "smiles" not in settings:
        return
    name, units = target, ""
    bracketed = _IN_BRACKETS.match(target)
    slashed = _SLASHED.match(target)
    if slashed and not bracketed and is_unit(slashed[2]):
        bracketed = slashed
    if bracketed and (is_unit(bracketed[2]) or bracketed[2].startswith("log")):
        name, units = bracketed[1], bracketed[2]
    else:
        for suffix in _SUFFIXES:
            for mark in "_ -":
                if target.endswith(mark + suffix):
                    name, units = target[: -len(suffix) - 1], suffix
    if units and _LOGARITHM.match(name) and not units.startswith("log"):
        units = f"log {units}"
    if units:
        settings["units"], reasons["units"] = units, "from the name of the column"
        settings["property_name"] = name.replace("_", " ").strip()
        reasons["property_name"] = "the name of the column without its units"
