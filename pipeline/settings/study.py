"""Settings that a study has beside those of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any, Self, get_type_hints

from pipeline.errors import InputError, unknown
from pipeline.settings.coerce import coerced
from pipeline.settings.fields import check, setting
from pipeline.settings.run import RunConfig
from pipeline.tables.kinds import MOLECULES, REACTIONS, Kind

STUDY = "The study"  # panel of the help


def study_setting(default: Any, help: str, *, kinds: Sequence[Kind] = (), **about: Any) -> Any:
    """A field of the settings of a study: an option of its command; ``kinds`` and ``about`` as for `setting`."""
    panel = f"{STUDY}, of {' and '.join(map(str, kinds))}" if kinds else STUDY
    return setting(default, help, "study", panel=panel, common=True, kinds=kinds, **about)


def arms_setting(quick: Any = MISSING) -> Any:
    """The learners of a study that trains them many times."""
    return study_setting(
        ("classical", "lm-head"),
        "What is trained: names of arms, classical (a few good baselines), or the groups baselines, lm, all.",
        quick=quick,
    )


def success_setting(kinds: Sequence[Kind] = ()) -> Any:
    """From which yield on a reaction is a success."""
    return study_setting(20.0, "Yield in percent from which on a reaction is a success.", kinds=kinds)


def lm_steps_setting(quick: int, what: str = "each training of the language model") -> Any:
    """How long a study trains the language model."""
    return study_setting(150, f"Optimiser steps of {what}, 8 rows each.", least=1, quick=quick)


class StudySettings:
    """Base of the frozen dataclasses of settings; each is read from a mapping of its own under ``stress`` in a YAML."""

    def __post_init__(self) -> None:
        check(self)
        for one in fields(self):  # type: ignore[arg-type]
            if getattr(self, one.name) == () and one.default and one.metadata.get("quick") != ():
                raise InputError(f"{one.name} is empty; give one or more")

    @classmethod
    def read(cls, given: Mapping[str, Any], where: str) -> Self:
        """From a mapping of a YAML file or options; unknown keys and wrong types are errors."""
        known = get_type_hints(cls)
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                raise unknown(f"key in {where}", key, known)
            values[key] = coerced(value, known[key], f"{where}: {key}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The settings as a YAML file holds them."""
        found = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def check_kind(self, kind: Kind) -> None:
        """Raise `InputError` for a setting that is for other rows and was given a value of its own."""
        for one in fields(self):  # type: ignore[arg-type]
            of, usual = one.metadata["kinds"], (one.default, one.metadata.get("quick", one.default))
            if of and kind not in of and getattr(self, one.name) not in usual:
                raise InputError(f"{one.name} is for {' and '.join(map(str, of))}; this table holds {kind}")

    def check_success(self, success: float) -> None:
        """Raise `InputError` unless it is a yield that reactions can be above and below."""
        if not 0 < success < 100:
            raise InputError(f"success is {success}; it must be a yield in percent, above 0 and below 100")

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Raise `InputError` unless they are the points of a curve."""
        if len(set(sizes)) < 2:
            raise InputError(f"sizes is {sizes[0]} alone; a curve needs two or more")

    def check_one_split(self, split: Sequence[str]) -> None:
        """Raise `InputError` unless one split is named."""
        if len(split) != 1:
            raise InputError(f"split is {', '.join(split)}; the study takes one")

    def check_doses(self, doses: Sequence[float]) -> None:
        """Raise `InputError` unless they are percent of the failures that there are."""
        for dose in doses:
            if not 0 < dose <= 100:
                raise InputError(f"a dose is {dose}; doses are percent of the failures, above 0 and up to 100")


def require_reactions(config: RunConfig) -> None:
    """Raise `InputError` unless the table of a run holds reactions."""
    if config.kind is not REACTIONS:
        raise InputError(f"{config.table}: the study is about reactions; name them with --reaction or --components")
    if not config.yield_unit:
        raise InputError(f"{config.table}: the study is about yields; name their column with --yield")


def require_molecules(config: RunConfig) -> None:
    """Raise `InputError` unless the table of a run holds molecules."""
    if config.kind is not MOLECULES:
        raise InputError(f"{config.table}: the study is about molecules; name their column with --smiles")


def require_canonical(config: RunConfig, this_study: str) -> None:
    """Raise `InputError` where rows are to be shown in another notation; ``this_study`` says what it does instead."""
    if config.representation != ("canonical",):
        raise InputError(f"representation is for other commands: this study {this_study}")
