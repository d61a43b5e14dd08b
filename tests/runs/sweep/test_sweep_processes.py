"""Processes that carry out the runs of a sweep: what they load, and how it is said that one was lost."""

from __future__ import annotations

import queue

import pytest
from sweeps import content

from acculturate.errors import UserError
from acculturate.runs.sweep import processes
from acculturate.runs.sweep.plan import plan_sweep


def test_a_process_runs_no_file_of_the_current_directory(tmp_path, monkeypatch) -> None:
    (tmp_path / "numpy.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    worker = processes._Worker(queue.Queue(), threads=1)
    worker.dismiss()
    assert worker.process.wait(60) == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("code", "memory"), [(-9, True), (-15, False), (1, False)])
def test_memory_is_blamed_for_signal_9_alone(code: int, memory: bool) -> None:
    assert ("memory" in processes._lost(code)) is memory


def test_torchrun_and_processes_of_a_sweep_exclude_each_other(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="torchrun's processes share every run already; give 1 for jobs"):
        processes.carry_out_in_processes(plan_sweep(content(tiny)).runs, tmp_path, lambda _: None, jobs=2)
