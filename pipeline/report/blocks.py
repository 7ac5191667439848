"""What a page is made of: text, tables, figures and drawings as plain data; a template writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from pipeline.evaluation.numbers import Interval, decimals_of, number, written


@dataclass(frozen=True)
class Verdict:
    """What was found, in the order of importance."""

    kind: ClassVar[str] = "verdict"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Text:
    """Sentences, each a paragraph; ``soft`` for how to read what stands beside them."""

    kind: ClassVar[str] = "text"
    sentences: Sequence[str]
    soft: bool = True


def note(*sentences: str) -> Text:
    """How to read what stands beside it."""
    return Text(sentences)


@dataclass(frozen=True)
class Listed:
    """A list; ``box`` for one that must not be overlooked."""

    kind: ClassVar[str] = "listed"
    items: Sequence[str]
    title: str = ""
    box: bool = False


@dataclass(frozen=True)
class Links:
    """Other pages, by their names and addresses seen from this one."""

    kind: ClassVar[str] = "links"
    pages: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """A line to copy."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Shaded:
    """A cell of a matrix on a tint: from 0 for the best to `TINTS` - 1 for no better than a constant."""

    value: Interval
    tint: int


TINTS = 6


@dataclass(frozen=True)
class Group:
    """Rows of a table that stand under a heading of their own."""

    heading: str
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Written:
    """A cell as it stands on the page; ``key`` is what it is sorted by."""

    text: str
    range: str = ""
    key: float | None = None
    tint: int | None = None


@dataclass(frozen=True)
class Grid:
    """A table of the page; a reader sorts it by a column where it has a header and no groups.

    Attributes
    ----------
    header : sequence of str
        Empty for a table without one.
    rows : sequence
        Of texts, numbers, `Interval`, `Shaded`, `Written` or None, or of `Group`.
    words : frozenset of int
        Columns that hold words, besides the first one; ``wrapped`` those that hold sentences.
    name : str
        What tells the table from others of the page.
    marked : frozenset of int
        Rows that stand out; ``strong`` those whose name does.
    caption : str
        How to read it.
    aligned : bool
        Whether intervals of a column are of one kind, and have the same decimals; else those of a row are.
    """

    kind: ClassVar[str] = "grid"
    header: Sequence[str]
    rows: Sequence[Any]
    words: frozenset[int] = frozenset()
    wrapped: frozenset[int] = frozenset()
    name: str = ""
    marked: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    caption: str = ""
    aligned: bool = True

    @property
    def sortable(self) -> bool:
        return bool(self.header) and len(self.rows) > 2 and not isinstance(self.rows[0], Group)

    @cached_property
    def groups(self) -> list[Group]:
        """The rows by heading, each cell as it is written; one group without a heading if there are none."""
        given = list(self.rows) if self.rows and isinstance(self.rows[0], Group) else [Group("", self.rows)]
        lines = [row for group in given for row in group.rows]
        of_columns: list[int | None] = []
        if self.aligned:
            columns = range(max((len(row) for row in lines), default=0))
            of_columns = [decimals_of([_interval(row[at]) for row in lines if at < len(row)]) for at in columns]
        return [Group(group.heading, [self._written(row, of_columns) for row in group.rows]) for group in given]

    def _written(self, row: Sequence[Any], of_columns: Sequence[int | None]) -> list[Written]:
        of_row = decimals_of([_interval(value) for value in row])
        return [_cell(value, of_columns[at] if self.aligned else of_row) for at, value in enumerate(row)]


_NOTHING: Interval = (float("nan"),) * 3


def _interval(value: Any) -> Interval:
    """The interval of a cell; nothing of one that has none."""
    value = value.value if isinstance(value, Shaded) else value
    return value if isinstance(value, tuple) else _NOTHING


def _cell(value: Any, decimals: int | None) -> Written:
    if isinstance(value, Written):
        return value
    if value is None:
        return Written("")
    if isinstance(value, (tuple, Shaded)):
        of = _interval(value)
        text, between = written(of, decimals)
        return Written(text, between, float(of[0]), value.tint if isinstance(value, Shaded) else None)
    if isinstance(value, (int, float)):
        return Written(str(value) if isinstance(value, int) else number(value), key=float(value))
    return Written(str(value))


@dataclass(frozen=True)
class Point:
    """A place in a figure, in shares of its width and height from the upper left, and what is there."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Figure:
    """A drawing of the page, which is kept as a file as well.

    Attributes
    ----------
    alt : str
        What it shows, for who cannot see it.
    points : sequence of Point
        What a pointer over the drawing is told.
    """

    kind: ClassVar[str] = "figure"
    name: str
    svg: str
    alt: str
    points: Sequence[Point] = ()

    @property
    def places(self) -> list[tuple[float, float, str]]:
        return [(round(point.x, 4), round(point.y, 4), point.text) for point in self.points]


@dataclass(frozen=True)
class Card:
    """Facts by their names; ``soft`` stands behind the title."""

    title: str
    soft: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Cards:
    """Cards beside one another."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]
    name: str = ""


@dataclass(frozen=True)
class Drawn:
    """A structure, with what is said of it; a composition or a text has no drawing."""

    svg: str
    alt: str
    said: str
    smiles: str


@dataclass(frozen=True)
class Pairs:
    """Structures beside others; all but the first few are folded."""

    kind: ClassVar[str] = "pairs"
    pairs: Sequence[tuple[Drawn, Drawn]]
    wide: bool = False
    first: int = 5


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when asked for."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: Sequence[Any]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    blocks : sequence
        Of the classes above.
    level : int
        2 for a part of the page, 3 for a part of that.
    folded : bool
        Shown when asked for; it stands in the contents.
    anchor : str
        Its name in links.
    about : str
        What is in it, for the contents.
    """

    title: str
    blocks: Sequence[Any] = field(default_factory=tuple)
    level: int = 2
    folded: bool = False
    anchor: str = ""
    about: str = ""

    def figures(self) -> list[Figure]:
        """All figures in it."""
        return _figures(self.blocks)


def _figures(blocks: Sequence[Any]) -> list[Figure]:
    inside = [found for block in blocks if isinstance(block, Folded) for found in _figures(block.blocks)]
    return [block for block in blocks if isinstance(block, Figure)] + inside
