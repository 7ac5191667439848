"""What a setting may be written as, the same in YAML files, options and experiments."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.settings.coerce import coerced
from pipeline.settings.reading import make_config
from pipeline.studies.negatives.experiment import NegativesSettings
from pipeline.studies.published_only.experiment import PublishedSettings
from pipeline.studies.verifier.experiment import VerifierSettings


@pytest.mark.parametrize(
    ("value", "kind", "made"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (True, bool, True),
        (" x ", str, "x"),
        (7, str, "7"),
        ("a, b", tuple[str, ...], ("a", "b")),
        (["a", 2], tuple[str, ...], ("a", "2")),
        ("1,2.5", tuple[float, ...], (1.0, 2.5)),
        (5, tuple[float, ...], (5.0,)),
        ([], tuple[float, ...], ()),
    ],
)
def test_what_is_meant_is_taken(value, kind, made):
    found = coerced(value, kind, "a setting")
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (2.9, int, "a whole number"),
        (2.0, int, "a whole number"),
        ("2", int, "a whole number"),
        (True, int, "a whole number"),
        (True, float, "a number"),
        ("0.2", float, "a number"),
        (1, bool, "true or false"),
        ("yes", bool, "true or false"),
        (None, str, "text"),
        ([1], str, "text"),
        ("1,two", tuple[float, ...], "a number"),
        ([[1]], tuple[str, ...], "a list of names"),
    ],
)
def test_nothing_is_rounded_or_guessed(value, kind, expected):
    with pytest.raises(InputError, match=f"a setting is .*; expected {expected}"):
        coerced(value, kind, "a setting")


@pytest.mark.parametrize("settings", [NegativesSettings, PublishedSettings, VerifierSettings])
def test_a_broken_number_of_seeds_is_an_error_everywhere(settings):
    with pytest.raises(InputError, match=r"stress: seeds is 2.9; expected a whole number"):
        settings.read({"seeds": 2.9}, "stress")


def test_and_in_the_settings_of_a_run(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("table: esol\nrepeats: 2.9\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"repeats is 2.9; expected a whole number"):
        make_config(str(path), {})
