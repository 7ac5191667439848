"""Executors: the same results whoever computes, each cell once, and a killed helper loses the cell that it was at."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from pipeline.cells import executors
from pipeline.cells.cell import Cell
from pipeline.cells.executors import PROCESSES, RAY, SERIAL, SLURM, Executor
from pipeline.cells.status import statuses
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Machine
from pipeline.studies.two_runs import Finished, compare_runs
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn")

EVERYWHERE = [
    SERIAL,
    PROCESSES,
    pytest.param(RAY, marks=pytest.mark.slow),
    pytest.param(SLURM, marks=pytest.mark.slow),
]
HELPED = EVERYWHERE[1:]


@pytest.fixture(autouse=True)
def local_jobs(monkeypatch):
    """Jobs of submitit on this machine."""
    monkeypatch.setattr(executors, "SLURM_CLUSTER", "local")


def cells_of(work="double", count=6, wait=0.0):
    made = [
        Cell(f"tests.cells.work:{work}", {"number": number}, {"number": number, "wait": wait}, (), f"cell {number}")
        for number in range(count)
    ]
    total = Cell("tests.cells.work:double", {"number": "sum"}, {}, tuple(made), "sum")
    return [*made, total]


class Heard(Reporter):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def fill(cells, folder, name, workers=2, reporter=None, told=lambda cell, content: None):
    executor = Executor(name, 0 if name == SERIAL else workers)
    return executor.fill(cells, str(folder), Machine(2, "", reporter or Reporter()), Store(folder), told)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_every_executor_gives_the_results_and_makes_each_cell_once(tmp_path, name):
    cells, told = cells_of(), []
    found = fill(cells, tmp_path, name, told=lambda cell, content: told.append(cell.label))
    assert [found[cell.id]["value"] for cell in cells] == [0, 2, 4, 6, 8, 10, 30]
    assert sorted(told) == sorted(cell.label for cell in cells)
    logs = {path.stem: path.read_text().split() for path in tmp_path.glob("*.log")}
    assert all(len(made) == 1 for made in logs.values())
    assert name == SERIAL or str(os.getpid()) not in {made[0] for label, made in logs.items() if label != "sum"}
    assert not list((tmp_path / "cells").glob("*.lock"))
    assert fill(cells, tmp_path, name) == found
    assert {path.stem: path.read_text().split() for path in tmp_path.glob("*.log")} == logs


@pytest.mark.parametrize("has_gpu", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_helpers_do_what_needs_a_result_of_the_language_model(tmp_path, monkeypatch, has_gpu):
    monkeypatch.setattr(Machine, "has_gpu", property(lambda machine: has_gpu))
    plain, generators, checks = cells_of(count=2)[:2], [], []
    for number in (10, 20):
        made = Cell("tests.cells.work:double", {"number": number}, {"number": number}, (), f"model {number}", True)
        generators.append(made)
        for check in range(3):
            tags = {"number": f"{number}-{check}"}
            checks.append(Cell("tests.cells.work:double", tags, {"wait": 0.2}, (made,), f"check {check} of {number}"))
    cells = [
        *plain,
        *(one for made, of in ((generators[0], checks[:3]), (generators[1], checks[3:])) for one in (made, *of)),
    ]
    found = fill(cells, tmp_path, PROCESSES)
    assert [found[cell.id]["value"] for cell in checks] == [20] * 3 + [40] * 3
    by = {path.stem: path.read_text().split() for path in tmp_path.glob("*.log")}
    assert all(len(made) == 1 for made in by.values())
    assert {by[cell.label][0] for cell in generators} == {str(os.getpid())}
    assert str(os.getpid()) not in {by[cell.label][0] for cell in checks}


@pytest.mark.parametrize("name", HELPED)
def test_a_killed_helper_loses_the_cell_that_it_was_at(tmp_path, name):
    heard = Heard()
    cells = [*cells_of(), Cell("tests.cells.work:die_once", {"number": 7}, {"number": 7}, (), "deadly")]
    found = fill(cells, tmp_path, name, reporter=heard)
    assert found[cells[-1].id]["value"] == 14
    assert len(found) == len(cells)
    assert all(len(path.read_text().split()) == 1 for path in tmp_path.glob("*.log"))
    assert any("ended before its work was done" in line for line in heard.lines)


@pytest.mark.slow
def test_helpers_that_die_again_and_again_end_the_run(tmp_path):
    cell = Cell("tests.cells.work:die_always", {}, {}, (), "deadly")
    with pytest.raises(InputError, match="end before their work is done"):
        fill([cell], tmp_path, PROCESSES, workers=1)


@pytest.mark.parametrize("name", [SERIAL, PROCESSES])
def test_what_cannot_be_made_is_said_and_all_else_is_kept(tmp_path, name):
    bad = Cell("tests.cells.work:refuse", {}, {}, (), "bad one")
    cells = cells_of(count=3)
    with pytest.raises(InputError, match="this cell cannot be made"):
        fill([*cells, bad], tmp_path, name)
    store = Store(tmp_path)
    assert all(store.read(cell.id) for cell in cells)
    assert "this cell cannot be made" in store.failure(bad.id)["error"]
    (status,) = statuses(tmp_path)
    assert status.failed == ("bad one: InputError: this cell cannot be made",)
    assert (status.done, status.total, status.finished) == (4, 5, False)
    assert status.seconds_left == 1.0


def two_at_once(folder):
    fill(cells_of(wait=0.2), folder, SERIAL)


def test_two_commands_on_one_folder_share_the_work(tmp_path):
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=two_at_once, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    logs = [path.read_text().split() for path in tmp_path.glob("*.log")]
    assert len(logs) == 7
    assert all(len(made) == 1 for made in logs)
    assert len({made[0] for made in logs}) == 2


def test_shares_are_done_apart_and_the_last_one_has_all(tmp_path):
    cells, heard = cells_of(), Heard()
    made = []
    for share in (1, 2, 3):
        executor = Executor.of("", 0, f"{share}/3")
        made.append(executor.fill(cells, str(tmp_path), Machine(1, "", heard), Store(tmp_path)))
    assert made[:2] == [None, None]
    assert made[2] is not None
    assert made[2][cells[-1].id]["value"] == 30
    assert all(len(path.read_text().split()) == 1 for path in tmp_path.glob("*.log"))
    assert heard.lines[-1].startswith("Share 3 of 3 is done; 7 of 7 cells")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("threads", 0, ""), "unknown executor 'threads'"),
        (("", 3, ""), "--workers is for helpers"),
        (("processes", -1, ""), "must not be negative"),
        (("", 0, "3/2"), "write it as 2/5"),
        (("", 0, "0/2"), "write it as 2/5"),
        (("ray", 0, "1/2"), "does not go with --executor ray"),
    ],
)
def test_what_does_not_go_together_is_said(given, words):
    with pytest.raises(InputError, match=words):
        Executor.of(*given)


def test_slurm_where_there_is_none_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "SLURM_CLUSTER", "slurm")
    with pytest.raises(InputError, match="there is no SLURM here"):
        fill(cells_of(), tmp_path, SLURM)


def test_a_claim_is_free_again_when_its_process_is_killed(tmp_path):
    cell = cells_of(count=1)[0]
    code = (
        "import sys, time; from pathlib import Path; from pipeline.cells.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).claim({cell.id!r}) as ours: print(ours, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "True"
    store = Store(tmp_path)
    assert store.is_claimed(cell.id)
    with store.claim(cell.id) as ours:
        assert not ours
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not store.is_claimed(cell.id)
    with store.claim(cell.id) as ours:
        assert ours


# -- a run --


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    table = write_table(folder / "chains.csv", [(text, len(text) + text.count("N")) for text in SMILES])
    given = ("run", table, "--smiles", "SMILES", "--target", "value", "--arms", "ridge,knn,gp")
    command = (*given, "--split", "random,size", "--folds", 2)
    done = chemtune(*command, "--out", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, command


@pytest.mark.parametrize("name", HELPED)
def test_a_run_by_helpers_is_equal_to_the_last_digit_and_has_nothing_to_do_again(serial, name, tmp_path):
    folder, command = serial
    given = (*command, "--executor", name, "--workers", 2, "--out", tmp_path / "out")
    done = chemtune(*given, cwd=folder)
    assert done.returncode == 0, done.stderr
    frames = [
        pd.read_parquet(out / "predictions.parquet").sort_values(["split", "fold", "arm", "row_id"], ignore_index=True)
        for out in (folder / "out", tmp_path / "out")
    ]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    infos = [json.loads((out / "run.json").read_text()) for out in (folder / "out", tmp_path / "out")]
    assert infos[0]["verdicts"] == infos[1]["verdicts"]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").iterdir()}
    started = time.perf_counter()
    again = chemtune(*given, cwd=folder)
    assert again.returncode == 0
    assert time.perf_counter() - started < 60
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").iterdir()} == stamps


def test_a_finished_folder_is_reported_again_without_fitting(serial):
    folder, _ = serial
    out = folder / "out"
    before = {name: (out / name).read_bytes() for name in ("metrics.csv", "comparisons.csv", "splits.csv")}
    stamps = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    page = (out / "report.html").read_text(encoding="utf-8")
    for name in ("metrics.csv", "report.html"):
        (out / name).unlink()
    done = chemtune("report", out, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {name: (out / name).read_bytes() for name in before} == before
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == stamps
    assert "Report:" in done.stdout


def test_a_folder_that_is_not_finished_is_not_reported(serial, tmp_path):
    folder, command = serial
    done = chemtune(*command, "--shard", "1/2", "--out", tmp_path / "half", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Other shares are still to be done" in done.stdout
    assert not (tmp_path / "half/report.html").exists()
    refused = chemtune("report", tmp_path / "half", cwd=folder)
    assert refused.returncode == 2
    assert "cells are not done" in refused.stderr
    status = chemtune("status", tmp_path / "half", cwd=folder)
    assert "cells done, 0 worked on; about" in status.stdout
    rest = chemtune(*command, "--shard", "2/2", "--out", tmp_path / "half", cwd=folder)
    assert rest.returncode == 0, rest.stderr
    assert (tmp_path / "half/metrics.csv").read_bytes() == (folder / "out/metrics.csv").read_bytes()


def test_a_table_that_has_changed_is_not_reported(serial, tmp_path):
    folder, command = serial
    table = tmp_path / "moved.csv"
    table.write_bytes((folder / "chains.csv").read_bytes())
    given = ("run", table, *command[2:6], "--arms", "knn", "--split", "random", "--out", tmp_path / "out")
    assert chemtune(*given, cwd=tmp_path).returncode == 0
    write_table(table, [(text, 2 * len(text)) for text in SMILES])
    done = chemtune("report", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "another table" in done.stderr


def test_two_runs_are_compared_on_the_same_rows(serial, tmp_path):
    folder, command = serial
    other = tmp_path / "other"
    assert chemtune(*command, "--steps", 5, "--out", other, cwd=folder).returncode == 0
    done = chemtune("compare", folder / "out", other, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "steps: none and 5" in done.stdout
    assert done.stdout.count("not shown to differ") + done.stdout.count("cannot tell") == 8  # four arms, two splits
    whole = chemtune(*command[:8], "--split", "random", "--out", tmp_path / "whole", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    apart = chemtune("compare", folder / "out", tmp_path / "whole", cwd=folder)
    assert apart.returncode == 0, apart.stderr
    assert "every row that both tested counts once" in apart.stdout
    nothing = chemtune("compare", folder / "out", folder / "out", cwd=folder)
    assert "They differ in nothing in their settings." in nothing.stdout
    assert chemtune("compare", folder / "out", folder, cwd=folder).returncode == 2


def test_runs_over_classes_are_compared_by_their_ranking(tmp_path):
    rows = [(s, "ab"[(len(s) + number // 5) % 2]) for number, s in enumerate(SMILES)]
    table = write_table(tmp_path / "classes.csv", rows)
    given = ("run", table, "--smiles", "SMILES", "--target", "value", "--arms", "knn,ridge", "--split", "random")
    for name, more in (("a", ("--folds", 3)), ("b", ("--folds", 3, "--context", "")), ("c", ("--seed", 1))):
        assert chemtune(*given, *more, "--out", tmp_path / name, cwd=tmp_path).returncode == 0
    runs = [Finished.read(tmp_path / name) for name in "abc"]
    for pair in compare_runs(runs[0], runs[1]):
        assert pair.first == pair.second
        assert (pair.low, pair.high) == (0.0, 0.0)
        metrics = pd.read_csv(tmp_path / "a/metrics.csv").query("metric == 'auroc'").set_index("arm")["value"]
        assert pair.first == pytest.approx(metrics[pair.arm])
    apart = compare_runs(runs[0], runs[2])
    assert {pair.arm for pair in apart} == {"majority", "knn", "ridge"}
    assert all(0 < pair.n < len(SMILES) / 2 for pair in apart)


def test_a_run_that_a_budget_reduced_is_reported_again(serial, tmp_path):
    folder, command = serial
    given = (*command[:6], "--arms", "knn,svr", "--split", "random", "--repeats", 5, "--budget", "0.01s")
    done = chemtune(*given, "--out", tmp_path / "small", cwd=folder)
    assert done.returncode == 0, done.stderr
    info = json.loads((tmp_path / "small/run.json").read_text())
    assert info["left_out"]
    done = chemtune("report", tmp_path / "small", cwd=folder)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "small/run.json").read_text())
    assert (again["left_out"], again["settings"]) == (info["left_out"], info["settings"])


def test_runs_over_other_classes_are_not_compared(tmp_path):
    rows = [(s, "abc"[number % 3], "ab"[number % 2]) for number, s in enumerate(SMILES)]
    table = write_table(tmp_path / "classes.csv", rows, "SMILES,three,two")
    for target in ("three", "two"):
        given = ("run", table, "--smiles", "SMILES", "--target", target, "--arms", "knn", "--split", "random")
        assert chemtune(*given, "--out", tmp_path / target, cwd=tmp_path).returncode == 0
    with pytest.raises(InputError, match="predict different classes"):
        compare_runs(*(Finished.read(tmp_path / name) for name in ("three", "two")))


def test_a_helper_ends_without_the_process_that_started_it(tmp_path):
    errand = executors.Errand(
        tuple(cells_of(count=3)), str(tmp_path), Machine(1), tmp_path, False, {}, parent=os.getppid() + 1
    )
    executors.run_errand(errand)  # its parent is another one
    assert not list(tmp_path.glob("cells/*.json"))
