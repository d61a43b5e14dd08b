"""Finished runs: returned as they are, made whole where a file is missing, and refused in a sentence when damaged."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import arguments, call, failing, settings
from folders import contents
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from acculturate.cli import main as cli
from acculturate.cli import pareto as cli_front
from acculturate.errors import UserError
from acculturate.files.checksums import SUMS, read_sums
from acculturate.files.run_directory import RunDirectory
from acculturate.judge.compare import Compared
from acculturate.judge.front import Front
from acculturate.judge.records import Result
from acculturate.report.front_page import render_front
from acculturate.report.run_page import render
from acculturate.runs.align import align
from acculturate.runs.finished import finished, read_record
from acculturate.runs.oracle import Descent, compare_with_oracle
from acculturate.runs.pareto import pareto
from acculturate.runs.spec import make_spec

WRONG: tuple[object, ...] = (None, 5, "x", True, [], {}, [1], {"a": 1}, float("inf"), 10**400)


@pytest.fixture(scope="module")
def run(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    align(make_spec(settings(tiny)), out)
    return out


@pytest.fixture(scope="module")
def front(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "front"
    pareto(make_spec(settings(tiny, optimizer="auto", budget=30, seed=1)), "untuned", out)
    return out


@pytest.fixture
def own(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "own"))


@pytest.fixture
def earlier(own) -> Path:
    """A run of a version that wrote no checksums: its record is judged by its content alone."""
    (own / SUMS).unlink()
    return own


def test_where_nothing_can_be_written_a_finished_run_is_returned_all_the_same(own, tiny, monkeypatch, capsys):
    assert call(monkeypatch, *arguments(tiny, own)) == 0  # writes the report
    before, said = contents(own), capsys.readouterr().out
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert call(monkeypatch, *arguments(tiny, own)) == 0
    assert capsys.readouterr().out == said
    assert contents(own) == before


def test_what_a_finished_run_lacks_is_written_anew(own, run, tiny):
    for name in ("prompt.safetensors", "evaluations.parquet"):
        (own / name).unlink()
    with pytest.warns(UserWarning, match=r"prompt\.safetensors is missing"):
        align(make_spec(settings(tiny)), own)
    assert {name: digest for name, (digest, _) in contents(own).items()} == {
        name: digest for name, (digest, _) in contents(run).items()
    }


def paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a record; of lists the first and the last member."""
    if isinstance(value, dict):
        places = list(value)
    else:
        places = sorted({0, len(value) - 1}) if isinstance(value, list) and value else []
    for place in places:
        yield (*at, place)
        yield from paths(value[place], (*at, place))


def damaged(record: dict, path: tuple[str | int, ...], *value: object) -> dict:
    """The record with another value at the path, or without it."""
    changed = copy.deepcopy(record)
    *way, last = path
    part: Any = changed
    for place in way:
        part = part[place]
    if value:
        part[last] = value[0]
    else:
        del part[last]
    return changed


@pytest.fixture(scope="module")
def records(run, front) -> list[tuple[type, dict, list]]:
    read = [(Result, run / "result.json"), (Front, front / "front.json")]
    found = [(shape, json.loads(file.read_text())) for shape, file in read]
    return [(shape, record, list(paths(record))) for shape, record in found]


@examples(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_damaged_record_is_read_or_refused_in_a_sentence(records, tmp_path_factory, data):
    shape, record, places = data.draw(st.sampled_from(records))
    path = data.draw(st.sampled_from(places))
    value = data.draw(st.sampled_from([(), *((one,) for one in WRONG)]))
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    file.write_text(json.dumps(damaged(record, path, *value)))
    try:
        found = read_record(file, shape)
        if shape is Result:
            render(found)
            cli._show_result(found, file)
        else:
            render_front(found)
            cli_front._show_front(found, file, file)
    except UserError as error:
        assert str(file) in str(error) and len(str(error)) < 500


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("rows", -1, "train", "scores"), ([1],), r"'rows\.4\.train\.scores' cannot be a list"),
        (("rows", 0, "id"), (), r"'rows\.0\.id' is missing"),
        (("rows", 1), (), "there is no row 'naive'"),
        (("rows", 1, "train", "scores", "pdi"), (), "the row 'naive' lacks the score of a dimension"),
        (("target",), (), "'target' is missing"),
        (("left_out",), (5,), "'left_out' cannot be 5"),
        (("left_out",), ([{"label": "x"}],), r"'left_out\.0\.why' is missing"),
        (("instrument", "items"), ([],), "the instrument has no item 'm01'"),
        (("items", "by_role", "train", "top", 0, "items", 0), ("x",), "the instrument has no item 'x'"),
    ],
)
def test_what_is_wrong_and_where_is_said(run, tmp_path, path, value, said):
    record = json.loads((run / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(damaged(record, path, *value)))
    with pytest.raises(UserError, match=said):
        read_record(tmp_path / "result.json", Result)


class TestCommands:
    @pytest.fixture
    def fails(self, capsys, monkeypatch):
        return lambda *words: failing(capsys, monkeypatch, *words)

    def test_brackets_without_end_are_not_followed(self, fails, earlier, run, tiny):
        (earlier / "result.json").write_text("[" * 100_000)
        for words in (arguments(tiny, earlier), ["compare", earlier, run], ["oracle", earlier]):
            assert "result.json' is not valid JSON" in fails(*words)

    def test_a_pipe_is_not_waited_for(self, fails, own, run, tiny):
        (own / "result.json").unlink()
        os.mkfifo(own / "result.json")
        for words in (arguments(tiny, own), ["compare", own, run]):
            assert "result.json' is not a file" in fails(*words)

    def test_a_comparison_reads_its_own_part_only(self, run, tmp_path):
        record = json.loads((run / "result.json").read_text())
        (tmp_path / "result.json").write_text(json.dumps(damaged(record, ("search",))))
        assert read_record(tmp_path / "result.json", Compared).rows
        del record["rows"][-1]["train"]["scores"]
        (tmp_path / "result.json").write_text(json.dumps(record))
        with pytest.raises(UserError, match=r"rows\.4\.train\.scores"):
            read_record(tmp_path / "result.json", Compared)

    def test_an_oracle_needs_the_runs_losses(self, earlier):
        record = json.loads((earlier / "result.json").read_text())
        (earlier / "result.json").write_text(json.dumps(damaged(record, ("rows", 1, "train", "loss"), None)))
        with pytest.raises(UserError, match="no loss in the row 'Untuned model'"):
            compare_with_oracle(earlier, Descent())

    def test_a_front_of_other_points_than_its_prompts(self, fails, front, tmp_path):
        own = Path(shutil.copytree(front, tmp_path / "own", ignore=shutil.ignore_patterns(SUMS)))
        record = json.loads((own / "front.json").read_text())
        (own / "front.json").write_text(json.dumps(damaged(record, ("points", 0, "point"), 7)))
        assert "not those of its prompts" in fails("pick", own, "--point", 1, "--out", tmp_path / "p")

    def test_damaged_files_of_a_front_are_noticed(self, fails, front, tiny, tmp_path):
        own = Path(shutil.copytree(front, tmp_path / "own"))
        assert sorted(read_sums(own)) == ["front.json", "front.safetensors", "journal.jsonl", "spec.json"]
        os.truncate(own / "front.safetensors", 100)
        assert "front.safetensors' is cut off, damaged or changed" in fails("pick", own, "--point", 1, "--out", "p")
        with pytest.warns(UserWarning, match=r"front\.safetensors is cut off or damaged; it goes on"):
            assert finished(RunDirectory(own), {}, "front.json", Front, beside=["front.safetensors"]) is None
        (own / "front.json").write_text((own / "front.json").read_text().replace("1", "2", 1))
        assert "front.json' is cut off, damaged or changed" in fails("pick", own, "--point", 1, "--out", "p")

    def test_a_pick_into_a_file_or_over_a_directory(self, fails, front, tmp_path):
        (tmp_path / "file").write_text("")
        assert "file' is a file; name a directory" in fails("pick", front, "--point", 1, "--out", tmp_path / "file")
        (tmp_path / "p" / "pick.json").mkdir(parents=True)
        assert "holds other files already (pick.json)" in fails("pick", front, "--point", 1, "--out", tmp_path / "p")

    def test_a_killed_pick_goes_on(self, front, tmp_path, monkeypatch, capsys):
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / ".prompt.safetensors.partial").write_bytes(b"half")
        assert call(monkeypatch, "pick", front, "--point", 1, "--out", tmp_path / "p") == 0
        assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["pick.json", "prompt.safetensors"]
