"""Runs that several processes share: the files are those of one process, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import settings
from processes import acculturate, kill_in_search
from tiny import save_answering_model

from acculturate.runs.align import align
from acculturate.runs.spec import make_spec


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_of_two_processes_writes_the_files_of_one(tiny: str, tmp_path: Path) -> None:
    for name, parallel in (("one", "none"), ("two", "local:2")):
        align(make_spec(settings(tiny, parallel=parallel, rows=2)), tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def flags(tiny: str, **changes: object) -> list[str]:
    return [f"--{key.replace('_', '-')}={value}" for key, value in settings(tiny, **changes).items()]


FRESH = {
    "protocol": "balanced",
    "optimizer": "dfgn",
    "train_formats": [
        f"{labels}/question-first/{variant}/en" for labels in ("letters", "digits") for variant in (0, 1)
    ],
    "validation_formats": [],
    "heldout_formats": ["letters/options-first/2/en"],
    "fresh_formats": 2,
    "budget": 40,
}


SAMPLED = {
    "answers": "sampled",
    "budget": 5,
    "train_formats": ["letters/options-first/0/en"],
    "validation_formats": [],
    "heldout_formats": ["letters/question-first/1/en"],
    "baselines": [],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parallel", "changes"),
    [
        ("local:3", {"protocol": "balanced", "optimizer": "dfgn", "budget": 40}),
        ("ray:2", {"optimizer": "dfgn", "budget": 40}),
        ("local:2", FRESH),
        ("local:2", {"dtype": "bfloat16"}),
        ("local:2", {"answers": "calibrated"}),
        ("local:2", {"answers": "cloze"}),
        ("local:2", SAMPLED),
    ],
    ids=["dfgn", "ray", "fresh formats", "bfloat16", "calibrated", "cloze", "sampled"],
)
def test_every_way_to_ask_can_be_shared(parallel: str, changes: dict, tiny: str, tmp_path: Path) -> None:
    answering = save_answering_model(tmp_path / "answering") if changes.get("answers") == "sampled" else tiny
    for name, who in (("one", "none"), ("several", parallel)):
        align(make_spec(settings(answering, parallel=who, **changes)), tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "several")


@pytest.mark.slow
def test_every_kind_of_run_can_be_shared(tiny: str, tmp_path: Path) -> None:
    dfgn = flags(tiny, optimizer="dfgn", budget=40)
    plain = [flag for flag in flags(tiny) if not flag.startswith("--optimizer")]
    for name, who in (("one", ()), ("two", ("--parallel", "local:2"))):
        out = tmp_path / name
        commands = [
            ["align", *dfgn, "--out", out / "align"],
            ["steer", tmp_path / "one" / "align", "--set", "PDI=60", "--budget", 10, "--out", out / "steer"],
            ["pareto", *plain, "--against", "untuned", "--out", out / "pareto"],
            [
                "multitask",
                *flags(tiny, targets="hofstede-2015"),
                "--country=USA",
                "--country=CHN",
                "--out",
                out / "many",
            ],
        ]
        commands[3].remove("--country=SAU")
        for command in commands:
            done = acculturate(*command, *who)
            assert done.returncode == 0, done.stderr
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one == two
    assert {name.split("/")[0] for name in one} == {"align", "steer", "pareto", "many"}


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_by_another_number_of_processes(tiny: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert acculturate("align", *flags(tiny), "--out", whole).returncode == 0
    kill_in_search("align", *flags(tiny, parallel="local:3"), out=killed, generations=2)
    assert acculturate("align", *flags(tiny, parallel="local:2"), "--out", killed).returncode == 0
    assert files(whole) == files(killed)


def torchrun(*arguments: object, processes: int, restarts: int = 0, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [f"--max-restarts={restarts}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ | environment)


@pytest.mark.slow
def test_torchrun_shares_a_run_and_only_the_first_process_speaks(tiny: str, tmp_path: Path) -> None:
    assert acculturate("align", *flags(tiny), "--out", tmp_path / "one").returncode == 0
    done = torchrun("-m", "acculturate", "align", *flags(tiny), "--out", tmp_path / "three", processes=3)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "one") == files(tmp_path / "three")
    assert done.stderr.splitlines().count("loading the model") == 1
    assert done.stdout.count("Report: ") == 1


_DYING = """
import os, signal, sys
from acculturate.cli.main import main
from acculturate.model.pool.worker import Worker

whole, left = Worker.answer, 4

def answer(self, order):
    global left
    left -= 1
    if not left and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, order)

Worker.answer = answer
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_lost_process_of_torchrun_loses_no_generation(restarts: int, tiny: str, tmp_path: Path) -> None:
    program = tmp_path / "dying.py"
    program.write_text(_DYING)
    command = ["align", *flags(tiny), "--out"]
    assert acculturate(*command, tmp_path / "one").returncode == 0
    done = torchrun(program, *command, tmp_path / "two", processes=2, restarts=restarts)
    assert done.stderr.count("acculturate: Process 1 of torchrun's 0 to 1 is gone, so the run stops here;") == 1
    assert "Traceback" not in done.stderr.split("acculturate: Process 1")[0]
    assert (done.returncode == 0) is bool(restarts)
    assert (tmp_path / "two" / "journal.jsonl").read_bytes()
    if not restarts:
        assert acculturate(*command, tmp_path / "two").returncode == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.slow
def test_torchrun_ends_where_there_is_nothing_to_share_and_where_there_is_a_mistake(tiny: str) -> None:
    assert torchrun("-m", "acculturate", "version", processes=2).returncode == 0
    done = torchrun("-m", "acculturate", "align", *flags(tiny, country="nowhere"), "--out=x", processes=2)
    assert done.returncode != 0
    assert len([line for line in done.stderr.splitlines() if line.startswith("acculturate: ")]) == 1


@pytest.mark.slow
def test_torchrun_and_parallel_are_one_too_many(tiny: str, tmp_path: Path) -> None:
    given = flags(tiny, parallel="local:2")
    done = torchrun("-m", "acculturate", "align", *given, "--out", tmp_path / "x", processes=2)
    assert "torchrun has started several processes already; leave --parallel out" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_no_process_stays_behind_torchrun(number: signal.Signals, tiny: str, tmp_path: Path) -> None:
    command = ["align", *flags(tiny, budget=20_000), "--out", str(tmp_path / "run")]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "acculturate", *command]
    agent = subprocess.Popen([sys.executable, *launch], stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = tmp_path / "run" / "journal.jsonl"
    until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    ranks = [int(pid) for pid in os.popen(f"pgrep -P {agent.pid}").read().split()]
    assert len(ranks) == 2
    agent.send_signal(number)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks))
    said = agent.communicate(timeout=60)[1]
    assert number != signal.SIGTERM or said.count("acculturate: interrupted; give the same command again") == 1
    goes_on = acculturate(*command[:-1], tmp_path / "run", "--dry-run")
    assert goes_on.returncode == 0


def until(holds: Callable[[], bool], seconds: float = 180) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)
