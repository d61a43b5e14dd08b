"""Tasks by name: from the hub, from a file in the published layout, and a user's own."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benchmark_rows import BLEND, EASY, HARD, INCLUDE, NORMAD, OPINIONS

from acculturate.errors import UserError
from acculturate.knowledge.catalog import INCLUDE_PARTS, PUBLISHED, load_task, tasks
from acculturate.knowledge.task import TaskKind

ROWS = {
    "culturalbench-hard": HARD,
    "culturalbench-easy": [EASY],
    "blend": [BLEND],
    "normad": [NORMAD],
    "include-greek": [INCLUDE],
    "globalopinionqa": [OPINIONS],
}


class DatasetNotFoundError(FileNotFoundError):
    """What the library raises for a dataset that is not there, and for one that is not open to all."""


class Hub(ModuleType):
    """Stand in for the library: it answers with what it is given, and remembers what it was asked for."""

    def __init__(self, answer: object) -> None:
        super().__init__("datasets")
        self.answer, self.asked = answer, []

    def load_dataset(self, *names: str | None, **keywords: object) -> Any:
        self.asked.append((*names, keywords))
        answer = self.answer(keywords) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    library = Hub([])
    monkeypatch.setitem(sys.modules, "datasets", library)
    return library


@pytest.mark.parametrize("name", ROWS)
def test_a_published_task_comes_from_the_hub(hub: Hub, name: str) -> None:
    hub.answer = ROWS[name]
    task = load_task(name)
    one = PUBLISHED["include" if name.startswith("include") else name]
    config = "Greek" if name == "include-greek" else one.config
    assert hub.asked == [(one.hub, config, {"split": one.split, **one.reading})]
    assert len(task.questions) == len(ROWS[name])
    assert (task.name, task.kind, task.licence) == (name, one.layout.kind, one.licence)
    assert "arXiv:" in task.citation
    assert task.source == ", ".join(part for part in (one.hub, config, f"split {one.split}") if part)
    assert task.title == ("INCLUDE, Greek" if name == "include-greek" else one.title)


@pytest.mark.parametrize("name", ROWS)
def test_a_published_task_from_a_file_is_the_same_as_from_the_hub(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.answer = ROWS[name]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ROWS[name][0])
        table.writeheader()
        table.writerows(ROWS[name])
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS[name])))
    for ending in ("csv", "jsonl"):
        task = load_task(f"{name}={tmp_path / 'rows'}.{ending}")
        assert task.checksum == load_task(name).checksum
        assert task.source == str(tmp_path / f"rows.{ending}")


def test_options_like_none_stay_text_on_the_way_from_the_hub(hub: Hub) -> None:
    hub.answer = HARD
    load_task("culturalbench-hard")
    assert hub.asked[0][-1]["keep_default_na"] is False


def test_settings_for_files_of_another_kind_are_left_out(hub: Hub) -> None:
    refusal = ValueError("BuilderConfig ParquetConfig(...) doesn't have a 'keep_default_na' key.")
    hub.answer = lambda keywords: refusal if "keep_default_na" in keywords else [NORMAD]
    assert len(load_task("normad").questions) == 1


@pytest.mark.parametrize(
    "error, message",
    [
        (ConnectionError("Couldn't reach it (OfflineModeIsEnabled)"), "the hub cannot be reached from here"),
        (TimeoutError("timed out"), "the hub cannot be reached from here"),
        (DatasetNotFoundError("It doesn't exist on the Hub"), "it is not there, or not open to all"),
        (DatasetNotFoundError("'x' is a gated dataset on the Hub."), "open it only to those who ask"),
        (ValueError("BuilderConfig 'x' not found.\nAvailable: y"), "BuilderConfig 'x' not found"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence_that_names_a_way_out(hub: Hub, error: Exception, message: str) -> None:
    hub.answer = error
    with pytest.raises(UserError, match=message) as caught:
        load_task("normad")
    said = str(caught.value)
    assert said.startswith("Cannot load akhilayerukola/NormAd (split train) from the hub: ")
    assert said.endswith("get a file from https://huggingface.co/datasets/akhilayerukola/NormAd and give normad=FILE.")


def test_an_empty_dataset_is_refused(hub: Hub) -> None:
    assert hub.answer == []
    with pytest.raises(UserError, match="akhilayerukola/NormAd: expected at least one row"):
        load_task("normad")


@pytest.mark.parametrize("module", [None, ModuleType("datasets")])
def test_without_the_library_the_sentence_names_the_extra_and_a_local_file(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(UserError, match=r"pip install 'acculturate\[datasets\]'.*blend=FILE"):
        load_task("blend")


def test_questions_of_ones_own_are_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.CSV").write_text("question,answer,option_1,option_2\nx?,a,a,b\n")
    Path("a=b.csv").write_text("question,answer,option_1,option_2\nx?,a,a,b\n")
    task = load_task("q.CSV")
    assert (task.name, task.title, task.kind, task.source) == ("q.CSV", "q.CSV", TaskKind.CHOICE, "q.CSV")
    assert (task.licence, task.citation, task.notes) == ("", "", ())
    assert load_task("a=b.csv").checksum == task.checksum


@pytest.mark.parametrize(
    "spec, message",
    [
        ("blennd", r"No task is called 'blennd' \(nearest: 'blend'\); `acculturate list tasks`"),
        ("minni", r"No task is called 'minni' \(nearest: 'mini'\)"),
        ("include-greec", r"\(nearest: 'include-greek'\)"),
        ("blennd=x.csv", r"No published task is called 'blennd' \(nearest: 'blend'\); expected NAME=FILE"),
        ("blennd=x.parquet", r"No published task is called 'blennd'"),
        ("mini=x.csv", "The task mini comes with acculturate and takes no file: write mini alone"),
        ("include", "INCLUDE has a task for each of 44 languages: write include-LANGUAGE"),
        ("questions.json", "No task is called 'questions.json'; `acculturate list tasks` lists them, and questions of"),
        ("no/such.csv", "Cannot read no/such.csv: No such file"),
        ("blend=no/such.csv", "Cannot read no/such.csv: No such file"),
        ("blend=", "has the ending ''"),
        ("", "No task is called ''"),
        ("x" * 5000, "No task is called 'xxx"),
        ("x" * 5000 + "=y.csv", "No published task is called 'xxx"),
        ("x" * 5000 + ".csv", "Cannot read xxx"),
        ("blend=x\0.csv", "there can be no such file"),
    ],
)
def test_a_name_that_there_is_not_is_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_task(spec)


def test_the_list_of_tasks_has_every_name_with_its_terms() -> None:
    listed = tasks()
    assert {"mini", "general", "scenarios", *PUBLISHED} - {"include"} <= set(listed)
    assert all(name.removeprefix("include-") in listed["include-LANGUAGE"] for name in INCLUDE_PARTS)
    assert len(INCLUDE_PARTS) == 44 and INCLUDE_PARTS["include-north-macedonian"] == "North Macedonian"
    for name, one in PUBLISHED.items():
        assert one.licence in listed.get(name, listed["include-LANGUAGE"])
