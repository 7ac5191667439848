"""Oracles run in processes of their own: what goes wrong there costs its molecule alone, and what is known is kept."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from pipeline.errors import InputError
from pipeline.oracles.built_in import BUILT_IN
from pipeline.oracles.kept import Kept
from pipeline.oracles.oracle import Oracle, OracleWorkers, Value, oracle_named

NUMBERS = count()
HEAD = "import ctypes, os, pathlib, subprocess, sys, time\nimport numpy as np\n"
ODD = '''
class Mute(Exception):
    def __str__(self):
        raise RuntimeError

def odd(smiles):
    """What a function may do, by the number of carbons."""
    return [
        lambda: 1.5,
        lambda: os._exit(3),
        lambda: ctypes.string_at(0),
        lambda: time.sleep(60),
        lambda: float("nan"),
        lambda: "3.2",
        lambda: None,
        lambda: 1 / 0,
        lambda: sys.exit("enough"),
        lambda: np.float32(2.5),
        lambda: [1.0],
        lambda: True,
        lambda: -float("inf"),
        lambda: throw(Mute()),
        lambda: 7,
    ][len(smiles) - 1]()

def throw(error):
    raise error

odd.units = "kcal/mol"
'''
COUNTED = """
def counted(smiles):
    with open("asked.txt", "a") as file:
        file.write(smiles + "\\n")
    if smiles == "CN":
        raise ValueError("no amines")
    if smiles == "CO":
        raise ConnectionError("no network")
    if smiles == "CS":
        time.sleep(60)
    return len(smiles)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module of the user's into the working folder, and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHEMTUNE_CACHE", str(tmp_path / "cache"))

    def written(text: str, name: str = "") -> str:
        name = name or f"own_oracle_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(HEAD + text, encoding="utf-8")
        return name

    return written


def ask(name, smiles, **options):
    with OracleWorkers(oracle_named(name), **options) as workers:
        return workers.ask(smiles)


def asked(folder):
    return (folder / "asked.txt").read_text().split()


def test_what_goes_wrong_costs_its_molecule_alone(own):
    said = ask(f"{own(ODD)}:odd", ["C" * n for n in range(1, 16)], seconds=1)
    assert [one.value for one in said] == [1.5, *[None] * 8, 2.5, *[None] * 4, 7.0]
    assert [one.reason.removeprefix("the oracle ") for one in said] == [
        "",
        "ended its process (exit status 3)",
        "ended its process (signal SIGSEGV)",
        "took longer than 1 s",
        "returned nan, not a number",
        "returned text ('3.2'), not a number",
        "returned None, not a number",
        "ZeroDivisionError: division by zero",
        "SystemExit: enough",
        "",
        "returned a list, not a number",
        "returned True, not a number",
        "returned -inf, not a number",
        "Mute",
        "",
    ]


def test_values_come_in_the_order_of_the_molecules_from_any_number_of_workers(own):
    name = f"{own('def late(smiles): time.sleep(0.2 / len(smiles)); return len(smiles)')}:late"
    smiles = ["CCCC", "not a molecule", "C", "OCC", "", "CCO", "C1=CC=CC=C1"]
    several = ask(name, smiles, workers=3)
    assert [one.value for one in several] == [4.0, None, 1.0, 3.0, None, 3.0, 8.0]
    assert [one.reason for one in several if one.reason] == ["unparsable SMILES", "empty SMILES"]
    assert several == ask(name, smiles)
    assert ask(name, []) == []


def test_a_molecule_is_computed_once_and_its_value_kept(own, tmp_path):
    name = f"{own(COUNTED)}:counted"
    assert [one.value for one in ask(name, ["OCC", "C", "CCO", "C(O)C"])] == [3.0, 1.0, 3.0, 3.0]
    assert sorted(asked(tmp_path)) == ["C", "CCO"]
    assert [one.value for one in ask(name, ["CCO", "CC"])] == [3.0, 2.0]
    assert sorted(asked(tmp_path)) == ["C", "CC", "CCO"]
    ask(name, ["CCO"], kept=tmp_path / "elsewhere")
    assert asked(tmp_path).count("CCO") == 2
    assert len(list((tmp_path / "elsewhere").glob("*.jsonl"))) == 1


def test_only_what_the_molecule_is_to_blame_for_is_kept(own, tmp_path):
    name = f"{own(COUNTED)}:counted"
    for _ in range(2):
        said = ask(name, ["CN", "CO", "CS"], seconds=0.5)
        assert [one.reason for one in said] == [
            "ValueError: no amines",
            "ConnectionError: no network",
            "the oracle took longer than 0.5 s",
        ]
    assert {smiles: asked(tmp_path).count(smiles) for smiles in ("CN", "CO", "CS")} == {"CN": 1, "CO": 2, "CS": 2}


def test_values_of_another_version_are_not_taken(own, tmp_path):
    module = own(COUNTED)
    before = oracle_named(f"{module}:counted")
    ask(before.name, ["CCO"])
    own(COUNTED.replace("return len(smiles)", "return 2 * len(smiles)"), module)
    assert oracle_named(before.name).version != before.version
    assert ask(before.name, ["CCO"]) == [Value(6.0)]
    own(COUNTED, module)
    assert ask(before.name, ["CCO"]) == [Value(3.0)]
    assert len(asked(tmp_path)) == 2


def test_an_interrupted_command_keeps_what_was_computed(own, tmp_path):
    name = f"{own(COUNTED)}:counted"

    def stop(done, total):
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with OracleWorkers(oracle_named(name)) as workers:
        with pytest.raises(KeyboardInterrupt):
            workers.ask(["C", "CC", "CCC"], stop)
        assert workers.ask(["C", "CC", "CCC"]) == [Value(1.0), Value(2.0), Value(3.0)]
    assert [asked(tmp_path).count(smiles) for smiles in ("C", "CC")] == [1, 1]


def test_a_line_that_a_killed_process_left_unfinished_is_passed_over(tmp_path):
    kept = Kept(tmp_path, "logp", "1")
    kept.keep("C", 0.1, "")
    with open(kept.path, "ab") as file:
        file.write(b'{"smiles": "CC", "val')
    other = Kept(tmp_path, "logp", "1")
    assert other.known() == {"C": (0.1, "")}
    other.keep("CCC", 1 / 3, "")
    kept.keep("N", None, "no amines")
    for one in (kept, other, Kept(tmp_path, "logp", "1")):
        assert one.known() == {"C": (0.1, ""), "CCC": (1 / 3, ""), "N": (None, "no amines")}
    assert json.loads(kept.path.read_text().splitlines()[0]) == {"oracle": "logp", "version": "1"}
    assert Kept(tmp_path, "logp", "2").known() == Kept(tmp_path, "logs", "1").known() == {}


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="values cannot be kept there"):
        Kept(tmp_path / "file", "logp", "1").keep("C", 1.0, "")


def test_what_a_function_prints_does_not_reach_the_terminal(own, capfd):
    text = """
print("noise of the module")
def noisy(smiles):
    print("noise"); sys.stderr.write("noise"); os.system("echo noise; echo noise >&2")
    return len(sys.stdin.read())
"""
    assert ask(f"{own(text)}:noisy", ["C"]) == [Value(0.0)]
    assert capfd.readouterr() == ("", "")


def test_a_worker_computes_with_one_thread_and_others_as_before(own, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    text = "def threads(smiles): return int(os.environ['OMP_NUM_THREADS']) + int(os.environ['MKL_NUM_THREADS'])"
    assert ask(f"{own(text)}:threads", ["C"]) == [Value(2.0)]
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


def is_alive(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for is none."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(process: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(process)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_programs_that_a_function_started_end_with_it(own, tmp_path):
    text = """
def program(smiles):
    started = subprocess.Popen(["sleep", "60"])
    pathlib.Path("started.txt").write_text(str(started.pid))
    return started.wait()
"""
    (said,) = ask(f"{own(text)}:program", ["C"], seconds=1)
    assert said.reason == "the oracle took longer than 1 s"
    assert ends(int((tmp_path / "started.txt").read_text()))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
def test_workers_end_with_a_command_that_is_killed(own, tmp_path):
    name = own("def forever(smiles):\n    pathlib.Path('at.txt').write_text(f'{os.getpid()} ')\n    time.sleep(60)")
    (tmp_path / "asks.py").write_text(
        "from pipeline.oracles.oracle import OracleWorkers, oracle_named\n"
        "if __name__ == '__main__':\n"
        f"    with OracleWorkers(oracle_named('{name}:forever')) as workers:\n        workers.ask(['C'])\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    command = subprocess.Popen([sys.executable, "asks.py"], env={**os.environ, "PYTHONPATH": path})
    end = time.monotonic() + 30
    while not (tmp_path / "at.txt").exists() or not (tmp_path / "at.txt").read_text().endswith(" "):
        assert time.monotonic() < end
        time.sleep(0.05)
    worker = int((tmp_path / "at.txt").read_text())
    assert is_alive(worker)
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert ends(worker)


@pytest.mark.parametrize(
    ("text", "function", "words"),
    [
        (None, "f", "cannot be imported: No module named"),
        ("", "f", "has no function 'f'"),
        ("1 / 0", "f", "cannot be imported: division by zero"),
        ("sys.exit(4)", "f", "cannot be imported: 4"),
        ("f = 3", "f", "has no function 'f'"),
    ],
)
def test_what_is_wrong_with_an_own_oracle_is_one_line(own, text, function, words):
    name = f"absent_{next(NUMBERS)}" if text is None else own(text)
    with pytest.raises(InputError, match=words) as caught:
        oracle_named(f"{name}:{function}")
    assert str(caught.value).startswith(f"oracle '{name}:{function}'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("os._exit(4)", r"ended its process \(exit status 4\) while its module was imported"),
        ("1 / 0", "cannot be imported: division by zero"),
    ],
)
def test_a_module_that_only_a_process_of_its_own_cannot_import_ends_the_command(own, text, words):
    name = own(f"import multiprocessing\nif multiprocessing.parent_process(): {text}\ndef f(smiles): return 1")
    with pytest.raises(InputError, match=words):
        ask(f"{name}:f", ["C"])


def test_an_own_oracle_says_its_units_and_version(own):
    oracle = oracle_named(f"{own(ODD + 'odd.version = 3')}:odd")
    assert (oracle.target, oracle.units) == ("odd", "kcal/mol")
    assert oracle.version.endswith(", 3")


def test_a_function_without_a_file_of_its_own_is_an_oracle(own):
    assert ask("math:isqrt", ["C"])[0].reason.startswith("TypeError: ")
    assert oracle_named(f"{own('from math import sqrt')}:sqrt").version.startswith("files ")


def test_an_unknown_oracle_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown oracle 'xtbgap' \(did you mean 'xtb_gap'\?\); there are: .*MODULE"):
        oracle_named("xtbgap")


def test_a_missing_package_is_said_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'needs tblite: pip install "chemtune\[xtb\]"'):
        oracle_named("xtb_gap")


@pytest.mark.parametrize("options", [{"workers": -1}, {"seconds": 0}, {"seconds": float("nan")}])
def test_options_without_sense_are_refused(options):
    with pytest.raises(InputError, match="must"):
        OracleWorkers(Oracle("logp", "logP", "", "1"), **options)


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_every_built_in_oracle_is_whole(name, tmp_path):
    row = BUILT_IN[name]
    if row.package:
        pytest.importorskip(row.package)
    oracle = oracle_named(name)
    assert (oracle.name, oracle.target, oracle.units) == (name, row.target, row.units)
    assert "rdkit" in oracle.version
    (said,) = ask(name, ["c1ccccc1"], kept=tmp_path)
    assert said.value is not None


def test_logp_is_that_of_rdkit(tmp_path):
    (said,) = ask("logp", ["CCCCCCCC"], kept=tmp_path)
    assert said.value == pytest.approx(3.3668)
