"""Rows of tables: the same from every kind of file, and mistakes refused with their place."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from acculturate.errors import UserError
from acculturate.files.rows import Row, read_rows, text_rows


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["NA", "None", "x, y"], "b": ["1", "", "zwei\nZeilen"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "t.json", orient="records")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    # What the hub calls .json is often an object a line.
    (tmp_path / "lines.json").write_bytes((tmp_path / "t.jsonl").read_bytes())
    for name in ("t.csv", "t.tsv", "t.json", "t.jsonl", "lines.json", "t.parquet"):
        rows = read_rows(tmp_path / name)
        assert [dict(row.cells) for row in rows] == frame.to_dict("records"), name


def test_a_cell_has_its_place_and_may_have_several_spellings() -> None:
    row = Row("q.csv", "line 3", {"answer": " "})
    with pytest.raises(UserError, match=r"q\.csv, line 3, answer: the text is empty"):
        row.cell("answer_idx|answer").text()
    with pytest.raises(UserError, match=r"q\.csv, line 3: the column 'id' is missing"):
        row.cell("id|ID")
    assert row.spelling("id|ID") is None


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("t.csv", "a,b\n1\n", "line 2: expected 2 fields"),
        ("t.csv", "a,b,a\n1,2,3\n", "the column 'a' stands twice"),
        ("t.csv", "a,b\n", "expected a header line and at least one row"),
        ("t.csv", 'a,b\n"x"y,2\n', "line 2: not a CSV file"),
        ("t.json", "[1]", "row 1: expected an object with named entries, found 1"),
        ("t.json", "[]", "expected at least one row"),
        ("t.json", "", "expected at least one row"),
        ("t.json", '[{"a": 1}', "not valid JSON"),
        ("t.json", "[" * 100_000, "nested too deep"),
        ("t.jsonl", '{"a": 1}\n\n{"a": 1', "line 3: not valid JSON"),
        ("t.jsonl", '{"a": 1, "a": 2}', "line 1: not valid JSON .the name 'a' stands twice"),
        ("t.jsonl", '{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("t.parquet", "PAR1", "Cannot read"),
        ("t.xlsx", "", "has the ending '.xlsx'"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_rows(tmp_path / name)


@pytest.mark.parametrize("name", ["none.csv", "none.json", "none.parquet"])
def test_a_table_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*none.*: No such file"):
        read_rows(tmp_path / name)


def test_a_line_separator_inside_a_text_does_not_cut_json_lines(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": "x\u2028y"}\n', encoding="utf-8")
    assert [row.cells["a"] for row in read_rows(tmp_path / "t.jsonl")] == ["x\u2028y"]


def test_a_text_with_a_name_is_read_as_a_csv() -> None:
    assert [(row.at, dict(row.cells)) for row in text_rows("a,b\n1,2\n", "mini.csv")] == [
        ("line 2", {"a": "1", "b": "2"})
    ]
    assert text_rows("", "mini.csv") == []
    with pytest.raises(UserError, match=r"mini\.csv, line 2: expected 2 fields"):
        text_rows("a,b\n1\n", "mini.csv")
