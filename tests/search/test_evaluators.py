"""One conformance suite for all evaluators: the same evaluations to the bit, whoever computes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from evaluators import cases

from acculturate.model.choice import ModelChoice
from acculturate.model.pool.opening import shared
from acculturate.model.pool.ray_actors import RayWorker
from acculturate.model.pool.worker_pool import WorkerPool
from acculturate.model.respondent import Respondent

PROGRAM = Path(__file__).parents[1] / "support" / "evaluators.py"
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def respondent(tiny: str) -> Respondent:
    return Respondent(ModelChoice(tiny))


@pytest.fixture(scope="module")
def expected(respondent: Respondent, tiny: str) -> dict[str, object]:
    """The evaluations of one process."""
    return cases(respondent, tiny)


def test_one_process_evaluates_every_case(expected: dict[str, object]) -> None:
    assert {n: len(evaluations) for n, evaluations in expected.items() if n.isdigit()} == {
        "11": 11,
        "8": 8,
        "3": 3,
        "1": 1,
        "0": 0,
    }
    mistake = "SettingError: The soft prompt has the shape (3, 32), but this model and slot expect"
    assert str(expected["mistake"]).startswith(mistake)


def test_processes_on_this_machine_agree_and_a_killed_one_loses_nothing(
    respondent: Respondent, tiny: str, expected: dict[str, object]
) -> None:
    with shared(respondent, "local:2") as pool:
        assert isinstance(pool, WorkerPool)
        assert cases(respondent, tiny) == expected
        pid = pool.workers[0].pid  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGSTOP)  # it has taken an order when it is killed
        killing = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {pid}"])
        with pytest.warns(UserWarning, match=rf"process {pid} was ended by SIGKILL.* asked again.* with 1 process\."):
            assert cases(respondent, tiny) == expected
        killing.wait()
        assert pool.workers == ()
    assert respondent.pool is None


def torchrun(processes: int, tiny: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*command, str(PROGRAM), tiny, "none", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=slow)])
def test_processes_of_torchrun_agree(processes: int, tiny: str, expected: dict[str, object], tmp_path: Path) -> None:
    done = torchrun(processes, tiny, tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == expected


@slow
def test_a_lost_process_of_torchrun_ends_all_with_a_sentence(tiny: str, tmp_path: Path) -> None:
    done = torchrun(3, tiny, tmp_path / "out.json", DIE="2")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("acculturate: ")]
    assert said == [
        "acculturate: Process 2 of torchrun's 0 to 2 is gone, so the run stops here; its last generation is on disk, "
        "and the same command goes on from there."
    ]


@slow
def test_actors_of_ray_agree_and_a_killed_one_is_replaced(
    respondent: Respondent, tiny: str, expected: dict[str, object]
) -> None:
    with shared(respondent, "ray:2") as pool:
        assert isinstance(pool, WorkerPool)
        assert cases(respondent, tiny) == expected
        worker = pool.workers[0]
        assert isinstance(worker, RayWorker)
        os.kill(worker.pid(), signal.SIGKILL)
        assert cases(respondent, tiny) == expected
        assert len(pool.workers) == 2
