"""Workers on this machine: what they say of mistakes, and that none outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import arguments
from evaluators import TOKENS, problem_of, prompts

from acculturate.errors import ModelError, SettingError
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.local import LocalWorker
from acculturate.model.pool.protocol import TIMEOUT, LostWorkerError, Order, Recipe
from acculturate.model.respondent import Respondent


@pytest.fixture(scope="module")
def worker() -> Iterator[LocalWorker]:
    worker = LocalWorker(1, 1)
    yield worker
    worker.close()


@pytest.fixture
def recipe(tiny: str) -> Recipe:
    respondent = Respondent(ModelChoice(tiny))
    return Recipe(
        choice=respondent.choice,
        weights=respondent.weights_sum,
        answers="probabilities",
        questionnaire=problem_of(tiny).train,
        slot="response_start",
        n_tokens=TOKENS,
        rows=2,
        packs=True,
        batch=8,
        packed_sizes={},
    )


def test_mistakes_come_back_as_the_same_sentence(worker: LocalWorker, recipe: Recipe) -> None:
    wrong = np.zeros((2, TOKENS + 1, 32), dtype=np.float32)
    with pytest.raises(SettingError, match=r"^The soft prompt has the shape \(3, 32\), but this model and slot expect"):
        worker.ask(Order("a", recipe, wrong))
    with pytest.raises(ModelError, match="has other weights in a worker process than in the run"):
        worker.ask(Order("b", replace(recipe, weights="0" * 64), prompts(2, 32)))
    with pytest.raises(ModelError, match=r"Model '\./nowhere' does not exist"):
        worker.ask(Order("c", replace(recipe, choice=ModelChoice("./nowhere")), prompts(2, 32)))
    with pytest.raises(RuntimeError, match="In a worker process: Traceback"):
        worker.ask(Order("unheard of", None, prompts(2, 32)))
    # After all these it still answers.
    assert len(worker.ask(Order("a", None, prompts(2, 32))).responses) == 2


def test_a_worker_that_is_too_slow_is_lost(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    monkeypatch.setenv(TIMEOUT, "0.01")
    worker = LocalWorker(1, 1)
    with pytest.raises(LostWorkerError, match=r"gave no answer for 0\.01 seconds"):
        worker.ask(Order("a", recipe, prompts(2, 32)))
    worker.close()


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGTERM, None, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_no_worker_outlives_the_run(number: int, code: int | None, tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*arguments(tiny, out), "--budget=100000", "--population=5", "--parallel=local:2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "acculturate", *command],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "journal.jsonl").exists() or not (out / "journal.jsonl").read_bytes():
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        workers = children(run.pid)
        assert len(workers) == 1
        os.kill(run.pid, number)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == code if code is not None else run.returncode != 0
    if number == signal.SIGINT:
        assert "interrupted; give the same command again to go on from here." in said
    assert "Traceback" not in said
    for _ in range(100):
        if not any(map(is_alive, workers)):
            break
        time.sleep(0.1)
    assert not any(map(is_alive, workers))
