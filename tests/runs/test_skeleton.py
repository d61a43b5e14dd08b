"""Every kind of run: killed and gone on with, repeated, refused another's directory, and named in its records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import call, failing
from folders import bytes_of, contents
from processes import kill_in_search

from acculturate.files.checksums import SUMS
from acculturate.runs.records import RunKind

_COMMON = ("--country", "USA", "--protocol", "paper", "--seed", 3)
_SEARCH = {
    "align": ("align", *_COMMON, "--tokens", 2, "--optimizer", "de", "--population", 4, "--budget", 40),
    "align-dfgn": ("align", *_COMMON, "--tokens", 2, "--optimizer", "dfgn", "--population", 4, "--budget", 90),
    "align-fresh": ("align", *_COMMON, "--tokens", 2, "--optimizer", "dfgn", "--population", 4, "--budget", 60),
    "multitask": ("multitask", *_COMMON, "--country", "CHN", "--shared-tokens", 1, "--tokens", 1, "--budget", 90),
    "pareto": ("pareto", *_COMMON, "--tokens", 2, "--population", 4, "--budget", 24),
}
RECORD = {
    "align": "result.json",
    "align-dfgn": "result.json",
    "align-fresh": "result.json",
    "multitask": "multitask.json",
    "pareto": "front.json",
    "steer": "steer.json",
}
KINDS = tuple(RECORD)


def _wordings(*variants: int) -> tuple[str, ...]:
    return ("--train-formats", ",".join(f"letters/options-first/{variant}/en/ascending" for variant in variants))


@pytest.fixture(scope="module")
def commands(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[object, ...]]:
    """The command of every kind without its directory; steering goes from a finished run of its own."""
    questions = tmp_path_factory.mktemp("task") / "sums.csv"
    questions.write_text("question,answer,option_1,option_2\n1 + 1?,2,2,3\n2 + 2?,4,5,4\n", encoding="utf-8")
    more = {
        "align-dfgn": ("--option", "h=3", "--consistency", 0.5, "--select-by", questions),
        "align-fresh": ("--option", "h=3", "--fresh-formats", 2, "--consistency", 0.5, *_wordings(0, 1, 4)),
        "multitask": ("--optimizer", "dfgn", "--option", "h=3", "--population", 4),
    }
    given = {kind: (*words, "--model", tiny, *more.get(kind, ())) for kind, words in _SEARCH.items()}
    run = tmp_path_factory.mktemp("steered") / "run"
    _carried_out(*given["align-dfgn"], "--out", run)
    return given | {"steer": ("steer", run, "--set", "PDI=48", "--set", "IDV=52", "--budget", 12)}


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One finished directory of every kind."""
    folder = tmp_path_factory.mktemp("whole")
    for kind, command in commands.items():
        _carried_out(*command, "--out", folder / kind)
    return {kind: folder / kind for kind in commands}


def _carried_out(*words: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, *words) == 0


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("align", "append"),
        ("align-dfgn", "checkpoint"),
        ("align-fresh", "append"),
        ("multitask", "append"),
        ("pareto", "checkpoint"),
        ("steer", "append"),
    ],
)
def test_a_killed_run_ends_byte_for_byte_like_an_uninterrupted_one(kind, after, commands, whole, tmp_path) -> None:
    cut = tmp_path / "cut"
    kill_in_search(*commands[kind], out=cut, generations=1 if kind in ("steer", "multitask") else 2, after=after)
    assert not (cut / RECORD[kind]).exists()
    _carried_out(*commands[kind], "--out", cut)
    assert bytes_of(cut) == bytes_of(whole[kind])
    assert (cut / SUMS).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_run_is_said_again_and_left_alone(kind, commands, whole, capsys) -> None:
    before = _but_pages(whole[kind])
    _carried_out(*commands[kind], "--out", whole[kind], "--format", "json")
    assert json.loads(capsys.readouterr().out) == json.loads((whole[kind] / RECORD[kind]).read_text())
    assert _but_pages(whole[kind]) == before


def _but_pages(folder: Path) -> dict[str, tuple[str, int]]:
    """Everything but the pages, which are drawn anew."""
    return {name: file for name, file in contents(folder).items() if not name.endswith(".html")}


@pytest.mark.parametrize("kind", KINDS)
def test_another_setting_or_kind_is_refused_by_name(kind, commands, whole, capsys, monkeypatch) -> None:
    before = contents(whole[kind])
    other = ("--budget", 33) if kind == "steer" else ("--seed", 4)
    said = failing(capsys, monkeypatch, *commands[kind], *other, "--out", whole[kind])
    assert f"holds a run with {other[0].removeprefix('--')} = " in said
    stranger = "pareto" if kind.startswith("align") else "align"
    assert "holds a run with kind = " in failing(capsys, monkeypatch, *commands[stranger], "--out", whole[kind])
    assert contents(whole[kind]) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_stands_in_the_settings_and_in_the_record(kind, whole) -> None:
    for file in ("spec.json", RECORD[kind]):
        assert json.loads((whole[kind] / file).read_text())["kind"] == RunKind(kind.partition("-")[0])
    if kind == "multitask":
        for code in ("USA", "CHN"):
            assert json.loads((whole[kind] / code / "result.json").read_text())["kind"] == RunKind.COUNTRY
