"""Which sides of every condition in code or a template have been taken."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import jinja2
from jinja2 import nodes

Place = tuple[str, int, str]  # file, line, condition


class Branches:
    """Records on which sides the conditions of instrumented modules and templates came out.

    A condition is the test of an ``if``, of a conditional expression, or of a comprehension.
    """

    def __init__(self) -> None:
        self.seen: dict[Place, set[bool]] = {}

    def take(self, value: Any, *place: Any) -> Any:
        self.seen[place].add(bool(value))  # type: ignore[index]
        return value

    def _known(self, *place: Any) -> Place:
        self.seen.setdefault(place, set())  # type: ignore[arg-type]
        return place  # type: ignore[return-value]

    def missing(self, *sources: str) -> list[str]:
        """The conditions of these files of which a side was never taken, for an assertion to show."""
        return [
            f"{source}:{line}: never {' nor '.join(str(side) for side in (True, False) if side not in sides)}: {test}"
            for (source, line, test), sides in sorted(self.seen.items())
            if source in sources and sides != {True, False}
        ]

    def module(self, original: ModuleType, *only: str) -> ModuleType:
        """A copy of a module that records, in these of its functions alone if some are named."""
        tree = ast.parse(inspect.getsource(original))
        name = str(original.__name__)
        functions = [node for node in tree.body if not only or getattr(node, "name", "") in only]
        for node in (inner for function in functions for inner in ast.walk(function)):
            if isinstance(node, (ast.If, ast.IfExp)):
                node.test = self._recorded(name, node.test)
            elif isinstance(node, ast.comprehension):
                node.ifs = [self._recorded(name, test) for test in node.ifs]
        copy = ModuleType(name)
        copy.__dict__.update({"__file__": original.__file__, "_take": self.take})
        with mock.patch.dict(sys.modules, {name: copy}):  # dataclasses look their module up by its name
            exec(compile(ast.fix_missing_locations(tree), str(original.__file__), "exec"), copy.__dict__)
        return copy

    def _recorded(self, source: str, test: ast.expr) -> ast.expr:
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
            return test
        place = self._known(source, test.lineno, ast.unparse(test))
        call = ast.Call(ast.Name("_take", ast.Load()), [test, *(ast.Constant(part) for part in place)], [])
        return ast.copy_location(call, test)

    def environment(self, **options: Any) -> jinja2.Environment:
        """An environment of templates that record."""
        branches = self

        class Recording(jinja2.Environment):
            def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
                tree = super()._parse(source, name, filename)
                lines = source.splitlines()
                for number, node in enumerate(tree.find_all((nodes.If, nodes.CondExpr))):
                    assert isinstance(node, (nodes.If, nodes.CondExpr))
                    line = lines[node.lineno - 1].strip()[:60]
                    place = branches._known(name, node.lineno, f"{number} {_words(node.test)} in {line!r}")
                    arguments: list[nodes.Expr] = [nodes.Const(part) for part in place]
                    node.test = nodes.Filter(node.test, "take", arguments, [], None, None)
                return tree.set_environment(self)  # type: ignore[return-value]

        made = Recording(**options)
        made.filters["take"] = self.take
        return made


def _words(test: nodes.Node) -> str:
    """The names and constants of a condition, to find it by."""
    found = [getattr(node, "name", None) or getattr(node, "attr", None) or "" for node in _all(test)]
    return " ".join(filter(None, found))


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)
