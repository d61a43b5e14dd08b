"""Run a command again and again, each time killed at another point of its writing, and go on with it every time.

This file runs as a program of its own, which has loaded the libraries once and forks a process for every run:
``dying.py ORDERS REPORT`` reads a JSON file and writes another. Points are named by what the process is about to do and
to which file: ``open journal.jsonl 3`` is the third time.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from folders import bytes_of

from acculturate.__main__ import main as program
from acculturate.cli.interruption import EXIT
from acculturate.runs.pareto import TwoObjectives
from acculturate.search.objective import Objective

# Loaded once, and not in every process that is forked.
for _name in (
    "cli.main",
    "report.front_page",
    "runs.align",
    "runs.evaluate",
    "runs.multitask",
    "runs.pareto",
    "runs.steer",
):
    importlib.import_module(f"acculturate.{_name}")

_TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}


class Points:
    """Name what a process is about to do to files in a directory, and tell of every point."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder, self._tell, self._counts = os.fspath(folder), tell, Counter[str]()

    def watch(self) -> None:
        sys.addaudithook(self._audited)
        sync = os.fsync

        def fsync(handle: int) -> None:
            self._at("fsync", str(Path(f"/proc/self/fd/{handle}").readlink()))
            sync(handle)

        os.fsync = fsync
        for objective in (Objective, TwoObjectives):
            objective.__call__ = self._in_halves(objective.__call__)  # type: ignore[method-assign]

    def _in_halves(self, evaluate: Callable[[Any, Any], list]) -> Callable[[Any, Any], list]:
        def evaluated(objective: Any, prompts: Any) -> list:
            half = evaluate(objective, prompts[: len(prompts) // 2]) if len(prompts) > 1 else []
            self._at("evaluate", f"{self._folder}/half of a generation")
            return half + evaluate(objective, prompts[len(half) :])

        return evaluated

    def _audited(self, event: str, arguments: Sequence[Any]) -> None:
        if event not in _TOUCHING or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        self._at(event, os.fsdecode(arguments[1] if event == "os.rename" else arguments[0]))

    def _at(self, event: str, path: str) -> None:
        if path == self._folder or path.startswith(self._folder + "/"):
            name = f"{event} {re.sub('[0-9]{6}', 'N', os.path.relpath(path, self._folder))}"
            self._counts[name] += 1
            self._tell(f"{name} {self._counts[name]}")


def forked(work: Callable[[], None], seconds: float = 300) -> int:
    """Do some work in a process of its own, and return how it ended: a signal as a negative number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(99)
        os._exit(0)
    ends = time.monotonic() + seconds
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(done[1])


def command(words: Sequence[str], log: Path) -> None:
    """Run the command line; what it says goes to a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["acculturate", *words]
    program()


def recorded(
    words: Sequence[str], out: Path, log: Path, at: Callable[[str], None] = lambda _: None
) -> tuple[int, list[str]]:
    """Run a command, do something at every point, and return how it ended and its points in order."""
    names = log.with_name("points")

    def work() -> None:
        with names.open("w") as file:

            def tell(name: str) -> None:
                print(name, file=file, flush=True)
                at(name)

            Points(out, tell).watch()
            command([*words, "--out", str(out)], log)

    return forked(work), names.read_text().splitlines()


def chosen(points: Sequence[str], most: int) -> list[str]:
    """Keep the first, the second and the last time of every point, and of those evenly as many as are wanted."""
    last = {name.rpartition(" ")[0]: int(name.rpartition(" ")[2]) for name in points}
    kept = []
    for name in points:
        point, _, number = name.rpartition(" ")
        if int(number) in (1, 2, last[point]):
            kept.append(name)
    return kept if len(kept) <= most else [kept[k * len(kept) // most] for k in range(most)]


def halves(points: Sequence[str]) -> int:
    """Count how often candidates were evaluated, or an improvement validated."""
    return sum(name.startswith("evaluate") for name in points)


def killed(words: Sequence[str], place: Path, point: str, number: int, whole: tuple[Path, int]) -> str | None:
    """Kill a command at a point and go on with it; return what is wrong, or None.

    ``whole``: the directory of an undisturbed run, and how often it evaluated.
    """
    out, log = place / "run", place / "said"
    out.parent.mkdir()

    def kill(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), number)

    end, before = recorded(words, out, log, kill)
    if end != (-number if number == signal.SIGKILL else EXIT):
        return f"it ended with {end}: {log.read_text()[-300:]}"
    if "Traceback" in log.read_text():
        return log.read_text()[-300:]
    end, after = recorded(words, out, log)
    if end != 0:
        return f"it could not go on: {log.read_text()[-300:]}"
    ours, theirs = bytes_of(out), bytes_of(whole[0])
    if ours != theirs:
        return f"other files: {sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))}"
    # The interrupted generation is evaluated again, and what it improved is validated again; or the few means of
    # centers that a search settles among at its end, or the few prompts that steering proposes at its start.
    again = halves(before) + halves(after) - whole[1]
    return f"{again} evaluations were made twice" if again > 4 else None


def main(orders: str, report: str) -> None:
    """Carry the orders out."""
    given = json.loads(Path(orders).read_text())
    words, place = given["command"], Path(given["place"])
    whole, log = place / "whole" / "run", place / "log"
    (place / "whole").mkdir(parents=True)
    end, every = recorded(words, whole, log)
    assert end == 0, log.read_text()
    points, number, undisturbed = chosen(every, given["most"]), signal.Signals[given["signal"]], (whole, halves(every))
    wrong = {name: killed(words, place / f"{k:03d}", name, number, undisturbed) for k, name in enumerate(points)}
    Path(report).write_text(json.dumps({"points": points, "wrong": {k: v for k, v in wrong.items() if v}}, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
