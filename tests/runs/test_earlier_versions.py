"""Directories that earlier versions wrote are read as before: their records name no kind of run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from acculturate.files.checksums import SUMS
from acculturate.files.record import Record, RunRecord
from acculturate.files.run_directory import dump_json
from acculturate.judge.compare import Compared, compare
from acculturate.judge.front import Front
from acculturate.judge.records import Result
from acculturate.report.front_page import render_front
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.front import FRONT
from acculturate.runs.multitask import RECORD as MULTITASK
from acculturate.runs.records import MadeWith, Multitask, RunKind, Steered, kind_of
from acculturate.runs.spec import RunSpec, make_spec
from acculturate.runs.steer import RECORD as STEERED
from acculturate.runs.steer import read_run

RUNS = Path(__file__).resolve().parents[1] / "fixtures" / "runs"
KINDS: list[tuple[str, str, type[RunRecord], RunKind]] = [
    ("align", RESULT, Result, RunKind.ALIGN),
    ("align-dfgn", RESULT, Result, RunKind.ALIGN),
    ("multitask", MULTITASK, Multitask, RunKind.MULTITASK),
    ("multitask/USA", RESULT, Result, RunKind.COUNTRY),
    ("pareto", FRONT, Front, RunKind.PARETO),
    ("steer", STEERED, Steered, RunKind.STEER),
]


@pytest.mark.parametrize("checked", [True, False], ids=["with checksums", "without"])
@pytest.mark.parametrize(("folder", "record", "shape", "kind"), KINDS)
def test_records_are_read_and_their_kind_is_told(folder, record, shape, kind, checked, tmp_path) -> None:
    run = Path(shutil.copytree(RUNS / folder, tmp_path / "run"))
    if not checked:
        (run / SUMS).unlink()
    found = read_record(run / record, shape)
    assert found.kind is None
    assert kind_of(found) is kind
    if (run / "spec.json").exists():
        assert kind_of(read_record(run / "spec.json", MadeWith)) is kind


@pytest.mark.parametrize(("folder", "record", "shape", "kind"), KINDS)
def test_a_record_is_written_as_it_was_and_its_models_are_complete(folder, record, shape, kind) -> None:
    found = read_record(RUNS / folder / record, shape)
    assert dump_json(found) == (RUNS / folder / record).read_bytes()
    assert not list(unnamed(found, record))


def unnamed(value: object, place: str) -> Iterator[str]:
    """Keys of a record that its models do not name."""
    if isinstance(value, Record):
        yield from (f"{place}.{key}" for key in value.model_extra or ())
        for name in type(value).model_fields:
            yield from unnamed(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, tuple):
        for one in value:
            yield from unnamed(one, place)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from unnamed(one, f"{place}.{key}")


def test_pages_are_drawn_from_them() -> None:
    assert "Saudi Arabia" in render(read_record(RUNS / "align" / RESULT, Result))
    assert "United States" in render(read_record(RUNS / "multitask" / "USA" / RESULT, Result))
    assert "United States" in render_front(read_record(RUNS / "pareto" / FRONT, Front))


def test_a_finished_run_is_returned_and_its_directory_left_alone(tmp_path) -> None:
    run = Path(shutil.copytree(RUNS / "align", tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    spec = json.loads((run / "spec.json").read_text())
    # The model is not asked for: it was there when the run was made.
    result = align(make_spec({key: spec[key] for key in RunSpec.model_fields if key in spec}), run)
    assert result.to_json() == json.loads((run / RESULT).read_text())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_steering_and_comparing_take_them() -> None:
    run = read_run(RUNS / "align-dfgn")
    assert run.state.directions.shape[1] == run.prompt.vectors.size
    compared = compare([read_record(RUNS / folder / RESULT, Compared) for folder in ("align", "align-dfgn")])
    assert len(compared.countries) == 2
