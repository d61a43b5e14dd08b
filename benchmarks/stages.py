"""What a run spends its time on: seconds of every stage, and what measuring costs beside searching.

It runs `align` twice in new directories: once with nothing kept from earlier runs, once with what the first has kept.

    python benchmarks/stages.py --budget 40
    python benchmarks/stages.py --budget 600 --protocol paper
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from acculturate.runs.align import align
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks

SEARCH = ("searching",)
REST = ("loading the model", "laying out the questionnaire")


class Clock(Callback):
    """Take the time of every stage; personas and texts count as one each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "preparing", time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        if not name.startswith("audit:"):
            self._stage = name.split(",", maxsplit=1)[0].removeprefix("measuring: ")
        self._since = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--budget", type=int, default=40)
    parser.add_argument("--protocol", default="balanced")
    parser.add_argument("--answers", default="probabilities")
    given = parser.parse_args()
    settings = {"country": "SAU", "targets": "country-tool-estimate", "dtype": "float32", **vars(given)}
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ACCULTURATE_CACHE"] = str(Path(folder) / "cache")
        for name in ("nothing kept", "answers kept"):
            clock = Clock()
            align(make_spec(settings), Path(folder) / name.replace(" ", "-"), Callbacks.of([clock]))
            clock.stage("end")
            columns.append(clock.seconds)
            print(f"{name}: measuring is {_share(clock.seconds):.0%} of searching", flush=True)
    print(f"{'seconds':32}{'nothing kept':>14}{'answers kept':>14}")
    for stage in dict.fromkeys(stage for column in columns for stage in column):
        print(f"{stage:32}" + "".join(f"{column.get(stage, 0.0):14.1f}" for column in columns))
    print(f"{'measuring, of searching':32}" + "".join(f"{_share(column):14.0%}" for column in columns))


def _share(seconds: dict[str, float]) -> float:
    measuring = sum(value for stage, value in seconds.items() if stage not in (*SEARCH, *REST, "preparing"))
    return measuring / sum(seconds.get(stage, 0.0) for stage in SEARCH)


if __name__ == "__main__":
    main()
