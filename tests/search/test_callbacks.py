"""Callbacks: who follows a run hears of every stage and generation once, and can stop the search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acculturate.judge.records import Result
from acculturate.runs.align import align
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks, StopBelow
from acculturate.search.history import Generation

GENERATION = Generation(1, 10, 50.0, 60.0, None, 10, [50.0, 70.0], [{}, {}], [0.5, 0.5], [])


class Heard(Callback):
    def __init__(self, stop_at: int = 10**9) -> None:
        self.stages: list[str] = []
        self.starts: list[int] = []
        self.generations: list[Generation] = []
        self._stop_at = stop_at

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def resumed(self, evaluations: int) -> None:
        self.starts.append(evaluations)

    def generation(self, generation: Generation) -> bool:
        self.generations.append(generation)
        return generation.evaluations >= self._stop_at


def test_all_callbacks_are_told_although_the_first_one_stops() -> None:
    first, second = Heard(stop_at=0), Heard()
    assert Callbacks.of([first, second]).generation(GENERATION)
    assert [one.generation for one in second.generations] == [1]
    assert not Callbacks.of([second, Callback()]).generation(GENERATION)


def test_a_prefix_and_a_factor_change_what_is_told() -> None:
    heard = Heard()
    told = Callbacks.of([heard]).under("USA, ").under("again: ").counting(3)
    told.stage("measuring")
    told.resumed(4)
    told.generation(replace(GENERATION, best=np.inf))
    assert heard.stages == ["USA, again: measuring"]
    assert heard.starts == [12]
    assert (heard.generations[0].evaluations, heard.generations[0].best) == (30, None)


@pytest.mark.parametrize(("best", "stops"), [(49.9, True), (50.0, False), (None, False)])
def test_stop_below_stops_below_its_bound(best: float | None, stops: bool) -> None:
    assert Callbacks.of([StopBelow(50.0)]).generation(replace(GENERATION, best=best)) is stops


def test_a_stopped_search_delivers_its_winner_and_stays_stopped(tmp_path: Path, tiny: str) -> None:
    settings = {"model": tiny, "country": "USA", "protocol": "paper", "optimizer": "de"}
    spec = make_spec({**settings, "budget": 30, "population": 5})
    heard = Heard(stop_at=10)
    result = align(spec, tmp_path / "run", Callbacks.of([heard]))
    assert [one.evaluations for one in heard.generations] == [5, 10]
    assert heard.starts == [0]
    assert heard.stages[0] == "loading the model" and "searching" in heard.stages
    assert (result.search.evaluations, result.search.stopped_before) == (10, 30)
    assert any("A callback stopped the search after 10 of 30" in said for said in result.verdict.sentences)
    whole = (tmp_path / "run" / "result.json").read_bytes()
    assert json.loads(whole)["random_prompts"]["budget"] == 10, "rivals get what was spent"
    # What a crash after the stop and before the record leaves: the same command ends the same, without a callback.
    (tmp_path / "run" / "result.json").unlink()
    again = align(spec, tmp_path / "run")
    assert isinstance(again, Result)
    assert (tmp_path / "run" / "result.json").read_bytes() == whole


def test_a_run_tells_that_it_begins_is_interrupted_and_is_finished(tiny, tmp_path) -> None:
    import acculturate as ac

    class Course(Callback):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def started(self, folder: Path) -> None:
            assert (folder / "spec.json").is_file()
            self.heard.append("started")

        def resumed(self, evaluations: int) -> None:
            self.heard.append(f"resumed {evaluations}")

        def generation(self, generation: Generation) -> None:
            if self.heard == ["started", "resumed 0"]:
                raise RuntimeError("stumbled")

        def interrupted(self) -> None:
            self.heard.append("interrupted")

        def finished(self, folder: Path) -> None:
            assert (folder / "result.json").is_file() and (folder / "report.html").is_file()
            self.heard.append("finished")

    course = Course()
    few = {"protocol": "paper", "optimizer": "de", "budget": 8, "population": 4, "baselines": ()}
    with pytest.raises(RuntimeError, match="stumbled"):
        ac.align(tiny, "USA", out=tmp_path, callbacks=[course], **few)
    for _ in range(2):
        ac.align(tiny, "USA", out=tmp_path, callbacks=[course], **few)
    assert course.heard == ["started", "resumed 0", "interrupted", "started", "resumed 4", "finished", "finished"]
