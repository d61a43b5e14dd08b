"""Sweeps as jobs, through submitit itself: on its local executor, and on a stand-in for the programs of SLURM."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from commands import call
from folders import bytes_of
from slurm import stand_in_for_slurm
from sweeps import content, sweep_file

from acculturate.errors import UserError
from acculturate.files.run_directory import LOCK
from acculturate.runs.sweep.events import Event, EventKind
from acculturate.runs.sweep.plan import read_sweep
from acculturate.runs.sweep.queue import carry_out_in_turn
from acculturate.runs.sweep.slurm import FOLDER, SlurmQueue, check_slurm, slurm_parameters
from acculturate.runs.sweep.table import SweepTable


def test_parameters_are_those_of_sbatch_and_of_submitit() -> None:
    texts = ["partition=gpu", "--gpus=1", "gpus_per_node=2", "time=1-02:30:00", "mem-gb=16", "array-parallelism=4"]
    assert slurm_parameters([*texts, "mail-type=END", "cluster=local"]) == {
        "timeout_min": 26 * 60 + 30,
        "gpus_per_node": 2,
        "mem_gb": 16,
        "cluster": "local",
        "slurm_array_parallelism": 4,
        "slurm_additional_parameters": {"partition": "gpu", "gpus": "1", "mail-type": "END"},
    }


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("90:30", 90), ("02:30:00", 150), ("2-0", 2880), ("1-01:30", 1530), ("0", 1)]
)
def test_times_are_read_as_sbatch_reads_them(text: str, minutes: int) -> None:
    assert slurm_parameters([f"time={text}"])["timeout_min"] == minutes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu", "'gpu' is not of the form NAME=VALUE, like partition=gpu."),
        ("a=b\n#SBATCH --wrap=rm", "is not of the form NAME=VALUE"),
        ("time=soon", "time is 'soon'; expected minutes, HH:MM:SS or D-HH:MM:SS."),
        ("gpus_per_node=two", "gpus_per_node is 'two'; expected a whole number from 1."),
        ("cluster=moon", "cluster is 'moon'; expected slurm or local."),
        ("partition=gpu", "There is no sbatch on this machine"),
    ],
)
def test_a_mistake_is_said_before_anything_is_submitted(text: str, said: str, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=said):
        check_slurm(slurm_parameters([text]))


def test_flags_that_exclude_each_other_are_said(tiny, tmp_path, monkeypatch, capsys) -> None:
    file = sweep_file(tmp_path, tiny)
    for more, said in (
        (("--slurm", "--jobs", 2), "--slurm has a job for every run; leave --jobs out."),
        (("--slurm-set", "a=b"), "--slurm-set is for jobs of a cluster; give --slurm too"),
    ):
        assert call(monkeypatch, "sweep", file, "--out", tmp_path / "out", *more) == 2
        assert said in capsys.readouterr().err


@pytest.fixture
def whole(tiny, tmp_path) -> Path:
    """The same sweep in this process."""
    out = tmp_path / "whole"
    table = SweepTable(read_sweep(sweep_file(tmp_path, tiny, settings=_settings(tiny))), out)
    with table.claimed():
        carry_out_in_turn(table.todo, out, table.take)
    return out


def _settings(tiny: str) -> dict[str, object]:
    return {**content(tiny)["settings"], "budget": 400}


def _visible(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in bytes_of(folder).items() if not name.startswith((FOLDER, LOCK))}


@pytest.mark.slow
def test_jobs_on_this_machine_write_what_a_sweep_in_one_process_does(
    tiny, whole, tmp_path, monkeypatch, capsys
) -> None:
    out, file = tmp_path / "out", tmp_path / "sweep.yaml"
    (out / "CHN").mkdir(parents=True)
    (out / "CHN" / "thesis.txt").write_text("mine")
    words = ("sweep", file, "--out", out, "--slurm", "--slurm-set", "cluster=local", "--format", "json")
    assert call(monkeypatch, *words) == 1
    rows = {row["directory"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["USA"]["status"] == "done" and "thesis.txt" in rows["CHN"]["problem"]
    (out / "CHN" / "thesis.txt").unlink()
    assert call(monkeypatch, *words) == 0
    assert _visible(out) == _visible(whole)


@pytest.mark.slow
def test_a_preempted_job_goes_on_and_a_second_call_waits_for_the_jobs(tiny, whole, tmp_path, monkeypatch) -> None:
    cluster, out = tmp_path / "cluster", tmp_path / "out"
    monkeypatch.setenv("PATH", stand_in_for_slurm(cluster))
    plan = read_sweep(tmp_path / "sweep.yaml")
    table = SweepTable(plan, out)

    class LeftError(Exception):
        """Whoever waits goes away, as with Ctrl-C."""

    def leave(event: Event) -> None:
        if event.kind is EventKind.STAGE:
            raise LeftError

    with pytest.raises(LeftError):
        SlurmQueue(out, slurm_parameters(["partition=gpu", "time=60"]), poll=0.1).carry_out(table.todo, leave)
    _wait_for((out / "USA" / "checkpoints").exists)
    os.kill(int((cluster / "0.pid").read_text()), signal.SIGUSR2)
    _wait_for((cluster / "requeued").exists)
    SlurmQueue(out, slurm_parameters(["partition=gpu"]), poll=0.1).carry_out(table.todo, table.take)
    assert (cluster / "submitted").read_text().split() == ["once"]
    assert (cluster / "requeued").read_text() == "requeue 70_0\n"
    script = (cluster / "job.sh").read_text()
    assert "#SBATCH --partition=gpu\n" in script and "#SBATCH --time=60\n" in script
    table.write()
    assert not table.record.failed and _visible(out) == _visible(whole)


def _wait_for(what, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
