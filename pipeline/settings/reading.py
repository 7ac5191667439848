"""Settings from YAML files, cards of tables and the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from pipeline.defaults import COMPONENTS_TEMPLATE, COMPOSITION_TEMPLATE, REACTION_TEMPLATE, TEXT_TEMPLATE
from pipeline.errors import InputError, nearest, unknown
from pipeline.files import shipped_folder
from pipeline.settings.coerce import coerced
from pipeline.settings.run import ALIASES, PER_TARGET, RunConfig
from pipeline.settings.studies import STUDIES
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.reactions import PERCENT
from pipeline.tables.reading import RawTable, read_table, table_name

Told = Callable[[str], None]
Read = Callable[[str, str], RawTable]
ALL = "all"  # for a target: every column that can be one
# The keys of a YAML file under which studies have their settings: failure modes under the first.
STRESS, STUDY = "stress", "study"


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
    content = without_aliases({key: value for key, value in content.items() if key not in (STRESS, STUDY)}, str(path))
    for key in content:
        if key not in kinds:
            names = [*(field.name for field in fields(RunConfig)), *ALIASES]
            raise InputError(f"{path}: unknown key {key!r}{nearest(str(key), names)}; the keys are {', '.join(names)}")
    return {key: _coerce(key, value, kinds[key], str(path)) for key, value in content.items()}


def study_key(name: str) -> str:
    """Under which key of a YAML file a study has its settings."""
    return STRESS if STUDIES[name].failure_mode else STUDY


def read_studies(path: Path) -> dict[str, dict[str, Any]]:
    """What a YAML file says of each study that it names, under either key.

    Raises
    ------
    InputError
        For a study that there is not, or what is no settings.
    """
    content, settings = _load_yaml(path), {}
    for key in (STRESS, STUDY):
        found = content.get(key) or {}
        if not isinstance(found, Mapping):
            raise InputError(f"{path}: {key} is {found!r}; expected the name of a study and settings below it")
        for name, given in found.items():
            if name not in STUDIES:
                raise unknown(f"study under {key} in {path}", str(name), STUDIES)
            if not isinstance(given or {}, Mapping):
                raise InputError(f"{path}: {key}: {name} is {given!r}; expected settings as 'key: value' lines")
            if name in settings:
                raise InputError(f"{path}: {name} stands under {STRESS} and under {STUDY}; give one of the two")
            settings[name] = dict(given or {})
    return settings


def read_study(source: str, name: str) -> dict[str, Any]:
    """What a YAML file says of a study; nothing for another source."""
    if not source.lower().endswith((".yaml", ".yml")):
        return {}
    return read_studies(_config_path(source)).get(name, {})


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


def without_aliases(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings under their own names, none given twice."""
    settings = {key: value for key, value in given.items() if key not in ALIASES}
    for alias, name in ALIASES.items():
        if given.get(alias) is None:
            continue
        if settings.get(name) is not None:
            raise InputError(f"{where}: {alias} and {name} are the same setting; give one of the two")
        settings[name] = given[alias]
    return settings


def _read_file(table: str, _: str) -> RawTable:
    return read_table(table)


def merge_settings(
    source: str,
    given: Mapping[str, Any],
    told: Told = lambda line: None,
    read: Read = _read_file,
) -> dict[str, Any]:
    """Settings from the card of a built-in table, a YAML file and the command line, in that order.

    Where none of them names the target, the table is looked at (`pipeline.tables.guess`).

    Parameters
    ----------
    source : str
        A YAML file, or what its key ``table`` may hold.
    given : mapping
        Options of the command line; those that are None were not given.
    told : callable
        Is given a sentence for each setting that was guessed.
    read : callable
        Reads the table, from its name and the folder of built-in tables that are not shipped.
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
        for key, value in without_aliases(named, "command line").items()
    }
    if not settings.get("table"):
        raise InputError(f"{source}: no table is named; add a line such as 'table: my.csv'")
    if settings.get("target") == ALL:
        settings["target"] = _all_targets(settings, told, read)
    settings = _from_card(settings, told) | settings
    if not settings.get("target"):
        settings = _guessed(settings, told, read) | settings
    settings = _of_kind(settings) | settings
    if "yield_unit" not in settings and _names_yields(settings, {**content, **named}):
        settings["yield_unit"] = PERCENT
    settings["out"] = settings.get("out") or default_folder(settings["table"])
    return settings


def _guessed(settings: Mapping[str, Any], told: Told, read: Read) -> dict[str, Any]:
    """What the table says by itself, as far as the user has not."""
    from pipeline.tables.guess import guessed  # it loads the libraries of chemistry

    of_reactions = bool(settings.get("reaction") or settings.get("components"))
    raw = read(settings["table"], settings.get("data_dir", ""))
    kept = guessed(raw, "--yield" if of_reactions else "--target").beside(settings)
    for line in kept.said():
        told(line)
    return dict(kept.settings)


def asks_for_all(source: str, given: Mapping[str, Any]) -> bool:
    """Whether the command line, or else the YAML file, asks for all targets instead of naming them."""
    named = given.get("target")
    if named is None and source.lower().endswith((".yaml", ".yml")):
        named = read_yaml(_config_path(source)).get("target")
    return bool(named == ALL)


def _all_targets(settings: Mapping[str, Any], told: Told, read: Read) -> str:
    """What ``all`` stands for as a target: all targets of a built-in table, or the columns of a user's that hold
    measured values and have no other part; a column that is called so stands for itself."""
    if is_built_in(settings["table"]) and card(settings["table"]).targets:
        return ",".join(card(settings["table"]).targets)
    raw = read(settings["table"], settings.get("data_dir", ""))
    if ALL in raw.frame.columns:
        return ALL
    from pipeline.tables.guess import guess  # it loads the libraries of chemistry

    taken = [value for key, value in settings.items() if key not in ("table", "target")]
    used = {name for value in taken for name in ((value,) if isinstance(value, str) else value or ())}
    found = [column for column in guess(raw).candidates if column not in used]
    unusable = [column for column in found if "," in column]
    found = [column for column in found if column not in unusable]
    if not found:
        raise InputError(f"{raw.source}: no column looks like measured values; name the targets with --target")
    told(f"Targets: {', '.join(found)} (the columns that look like measured values)")
    for column in unusable:
        told(f"Not among them: {column!r}, since its name has a comma; name it alone with --target")
    return ",".join(found)


def default_folder(table: str) -> str:
    """Where a run over a table goes if nobody says otherwise."""
    return str(Path("runs") / table_name(table))


def _names_yields(settings: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the target of a table of reactions is a yield: named as such, or by a name that says so."""
    if not (settings.get("reaction") or settings.get("components")):
        return False
    named = str(settings.get("target") or "").lower()
    return given.get("yield") is not None or not named or "yield" in named


def make_config(source: str, given: Mapping[str, Any], told: Told = lambda line: None) -> RunConfig:
    """The settings of a run over one target; see `merge_settings`."""
    return RunConfig(**merge_settings(source, given, told))


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


def of_targets(settings: Mapping[str, Any], configs: Sequence[RunConfig]) -> dict[str, Any]:
    """The settings that `config_per_target` makes these of, where others were left out."""
    differing = [key for key in PER_TARGET if "," in str(settings.get(key) or "")]
    return {**settings, **{key: ",".join(getattr(one, key) for one in configs) for key in ("target", *differing)}}


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


def _from_card(settings: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """What the card of a built-in table says, if the table is one and targets that it knows are meant."""
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
    if about.targets and not settings.get("target"):
        told(
            f"Target: {about.target}, one of {len(about.targets)} of this table (--target NAME, several with commas, "
            f"or --target {ALL})"
        )
    names = [name.strip() for name in str(settings.get("target") or about.target).split(",")]
    known = {about.target: about.property_name, **about.targets}
    if not set(names) <= set(known):
        return about.structure
    return {
        **about.structure,
        **({"context": about.context} if about.context else {}),
        "target": ",".join(names),
        "task": "auto" if settings.get("bins") else about.task,
        "property_name": ",".join(known[name] for name in names),
        "units": about.units,
    }


def _of_kind(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is usual for a table of reactions, compositions or texts, if the table is one."""
    if settings.get("composition"):
        return {"split": ("random", "chemical-system"), "template": COMPOSITION_TEMPLATE}
    if settings.get("text"):
        return {"split": ("random", "cluster"), "template": TEXT_TEMPLATE}
    if settings.get("components"):
        return {"split": ("random", "components"), "template": COMPONENTS_TEMPLATE}
    return {"split": ("random", "components"), "template": REACTION_TEMPLATE} if settings.get("reaction") else {}


def write_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as YAML, as stored with the run."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
