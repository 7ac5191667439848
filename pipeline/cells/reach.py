"""Which code a number can depend on: the definitions that a function reaches, and their hash.

From the functions that are named, all top-level functions, classes and constants of this package are followed that
their code names, whichever module they stand in. Comments, docstrings, blank lines, the order of definitions and
annotations do not count; nor do modules that say things and compute none (`SILENT`). What is reached through an
attribute of an object is not seen: the classes of such objects are named beside. Of modules outside of this package all
code counts, and that of the package that they are part of.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "pipeline"
_FOLDER = Path(__file__).resolve().parents[1]
# Messages, progress, files and cells, and the table of the arms, whose rows name what builds them.
SILENT = (
    "pipeline.errors",
    "pipeline.reporter",
    "pipeline.files",
    "pipeline.arms.catalogue",
    "pipeline.cells.cell",
    "pipeline.cells.store",
    "pipeline.cells.executors",
    "pipeline.cells.reach",
)
Name = tuple[str, str]  # module, and the name of a definition in it


@dataclass(frozen=True)
class _Module:
    """The definitions of a module by name, and what its imports are called there.

    ``imports`` leads from a name to the definition that it stands for, or to a module (with an empty name).
    """

    definitions: dict[str, tuple[ast.stmt, ...]]
    imports: dict[str, Name]


def source_of(module: str) -> str:
    """The source text of a module of this package."""
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    """Where its source stands, or would stand."""
    place = _FOLDER.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def code_of(*roots: str) -> str:
    """A hash of all code that the definitions ``module:name`` reach."""
    digest = hashlib.sha256()
    for root in sorted(root for root in roots if not _is_ours(root.partition(":")[0])):
        digest.update(f"{root}\n{_whole(root.partition(':')[0])}\n".encode())
    for module, name in sorted(reached([root for root in roots if _is_ours(root.partition(":")[0])])):
        digest.update(f"{module}:{name}\n{_text(module, name)}\n".encode())
    return digest.hexdigest()


def _whole(module: str) -> str:
    """All code of a user's module, and of the package that it is part of."""
    spec = find_spec(module.partition(".")[0])
    assert spec is not None, f"{module} was imported before its code is asked for"
    assert spec.origin is not None, f"{module} has no source"
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    return "\n".join(ast.dump(_bare(ast.parse(file.read_text(encoding="utf-8")))) for file in files)


def reached(roots: Sequence[str]) -> set[Name]:
    """All definitions that these reach, themselves included.

    Raises
    ------
    LookupError
        For a root that is not defined.
    """
    waiting = [_root(root) for root in roots]
    found: set[Name] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name[0] in SILENT:
            continue
        found.add(name)
        waiting += _named(*name)
    return found


def _root(text: str) -> Name:
    module, _, name = text.partition(":")
    if name not in _module(module).definitions:
        raise LookupError(f"{module} defines no {name!r}")
    return module, name


@cache
def _module(module: str) -> _Module:
    definitions: dict[str, tuple[ast.stmt, ...]] = {}
    imports: dict[str, Name] = {}
    for node in _bare(ast.parse(source_of(module))).body:
        imports |= dict(_imported(node))
        for name in _defines(node):
            definitions[name] = (*definitions.get(name, ()), node)
    return _Module(definitions, imports)


def _defines(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


def _imported(node: ast.AST) -> Iterator[tuple[str, Name]]:
    """What a statement imports from this package; names for type checkers alone are no code."""
    if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        for alias in node.names:
            within = f"{node.module}.{alias.name}"
            yield alias.asname or alias.name, (within, "") if _path(within).exists() else (node.module, alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ours(alias.name) and alias.asname:
                yield alias.asname, (alias.name, "")


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


@cache
def _named(module: str, name: str) -> tuple[Name, ...]:
    """The definitions that one names."""
    here = _module(module)
    found: list[Name] = []
    for statement in here.definitions.get(name, ()):
        imports = here.imports | {key: of for node in ast.walk(statement) for key, of in _imported(node)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                found += _definition(module, node.id, imports)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                of, kind = imports.get(node.value.id, ("", "none"))
                if of and not kind:
                    found += _definition(of, node.attr, {})
    return tuple(dict.fromkeys(one for one in found if one != (module, name)))


def _definition(module: str, name: str, imports: dict[str, Name]) -> list[Name]:
    """Where a name that is used in a module is defined; nothing if it is not one of this package's."""
    if name in imports:
        of, within = imports[name]
        return _definition(of, within, {}) if within else []
    known = _module(module)
    if name in known.definitions:
        return [(module, name)]
    if name in known.imports and known.imports[name][1]:
        return _definition(*known.imports[name], {})
    return []


@cache
def _text(module: str, name: str) -> str:
    return "\n".join(ast.dump(statement) for statement in _module(module).definitions[name])


def _without_words(call: ast.Call) -> None:
    """Take the words out of a message, a line of progress or the declaration of a setting, whose default stays."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "setting" or name.endswith("_setting"):
        call.args, call.keywords = call.args[:1], []
    elif name in ("InputError", "unknown", "say", "step"):
        call.args, call.keywords = [], []


def _bare(tree: ast.Module) -> ast.Module:
    """The tree without docstrings and annotations, which change no number."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
            arguments = node.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
            for argument in filter(None, every):
                argument.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.Call):
            _without_words(node)
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree
