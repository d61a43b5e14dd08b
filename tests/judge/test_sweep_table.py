"""The table of a sweep: means over seeds, cells of CSV, and nothing that names a place."""

from __future__ import annotations

import csv
import io

import pytest

from acculturate.judge.records import VerdictKind
from acculturate.judge.sweep import (
    RunStatus,
    SweepRow,
    cells_of,
    csv_table,
    name_of_file,
    names_of_files,
    without_folders,
    without_places,
)


def row(country: str, seed: int, **more) -> SweepRow:
    figures = {"status": RunStatus.DONE, "trained": 10.0 + seed, "heldout": 20.0 + 3 * seed, "mass": 0.5, **more}
    settings = figures.pop("settings", {"country": country, "seed": seed})
    return SweepRow(directory=f"{country}_{seed}", country=country, model="m", seed=seed, settings=settings, **figures)


def test_cells_are_runs_that_differ_in_their_seed() -> None:
    aligned = {"verdict": VerdictKind.ALIGNED}
    cells = cells_of([row("USA", 0, **aligned), row("CHN", 0), row("USA", 2, **aligned), row("USA", 4)], "UCUU")
    assert [(cell.country, cell.runs, cell.done) for cell in cells] == [("USA", 3, 3), ("CHN", 1, 1)]
    assert (cells[0].trained.mean, cells[0].trained.spread) == (12.0, 2.0)
    assert (cells[0].heldout.mean, cells[0].heldout.spread) == (26.0, 6.0)
    assert cells[1].trained.spread is None
    assert cells[0].verdicts == {"aligned": 2}


def test_other_settings_make_another_cell() -> None:
    one, other = ({"country": "USA", "seed": 0, "tokens": n} for n in (2, 3))
    cells = cells_of([row("USA", 0, settings=one), row("USA", 0, settings=other)], "23")
    assert [cell.settings for cell in cells] == [{"tokens": 2}, {"tokens": 3}]


def test_a_missing_figure_has_no_mean_and_a_failed_run_is_not_in_it() -> None:
    failed = {"status": RunStatus.FAILED, "trained": None, "heldout": None, "mass": None, "problem": "No."}
    (cell,) = cells_of([row("USA", 0), row("USA", 1, **failed), row("USA", 2, heldout=None)], "UUU")
    assert (cell.runs, cell.done) == (3, 2)
    assert (cell.trained.mean, cell.heldout.mean) == (11.0, None)


def test_the_csv_has_every_setting_and_no_formula() -> None:
    settings = {"country": "USA", "seed": 1, "text": "=1+1", "train_formats": ["a", "b"], "mas25": True}
    failed = {"status": RunStatus.FAILED, "trained": None, "problem": '+Said "so", twice.'}
    lines = list(csv.DictReader(io.StringIO(csv_table([row("USA", 1, settings=settings), row("@X", 2, **failed)]))))
    assert lines[0]["text"] == "'=1+1" and lines[0]["train_formats"] == '["a", "b"]' and lines[0]["mas25"] == "true"
    assert (lines[0]["trained"], lines[1]["trained"]) == ("11.0", "")
    assert lines[1]["country"] == "'@X" and lines[1]["problem"] == '\'+Said "so", twice.'


def test_cells_of_the_csv_steer_no_terminal_and_have_no_marks() -> None:
    failed = {"status": RunStatus.FAILED, "trained": None, "problem": "No; choose another with `out`."}
    settings = {"country": "USA", "seed": 1, "text": "a\x1b[2Jb"}
    (line,) = csv.DictReader(io.StringIO(csv_table([row("USA", 1, settings=settings, **failed)])))
    assert line["problem"] == "No; choose another with out." and line["text"] == r"a\x1b[2Jb"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("Model '/home/ann/models/tiny' does not exist.", "Model 'tiny' does not exist."),
        ("Cannot read ~/t/targets.csv: no.", "Cannot read targets.csv: no."),
        ("The format letters/options-first/0/en is fine.", "The format letters/options-first/0/en is fine."),
        ("'runs/sweep/USA' holds a run.", "'runs/sweep/USA' holds a run."),
        ("Between /a/b/c.toml, and /tmp/x: no.", "Between c.toml, and x: no."),
    ],
)
def test_sentences_lose_the_folders_of_absolute_paths(sentence: str, shown: str) -> None:
    assert without_folders(sentence) == shown


def test_settings_lose_the_folders_of_files(tmp_path) -> None:
    assert name_of_file(str(tmp_path)) == tmp_path.name
    assert name_of_file("org/name") == "org/name"
    assert name_of_file("../x/my.csv") == "my.csv"
    settings = {"wording": "/home/ann/w.toml", "train_formats": ["letters/options-first/0/en"], "text": "a/b/c"}
    names = {"wording": names_of_files(["/home/ann/w.toml", None])}
    assert without_places(settings, names) == {**settings, "wording": "w.toml"}


def test_files_of_one_name_in_different_folders_are_told_apart() -> None:
    values = ["a/x/tiny", "b/x/tiny", "/home/ann/tiny", "/home/ben/tiny", "other", None]
    assert list(names_of_files(values).values()) == ["a/x/tiny", "b/x/tiny", "tiny (3)", "tiny (4)", "other", None]
