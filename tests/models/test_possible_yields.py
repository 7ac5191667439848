"""An interval of a yield ends where yields end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import load
from pipeline.models.fitting import fit_model
from pipeline.reporter import Reporter
from pipeline.runs.certainty import _add_bounds
from pipeline.settings.reading import make_config
from tests.conftest import reaction_rows

pytestmark = pytest.mark.usefixtures("few_trees")
HEADER = ["halide", "amine", "base", "solvent", "rxn", "yield"]


def table_of(path, factor, plus=0.0):
    rows = pd.DataFrame(reaction_rows(), columns=HEADER)
    rows["yield"] = (rows["yield"] * 1.28).clip(upper=100) * factor + plus
    rows.to_csv(path, index=False)
    return rows


@pytest.mark.parametrize(
    ("unit", "factor", "plus", "top"), [("percent", 1, 0, 100), ("fraction", 0.01, 0, 1), ("percent", 1, 4, 110)]
)
def test_intervals_of_yields_stay_within_what_is_possible(tmp_path, unit, factor, plus, top):
    rows = table_of(tmp_path / "t.csv", factor, plus)
    given = {"components": "halide,amine,base,solvent:name", "yield": "yield", "yield_unit": unit}
    fit_model(make_config(str(tmp_path / "t.csv"), given), "onehot-rf", Reporter()).save(tmp_path / "m")
    model = load(tmp_path / "m")
    found = model.describe(rows.drop(columns="yield"), 0.9)
    assert found["lower"].min() == 0
    assert found["upper"].max() <= top
    assert found["upper"].max() > 0.99 * top or plus
    assert (found["lower"] <= found["upper"]).all()


def test_the_bounds_of_a_run_end_there_and_lose_no_yield():
    rng = np.random.default_rng(0)
    truth = np.clip(rng.normal(70, 40, 200), 0, 100)
    predicted = truth + rng.normal(0, 20, 200)
    cell = {"prediction": predicted, "validation": predicted, "lower": predicted - 30, "upper": predicted + 30}
    parts = {}
    for name, possible in (("open", (-np.inf, np.inf)), ("yields", (0.0, 100.0))):
        parts[name] = pd.DataFrame(index=range(200))
        _add_bounds(parts[name], cell, truth, np.ones(200, dtype=bool), np.arange(200), {}, False, possible)
    for method in ("fixed", "own"):
        inside = []
        for part in parts.values():
            inside.append((truth >= part[f"{method} lower"]) & (truth <= part[f"{method} upper"]))
        gained = inside[0] != inside[1]
        assert (inside[1] >= inside[0]).all()  # none is lost; a yield of 0 or 100 may lie at an end that was beyond it
        assert set(truth[gained]) <= {0.0, 100.0}
        low, high = (parts["yields"][f"{method} {end}"].to_numpy() for end in ("lower", "upper"))
        assert ((low <= predicted) & (predicted <= high)).all()  # also where a prediction is no possible yield
        assert ((low >= 0) | (low == predicted)).all()
        assert ((high <= 100) | (high == predicted)).all()
