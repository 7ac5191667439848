"""What kind of task a column is: numbers or classes; and how a class is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from pipeline.errors import InputError
from pipeline.tables.measurements import ERRORS_OF_SHEETS, MISSING, TargetError, parse_measurement
from pipeline.tables.notation import PLAIN, Notation

REGRESSION, CLASSES = "regression", "classes"
MAX_CLASSES = 50
NONE, PLUS, MINUS = "none", "+", "-"
MISSING_CLASS = {"", "na", "n/a", "<na>", "nan", "null", "-", "--", "nd", "n.d.", *ERRORS_OF_SHEETS}
TRUE, FALSE = "True", "False"
_TRUTH = {
    **dict.fromkeys(("true", "t", "1", "yes", "y"), TRUE),
    **dict.fromkeys(("false", "f", "0", "no", "n"), FALSE),
}
_WORDS_OF_TRUTH = {"true", "t", "yes", "y", "false", "f", "no", "n"}
UNDECIDED = {  # classes that may be no answer
    "inconclusive",
    "ambiguous",
    "equivocal",
    "indeterminate",
    "undetermined",
    "not determined",
    "not tested",
    "unspecified",
    "unknown",
}
_LONGEST_NUMBER = 40  # characters


def parse_class(text: str, minus: bool = False) -> str:
    """A class label: the text itself, whole numbers without their decimals (``1.0`` is ``1``), to the last digit; where
    ``minus`` is set, ``-`` is one.

    Raises
    ------
    TargetError
        If the cell is missing.
    """
    cleaned = " ".join(text.split())
    if cleaned.lower() in MISSING_CLASS and not (minus and cleaned == MINUS):
        raise TargetError("missing target")
    try:
        number = Decimal(cleaned) if len(cleaned) <= _LONGEST_NUMBER and "_" not in cleaned else None
    except InvalidOperation:
        return cleaned
    if number is None or not number.is_finite() or abs(number.adjusted()) > _LONGEST_NUMBER or number != int(number):
        return cleaned
    return str(int(number))


@dataclass(frozen=True)
class ClassReader:
    """The classes of a column: ways of writing one class are one.

    ``names`` leads from a way of writing (in lower case) to the class, ``missing`` holds what is taken for no
    value, ``rules`` say what was joined, in words.
    """

    names: Mapping[str, str]
    missing: frozenset[str]
    rules: tuple[str, ...]
    minus: bool = False  # whether "-" is a class, beside "+"

    @classmethod
    def of(cls, cells: Iterable[str]) -> ClassReader:
        """Upper and lower case, and ways of writing true and false, are joined where they stand side by side.

        ``none`` is a class where it stands in several rows; once alone it is a missing value.
        """
        cells = list(cells)
        minus = any(cell.strip() == PLUS for cell in cells)
        written: Counter[str] = Counter()
        for cell in cells:
            try:
                written[parse_class(cell, minus)] += 1
            except TargetError:
                continue
        folded: dict[str, Counter[str]] = defaultdict(Counter)
        for text, count in written.items():
            folded[text.casefold()][text] += count
        missing = frozenset({NONE} if sum(folded.get(NONE, Counter()).values()) == 1 else ())
        names = {key: min(ways, key=lambda text: (-written[text], text)) for key, ways in folded.items()}
        rules = [
            f"{' and '.join(f'{text!r} ({ways[text]})' for text in sorted(ways))} are one class, {names[key]!r}"
            for key, ways in sorted(folded.items())
            if len(ways) > 1
        ]
        kinds = set(folded) - missing
        if kinds <= set(_TRUTH) and kinds & _WORDS_OF_TRUTH and len(kinds) > len({_TRUTH[key] for key in kinds}):
            names = {key: _TRUTH[key] for key in kinds}
            rules = [
                f"{', '.join(f'{key!r}' for key in sorted(kinds) if _TRUTH[key] == truth)} are one class, {truth!r}"
                for truth in (FALSE, TRUE)
                if sum(_TRUTH[key] == truth for key in kinds) > 1
            ]
        if NONE in kinds:
            rules.append(f"{names[NONE]!r} ({sum(folded[NONE].values())} rows) is a class, not a missing value")
        if minus and MINUS in kinds:
            rules.append(f"{MINUS!r} ({written[MINUS]} rows) is a class beside {PLUS!r}, not a missing value")
        rules += [
            f"{names[key]!r} ({sum(folded[key].values())} rows) is a class of its own; leave these rows out of the "
            "table if it stands for no answer"
            for key in sorted(kinds & UNDECIDED)
            if len(kinds) > 2
        ]
        return cls(names, missing, tuple(rules), minus)

    def read(self, cell: str) -> str:
        """The class of a cell.

        Raises
        ------
        TargetError
            If the cell is missing.
        """
        label = parse_class(cell, self.minus)
        if label.casefold() in self.missing:
            raise TargetError("missing target")
        return self.names.get(label.casefold(), label)


def infer_task(
    values: Sequence[str], notation: Notation = PLAIN, source: str = "", column: str = ""
) -> tuple[str, str]:
    """``(task, why)``: numbers with more than two values are regression, the rest classes: also 0 and 1 beside words,
    such as ``inconclusive``.

    Raises
    ------
    InputError
        If the column is text with more than ``MAX_CLASSES`` different values.
    """
    present = [value for value in values if value.strip().lower() not in MISSING]
    numbers, different = 0, set()
    for value in present:
        try:
            different.add(parse_measurement(value, notation).number)
            numbers += 1
        except TargetError:
            continue
    classes = ClassReader.of(values)
    distinct = set(classes.names.values())
    if different == {0.0, 1.0} and numbers < len(present) and len(distinct) <= MAX_CLASSES:
        return CLASSES, f"the numbers of {column!r} are 0 and 1 alone, beside {len(present) - numbers} words"
    if present and numbers >= 0.5 * len(present) and len(distinct) > 2:
        return REGRESSION, f"{numbers} of {len(present)} values of {column!r} are numbers"
    if len(distinct) > MAX_CLASSES:
        example = sorted(distinct)[0]
        raise InputError(
            f"{source}: column {column!r} is text with {len(distinct)} different values (such as {example!r}); "
            "a target is a number or one of a few classes. Name another column with --target"
        )
    return CLASSES, f"{column!r} has {len(distinct)} different values"
