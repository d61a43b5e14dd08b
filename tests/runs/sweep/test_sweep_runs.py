"""Sweeps carried out: like ``align`` byte for byte, killed and gone on with, in processes, with runs that fail."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call
from folders import bytes_of
from processes import KILLED
from sweeps import content, sweep_file

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.pool.protocol import WorkerError
from acculturate.model.respondent import Respondent
from acculturate.runs import provenance
from acculturate.runs.sweep import models, worker
from acculturate.runs.sweep.events import Event, EventKind
from acculturate.runs.sweep.plan import plan_sweep, read_sweep
from acculturate.runs.sweep.processes import carry_out_in_processes
from acculturate.runs.sweep.queue import carry_out_in_turn
from acculturate.runs.sweep.table import SweepTable
from acculturate.runs.trackers.tracker import Tracker


def carried_out(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        return call(patch, "sweep", *words)


@pytest.fixture(scope="module")
def file(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two countries by one seed."""
    return sweep_file(tmp_path_factory.mktemp("file"), tiny)


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep, undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "sweep"
    assert carried_out(file, "--out", out) == 0
    return out


def test_every_run_is_what_align_writes(tiny, whole, tmp_path, monkeypatch, capsys) -> None:
    flags = ["--protocol=paper", "--optimizer=de", "--population=4", "--budget=12", "--baselines="]
    flags += [f"--model={tiny}", "--heldout-formats=digits/question-first/1/en"]
    assert call(monkeypatch, "align", "--country=CHN", *flags, "--out", tmp_path / "run") == 0
    assert bytes_of(tmp_path / "run") == bytes_of(whole / "CHN")
    before = bytes_of(whole)
    capsys.readouterr()
    assert call(monkeypatch, "align", "--country=CHN", *flags, "--out", whole / "CHN", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["target"]["code"] == "CHN"
    assert bytes_of(whole) == before


@pytest.mark.parametrize("kills", [(4,), pytest.param((2, 3), marks=pytest.mark.slow)], ids=["once", "twice"])
def test_a_sweep_that_was_killed_ends_byte_for_byte_like_an_undisturbed_one(kills, file, whole, tmp_path) -> None:
    out = tmp_path / "cut"
    for generations in kills:  # after three the second run begins
        command = [sys.executable, "-c", KILLED, "checkpoint", str(generations), "sweep", str(file), "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out / "USA" / "result.json").exists() and not (out / "CHN" / "result.json").exists()
    assert "CHN,CHN,0," in (out / "sweep.csv").read_text()
    assert carried_out(file, "--out", out) == 0
    assert bytes_of(out) == bytes_of(whole)


def test_a_finished_run_gets_the_report_that_it_lacks_and_is_logged_whole(file, whole, tmp_path, monkeypatch) -> None:
    before, logged = bytes_of(whole), []
    (whole / "USA" / "report.html").unlink()
    assert carried_out(file, "--out", whole) == 0
    assert bytes_of(whole) == before
    monkeypatch.setattr(Tracker, "finished", lambda _, folder: logged.append(folder.name))
    assert carried_out(file, "--out", whole, "--track", "tensorboard") == 0
    assert logged == ["USA", "CHN"] and bytes_of(whole) == before


def test_a_finished_sweep_is_said_again_and_left_alone(file, whole, capsys) -> None:
    before = bytes_of(whole)
    assert carried_out(file, "--out", whole, "--format", "json") == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert [row["directory"] for row in record["rows"]] == ["USA", "CHN"]
    assert {row["status"] for row in record["rows"]} == {"done"}
    assert shown.err == "2 of 2 runs are finished already.\n"
    assert bytes_of(whole) == before


@pytest.mark.slow
def test_runs_in_processes_write_the_same_and_a_lost_process_ends_one_run_only(file, whole, tmp_path) -> None:
    out, events = tmp_path / "out", []

    def follow(event: Event) -> None:
        events.append(event)
        table.take(event)
        if event.run == "USA" and event.kind is EventKind.GENERATION and (event.evaluations or 0) >= 4:
            for child in _children(os.getpid()):
                if "USA" in _open_directories(child):
                    os.kill(child, signal.SIGKILL)

    table = SweepTable(read_sweep(file), out)
    carry_out_in_processes(table.todo, out, follow, jobs=2)
    assert [row.directory for row in table.record.failed] == ["USA"]
    assert "was ended by signal 9" in (table.record.failed[0].problem or "")
    assert carried_out(file, "--out", out) == 0
    assert bytes_of(out) == bytes_of(whole)


def _children(parent: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _open_directories(process: int) -> set[str]:
    """The names of the directories in which a process holds a lock."""
    links = [str(one.readlink()) for one in Path(f"/proc/{process}/fd").iterdir() if one.exists()]
    return {Path(link).parent.name for link in links if link.endswith("/.lock")}


def test_a_run_that_fails_ends_none_of_the_others_and_a_model_is_loaded_once(
    tiny, tmp_path, capsys, monkeypatch
) -> None:
    out, loaded = tmp_path / "out", []
    monkeypatch.setattr(models, "Respondent", lambda choice: loaded.append(choice) or Respondent(choice))
    (out / "CHN").mkdir(parents=True)
    (out / "CHN" / "thesis.txt").write_text("mine")
    settings = {**content(tiny)["settings"], "budget": 4}
    empty = tmp_path / "nowhere" / "model"
    empty.mkdir(parents=True)
    file = sweep_file(tmp_path, tiny, settings=settings, runs=[{"country": "IND", "model": str(empty)}])
    assert carried_out(file, "--out", out, "--format", "json") == 1
    assert len(loaded) == 1
    record = json.loads(capsys.readouterr().out)
    by_name = {row["directory"]: row for row in record["rows"]}
    assert [by_name[name]["status"] for name in ("USA", "CHN", "IND_model")] == ["done", "failed", "failed"]
    assert "holds other files (thesis.txt) but no run" in by_name["CHN"]["problem"]
    # A long path of a temporary folder is cut in its middle before its folders are taken off.
    assert "has no config.json" in by_name["IND_model"]["problem"]
    assert (out / "CHN" / "thesis.txt").read_text() == "mine"
    for name in ("sweep.csv", "index.html"):
        assert str(tmp_path) not in (out / name).read_text()
    (out / "CHN" / "thesis.txt").unlink()
    assert carried_out(file, "--out", out) == 1
    shown = capsys.readouterr()
    assert "1 of 3 runs are finished already." in shown.err and "1 of 2: CHN done in" in shown.err
    assert re.search(r"IND_model failed: Model directory '[^\n]*model' has no config.json", shown.out)


def test_runs_of_one_model_share_what_they_lay_out_alike(tiny, tmp_path, monkeypatch) -> None:
    settings = {**content(tiny)["settings"], "budget": 4, "dtype": "bfloat16"}
    plan, loaded, built = plan_sweep(content(tiny, settings=settings)), [], []

    class Counted(PackedEngine):
        def __init__(self, model, plan, options) -> None:
            built.append(model.dtype)
            super().__init__(model, plan, options)

    monkeypatch.setattr("acculturate.model.soundness.PackedEngine", Counted)
    monkeypatch.setattr("acculturate.model.interview.PackedEngine", Counted)
    monkeypatch.setattr(models, "_fits_beside_float32", lambda _: True)
    monkeypatch.setattr(provenance, "Respondent", lambda choice: loaded.append(choice) or Respondent(choice))
    laid_out = {}
    for name, free in (("room", 2**40), ("none", 0)):
        monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / f"answers-{name}"))
        monkeypatch.setattr(models, "_free_bytes", lambda _, free=free: free)
        carry_out_in_turn(plan.runs, tmp_path / name, lambda _: None)
        laid_out[name] = [built.count(dtype) for dtype in (torch.bfloat16, torch.float32)]
        built.clear()
    assert bytes_of(tmp_path / "room") == bytes_of(tmp_path / "none")
    assert all(np.less(laid_out["room"], laid_out["none"])), laid_out
    assert len(loaded) == 2  # in float32: once for both runs of a sweep


def test_a_model_of_somebody_else_keeps_nothing_of_a_sweep(tiny, tmp_path) -> None:
    respondent = Respondent(ModelChoice(tiny, dtype="float32"))
    plan = plan_sweep(content(tiny, settings={**content(tiny)["settings"], "budget": 4, "dtype": "float32"}))
    carry_out_in_turn(plan.runs[:1], tmp_path, lambda _: None, shelf=models.ModelShelf(respondent))
    assert respondent.engines is None and respondent.precise is None


def test_an_unexpected_error_is_a_sentence_too(tiny, tmp_path, monkeypatch) -> None:
    plan = plan_sweep(content(tiny, settings={**content(tiny)["settings"], "budget": 4}))

    def broken(*_: object, **__: object) -> None:
        raise ValueError("shapes\n  do not match")

    monkeypatch.setattr("acculturate.runs.sweep.queue.carry_out", broken)
    table = SweepTable(plan, tmp_path)
    carry_out_in_turn(table.todo, tmp_path, table.take)
    assert len(table.record.failed) == 2
    assert "nobody expected ended this run: ValueError, shapes; give its" in (table.record.failed[0].problem or "")


def test_a_lost_process_of_torchrun_ends_the_whole_sweep(tiny, tmp_path, monkeypatch) -> None:
    plan, begun = plan_sweep(content(tiny)), []

    def lost(*_: object, **__: object) -> None:
        raise WorkerError("Process 1 is gone.")

    monkeypatch.setattr("acculturate.runs.sweep.queue.carry_out", lost)
    with pytest.raises(WorkerError):
        carry_out_in_turn(plan.runs, tmp_path, begun.append)
    assert [one.run for one in begun if one.kind is EventKind.BEGINS] == ["USA"]


def test_models_of_one_name_in_different_folders_are_no_seeds_of_each_other(tiny, tmp_path) -> None:
    models = [str(tmp_path / folder / "m") for folder in "ab"]
    for model in models:
        Path(model).parent.mkdir()
        Path(model).symlink_to(tiny)
    settings = {key: value for key, value in content(tiny)["settings"].items() if key != "model"}
    alike = [{"country": "USA", "model": models[0]}, {"country": "United States", "model": models[0], "seed": 1}]
    plan = plan_sweep({"settings": settings, "runs": [*alike, {"country": "USA", "model": models[1]}]})
    record = SweepTable(plan, tmp_path / "out").record
    assert [(cell.model, cell.runs) for cell in record.cells] == [("m (1)", 2), ("m (2)", 1)]
    assert [row.settings["model"] for row in record.rows] == ["m (1)", "m (1)", "m (2)"]


@pytest.mark.parametrize("name", ["file", "run", "table"])
def test_a_directory_of_something_else_is_refused(name, tiny, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    if name == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "spec.json").write_text("{}") if name == "run" else (out / "sweep.csv").mkdir()
    assert carried_out(sweep_file(tmp_path, tiny), "--out", out) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "; choose" in said or "; move it" in said


@pytest.mark.parametrize("name", ["index.html", "sweep.csv", "sweep.json", "thesis"])
def test_files_of_the_user_are_not_written_over(name, tiny, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("{}")
    before = bytes_of(out)
    assert carried_out(sweep_file(tmp_path, tiny), "--out", out) == 2
    assert f"holds other files ({name}) but no sweep; choose an empty one with --out." in capsys.readouterr().err
    assert bytes_of(out) == before


def test_other_settings_in_the_same_directory_are_refused_and_the_table_stays(tiny, whole, tmp_path, capsys) -> None:
    before = bytes_of(whole)
    file = sweep_file(tmp_path, tiny, settings={**content(tiny)["settings"], "budget": 16})
    assert carried_out(file, "--out", whole) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"'{whole / 'USA'}' holds a run with budget = 12, not 16;" in said
    assert bytes_of(whole) == before


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "nowhere.gguf", "a/b/c"])
def test_a_model_that_does_not_exist_is_said_before_the_first_run(name, tiny, tmp_path, capsys) -> None:
    file = sweep_file(tmp_path, tiny, runs=[{"country": "IND", "model": name}])
    assert carried_out(file, "--out", tmp_path / "out") == 2
    assert f"Model '{name}' does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_directory_name_is_refused(tiny, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    file = sweep_file(tmp_path, tiny)
    assert carried_out(file, "--out", "") == 2
    assert capsys.readouterr().err == "acculturate: --out is empty; name a directory for the sweep.\n"
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_a_second_sweep_in_the_directory_is_refused(file, whole, capsys) -> None:
    with SweepTable(read_sweep(file), whole).claimed():
        assert carried_out(file, "--out", whole) == 2
    said = capsys.readouterr().err
    assert (
        said == f"acculturate: Another process is running in '{whole}'; wait for it or choose another directory "
        "with --out.\n"
    )


def test_a_dry_run_lists_runs_and_cost_and_writes_nothing(tiny, tmp_path, capsys) -> None:
    file = sweep_file(tmp_path, tiny, runs=[{"country": "IND", "budget": 24}])
    before = bytes_of(tmp_path)
    assert carried_out(file, "--dry-run", "--format", "json") == 0
    told = {one["directory"]: one["cost"] for one in json.loads(capsys.readouterr().out)}
    assert list(told) == ["USA", "CHN", "IND_budget-24"]
    assert told["IND_budget-24"]["seconds_in_total"] == pytest.approx(2 * told["USA"]["seconds_in_total"])
    assert carried_out(file, "--dry-run") == 0
    assert "3 runs, " in capsys.readouterr().out
    assert bytes_of(tmp_path) == before


def test_a_worker_carries_out_what_it_is_asked_and_tells_of_it(file, whole, tmp_path) -> None:
    (run,) = (one for one in read_sweep(file).runs if one.name == "CHN")
    orders: queue.Queue = queue.Queue()
    orders.put(json.loads(json.dumps(worker.order(run, tmp_path / run.name, again=False))))
    orders.put(None)
    busy = threading.Event()
    busy.set()
    with warnings.catch_warnings(), (tmp_path / "events").open("w") as events:
        worker.work(orders, busy, events)
    told = [Event.from_json(json.loads(line)) for line in (tmp_path / "events").read_text().splitlines()]
    assert {one.run for one in told} == {run.name} and not busy.is_set()
    assert (told[0].kind, told[-1].kind) == (EventKind.BEGINS, EventKind.DONE)
    assert [one.evaluations for one in told if one.kind is EventKind.GENERATION] == [0, 4, 8, 12]
    assert bytes_of(tmp_path / run.name) == bytes_of(whole / run.name)


@contextmanager
def _started(tiny: str, folder: Path, jobs: int) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process of its own, into ``folder / "out"``, long enough to be interrupted."""
    file = sweep_file(folder, tiny, settings={**content(tiny)["settings"], "budget": 20_000})
    command = ["-m", "acculturate", "sweep", file, "--out", folder / "out", "--jobs", jobs]
    process = subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: len(list((folder / "out").glob("*/checkpoints"))) == jobs)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_sweep_with_a_sentence_and_no_process_stays(number, jobs, tiny, tmp_path) -> None:
    with _started(tiny, tmp_path, jobs) as process:
        children = _children(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "acculturate: interrupted; give the same command again to go on from here."
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tiny, tmp_path) -> None:
    with _started(tiny, tmp_path, jobs=2) as process:
        children = _children(process.pid)
        assert len(children) == 2
        process.kill()
        process.wait()
        _wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def _wait_for(what, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
