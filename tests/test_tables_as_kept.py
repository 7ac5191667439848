"""Tables as chemists keep them, from the file to the prediction: Excel and SDF, bounds, units, several targets."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.models.folder import load_model
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

COUNTS = np.array([Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in SMILES])


def written(row: int) -> str:
    """An IC50 that grows tenfold with every three atoms, as a chemist may write it."""
    value = 10 ** (COUNTS[row] / 3)
    forms = (f"{value:.4g}", f">{value:.4g}", f"{value / 1000:.4g} µM", f"{value:.4g}±0.1", f"{value:.4g} nM")
    return forms[row % 5]


def rows() -> list[dict[str, object]]:
    noise = np.random.default_rng(0).normal(scale=0.2, size=len(SMILES))
    return [
        {"IC50": written(row), "mass": "" if row % 11 == 0 else round(float(count + noise[row]), 2)}
        for row, count in enumerate(COUNTS)
    ]


def as_excel(folder):
    path = folder / "t.xlsx"
    pd.DataFrame([{"SMILES": text, **row} for text, row in zip(SMILES, rows(), strict=True)]).to_excel(
        path, index=False
    )
    return path


def as_sdf(folder):
    path = folder / "t.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for text, row in zip(SMILES, rows(), strict=True):
            molecule = Chem.MolFromSmiles(text)
            for name, value in row.items():
                molecule.SetProp(name, str(value))
            writer.write(molecule)
    return path


@pytest.mark.parametrize("make", [as_excel, pytest.param(as_sdf, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bounds", ["limit", "censored"])
def test_two_targets_with_bounds_and_units_from_file_to_prediction(tmp_path, tiny_folder, make, bounds):
    table = make(tmp_path)
    common = ["--target", "IC50,mass", "--units", "nM,u", "--transform", "pIC50,", "--bounds", bounds]
    common += ["--annotated", "accept", "--model", tiny_folder, "--steps", 3, "--dtype", "float32"]
    done = chemtune("run", table, *common, "--arms", "ridge,lm-head", "--split", "random", "--out", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "targets are bounds" in done.stdout

    page = (tmp_path / "r" / "report.html").read_text()
    assert page.count('class="target"') == 2
    assert 'id="target-2-verdict"' in page
    assert "negative decimal logarithm" in page
    found = pd.read_parquet(tmp_path / "r" / "IC50" / "predictions.parquet")
    exact = found[(found["arm"] == "ridge") & (found["bound"] == "")]
    np.testing.assert_allclose(exact["truth_original"], 10 ** (9 - exact["truth"]))
    assert set(found["bound"]) == {"", "<"}  # more than so many nM is less than so much pIC50
    assert pd.read_csv(tmp_path / "r" / "mass" / "refused.csv")["reason"].eq("missing target").all()
    assert json.loads((tmp_path / "r" / "IC50" / "run.json").read_text())["rows"]["bounds"] == 10

    again = chemtune("run", tmp_path / "r" / "config.yaml", "--out", "r", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Estimated time" not in again.stdout  # every cell was found

    done = chemtune("fit", "--run", "r/IC50", "--arm", "ridge", "--out", "m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "in nM again" in (tmp_path / "m" / "README.md").read_text()
    done = chemtune("predict", "m", table, "--out", "p.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predicted = pd.read_csv(tmp_path / "p.csv")
    assert len(predicted) == len(SMILES)
    np.testing.assert_allclose(predicted["prediction"], 10 ** (9 - predicted["pIC50"]), rtol=1e-4)  # six digits
    assert (predicted["lower"] < predicted["prediction"]).all()
    assert (predicted["prediction"] < predicted["upper"]).all()
    model = load_model(tmp_path / "m")
    np.testing.assert_allclose(model.predict(SMILES), predicted["prediction"], rtol=1e-5)
    shown = chemtune("predict", "m", "--smiles", "CCO", cwd=tmp_path).stdout
    assert " nM [" in shown
    assert "(pIC50 " in shown


def test_several_models_are_fitted_at_once_and_predict_asks_for_one(tmp_path):
    table = as_excel(tmp_path)
    options = ("--target", "IC50,mass", "--annotated", "accept", "--units", "nM,u", "--out", "m")
    done = chemtune("fit", table, *options, "--arm", "knn", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "m" / "mass").about["target"] == "mass"
    done = chemtune("predict", "m", "--smiles", "CCO", cwd=tmp_path)
    assert done.returncode == 2
    assert "give one of them: m/IC50, m/mass" in done.stderr


def assays(path, extra=""):
    """A table of four assays with blanks, in which short molecules are active, and a number that is no target."""
    rng, rows = np.random.default_rng(0), []
    for place, text in enumerate(SMILES):
        cells = ["" if rng.random() < 0.1 else str(int((len(text) < 12) != (rng.random() < 0.1))) for _ in range(4)]
        rows.append(f"{text},{place + 1},{','.join(cells)}{extra and ',1.5'}")
    header = f"SMILES,No,NR-A,NR-B,NR-C,NR-D{extra}"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_all_targets_make_one_summary_and_a_page_each(tmp_path):
    table = assays(tmp_path / "assays.csv")
    options = ("--target", "all", "--arms", "ridge,knn", "--split", "random", "--out", "o")
    done = chemtune("run", table, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Targets: NR-A, NR-B, NR-C, NR-D (the columns that look like measured values)" in done.stdout
    assert "Over 4 targets on the random split the mean AUROC is best for" in done.stdout
    assert "On the random split (" not in done.stdout  # the verdict of each stands on its page
    found = pd.read_csv(tmp_path / "o" / "targets.csv").set_index(["arm", "metric"])["value"]
    each = [pd.read_csv(tmp_path / "o" / name / "metrics.csv") for name in ("NR-A", "NR-B", "NR-C", "NR-D")]
    aurocs = [one.set_index(["arm", "metric"])["value"].loc[("ridge", "auroc")] for one in each]
    assert found.loc[("ridge", "auroc")] == pytest.approx(np.mean(aurocs))
    page = (tmp_path / "o" / "report.html").read_text(encoding="utf-8")
    for name in ("NR-A", "NR-B", "NR-C", "NR-D"):
        assert f'href="{name}/report.html"' in page
        assert "Verdict" in (tmp_path / "o" / name / "report.html").read_text(encoding="utf-8")
    again = chemtune("report", "o", cwd=tmp_path)
    assert "Over 4 targets on the random split" in again.stdout
    assert (tmp_path / "o" / "report.html").read_text(encoding="utf-8") == page


def test_a_target_that_cannot_be_used_is_left_out_of_all_and_named(tmp_path):
    table = assays(tmp_path / "assays.csv")
    lines = table.read_text(encoding="utf-8").splitlines()
    few = [f"{line},{'' if number > 8 else number % 2}" for number, line in enumerate(lines[1:])]
    table.write_text("\n".join([f"{lines[0]},few", *few]) + "\n", encoding="utf-8")
    options = ("--arms", "ridge", "--split", "random", "--out", "o")
    done = chemtune("run", table, "--target", "all", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "Left out: target 'few':" in said
    assert "9 usable rows with a value of 'few'; at least 20 are needed" in said
    assert "Over 4 targets on the random split" in said
    assert "Over 4 targets on the random split" in chemtune("report", "o", cwd=tmp_path).stdout
    for verb in (("run", "--arms", "ridge", "--split", "random"), ("audit",), ("fit", "--arm", "ridge"), ("prompts",)):
        done = chemtune(verb[0], table, "--target", "all", *verb[1:], "--out", f"all-{verb[0]}", cwd=tmp_path)
        assert done.returncode == 0, (verb, done.stderr)
        assert "Left out: target 'few':" in " ".join(done.stdout.split()), verb
        done = chemtune(verb[0], table, "--target", "NR-A,few", *verb[1:], "--out", f"two-{verb[0]}", cwd=tmp_path)
        assert done.returncode == 2, verb
        assert "target 'few':" in done.stderr


def test_all_leaves_out_what_has_another_part_and_a_column_of_that_name_is_itself(tmp_path):
    table = assays(tmp_path / "assays.csv")
    shown = chemtune("audit", table, "--target", "all", "--context", "NR-D", cwd=tmp_path).stdout
    assert "Targets: NR-A, NR-B, NR-C (" in shown
    table = assays(tmp_path / "named.csv", ",all")
    table.write_text(table.read_text(encoding="utf-8").replace(",1.5", ",2.5", 30), encoding="utf-8")
    shown = chemtune("audit", table, "--target", "all", cwd=tmp_path).stdout
    assert "Targets:" not in shown
    assert "'all'" in shown
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("SMILES,No\n" + "".join(f"{text},{n}\n" for n, text in enumerate(SMILES)), encoding="utf-8")
    done = chemtune("audit", nothing, "--target", "all", cwd=tmp_path)
    assert done.returncode == 2
    assert "no column looks like measured values" in done.stderr


@pytest.mark.slow  # 8,000 molecules are read
def test_a_built_in_table_of_several_targets_knows_what_each_is(tmp_path):
    shown = chemtune("prompts", "tox21", "--rows", 1, cwd=tmp_path).stdout
    assert "Target: NR-AhR, one of 12 of this table" in shown
    assert "What is the activity in the NR-AhR assay (aryl hydrocarbon receptor) of" in shown
    shown = chemtune("prompts", "tox21", "--target", "SR-ARE,SR-p53", "--rows", 1, cwd=tmp_path).stdout
    assert "(antioxidant response element) of" in shown
    assert "(p53 response) of" in shown


def test_audit_and_prompts_take_several_targets(tmp_path):
    table = as_excel(tmp_path)
    annotated = ("--annotated", "accept", "--units", "nM,")
    done = chemtune("audit", table, "--target", "IC50,mass", *annotated, "--out", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a bound, not a value (--bounds limit or censored uses it)" in done.stdout
    assert (tmp_path / "a" / "IC50" / "refused.csv").exists()
    done = chemtune(
        "audit", table, "--target", "IC50", *annotated[:2], "--units", "nM", "--bounds", "limit", cwd=tmp_path
    )
    assert "Bounds: 10 targets" in done.stdout
    options = (*annotated, "--transform", "pIC50,", "--out", "p.jsonl")
    done = chemtune("prompts", table, "--target", "IC50,mass", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "What is the pIC50 of " in done.stdout
    assert "What is the mass of " in done.stdout
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) > len(SMILES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "IC50,mas"), "did you mean 'mass'"),
        (("--target", "IC50", "--annotated", "accept"), "different units"),
        (("--target", "IC50", "--transform", "pIC50"), "needs the units"),
        (("--target", "IC50", "--transform", "ln"), "unknown transform"),
        (("--target", "IC50", "--bounds", "drop"), "unknown bounds"),
        (("--target", "IC50,mass", "--units", "a,b,c"), "3 for 2 targets"),
    ],
)
def test_a_wrong_choice_is_one_clear_line(tmp_path, options, words):
    done = chemtune("run", as_excel(tmp_path), *options, "--arms", "knn", cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_transform_and_its_units_outlive_the_command(tmp_path):
    path = write_table(tmp_path / "t.csv", [(s, 10.0 ** len(s)) for s in SMILES])
    options = ("--target", "value", "--transform", "log10", "--units", "mg/L", "--arm", "knn", "--out", "m")
    done = chemtune("fit", path, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = load_model(tmp_path / "m")
    assert (model.scale.transform, model.scale.units, model.about["units"]) == ("log10", "mg/L", "log10 mg/L")
    assert model.columns()[3] == "log10"
    described = model.describe(pd.DataFrame({"smiles": ["CCCO"]}))
    assert model.predict(["CCCO"])[0] == pytest.approx(10 ** described["log10"][0])
    assert 1e3 < described["prediction"][0] < 1e6
