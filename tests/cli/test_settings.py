"""Settings as people give them: each mistake is one short sentence in plain words, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acculturate.errors import LONGEST, UserError
from acculturate.files.datafile import read_data_file
from acculturate.files.tables import TABLE_MIB, csv_rows
from acculturate.legible import shown
from acculturate.runs.multitask import multitask_spec
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import RunSpec, expected, make_spec, read_spec_file, to_json

GIVEN = {"country": "SAU", "targets": "country-tool-estimate"}
WRONG: list[Any] = [
    *(True, False, None, "12", "x" * 5000, "a\nb", "\x1b[2J", "\x00", "caf\udce9", b"x"),
    *(-1, 10**19, 10**6000, -1e308, 1e308, float("nan"), float("inf")),
    *([1], [["a"]], {"a": 1}, {"a": [1]}, {1: 2}, {"x" * 5000: []}, {1, 2}, [True] * 10_000),
]
NUMBERS = {name: expected(name) for name in RunSpec.model_fields if "number from" in expected(name)}


@pytest.mark.parametrize("field", RunSpec.model_fields)
def test_whatever_stands_in_a_setting_is_taken_or_refused_in_our_words(field: str) -> None:
    refused = 0
    for wrong in WRONG:
        try:
            made = make_spec({**GIVEN, field: wrong}, "run.yaml")
        except UserError as error:
            refused += 1
            said = str(error)
            assert said.startswith(("Bad value for '" + field, "Bad settings in run.yaml: ")) and said.endswith(".")
            assert len(said) <= LONGEST and said.isprintable(), said
            assert not any(theirs in said for theirs in ("Input should", "validation error", "pydantic", "<class")), (
                said
            )
        else:
            kind = type(getattr(made, field))
            assert kind is type(wrong) or (kind, type(wrong)) in ((float, int), (tuple, list)), "nothing is converted"
    assert refused >= len(WRONG) - 6


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("wrong", [True, "12", float("nan"), 10**19])
def test_a_number_is_a_number_within_its_range(field: str, wrong: object) -> None:
    with pytest.raises(UserError) as error:
        make_spec({**GIVEN, field: wrong}, "run.yaml")
    assert str(error.value) == (
        f"Bad value for '{field}' in run.yaml (given: {shown(wrong)}): expected {NUMBERS[field]}."
    )


def test_what_is_expected_is_said_in_words() -> None:
    assert expected("tokens") == "a whole number from 1 to 512"
    assert expected("spread") == "a number above 0 and up to 1,000"
    assert expected("dtype") == "'auto', 'float32', 'bfloat16' or 'float16'"
    assert expected("mas25") == "true or false"
    assert expected("heldout_items") == "a list of at most 200 texts"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budget": 12, "population": 600}, "a population of 600 is more than the budget of 12 candidates"),
        ({"budget": 12, "population": 13}, "a population of 13 is more than the budget of 12"),
        ({"population": 10**10}, "'population'"),
        ({"rows": 21}, "21 rows are more than the population of 20"),
        ({"population": 1000, "tokens": 101}, "1,000 prompts of 101 tokens is more than memory holds"),
        ({"projection_dim": 10**9}, "'projection_dim'"),
        ({"country": "X" * 300}, "expected text of at most 100 characters"),
        ({"country": "Saudi\nArabia"}, "expected text without line breaks"),
        ({"model": "\x00"}, "without line breaks and control characters"),
    ],
)
def test_what_no_memory_holds_and_no_search_spends_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_spec({**GIVEN, **settings})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "dfgn", "optimizer_options": {"trials": 10**9}}, "DFGN trials"),
        ({"optimizer": "openai-es", "optimizer_options": {"population": 10**9}}, "more than the budget of 1,000"),
        ({"optimizer": "shade", "optimizer_options": {"H": 10**12}}, "SHADE H"),
    ],
)
def test_options_of_a_search_are_bounded_before_a_model_is_loaded(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepare(make_spec({**GIVEN, "model": "/nowhere", **options}))


def test_a_population_that_nobody_gave_is_what_the_budget_pays_for() -> None:
    assert make_spec(GIVEN).population == make_spec({**GIVEN, "budget": 20}).population == 20
    small = make_spec({**GIVEN, "budget": 12})
    assert small.population == to_json(small)["population"] == 12
    assert make_spec(to_json(small)) == make_spec({**to_json(small), "population": 12}), "a record reads as it was"


def test_a_joint_population_is_what_the_joint_candidates_pay_for() -> None:
    many = {"country": ["USA", "CHN", "IND"], "budget": 30}
    assert multitask_spec(many).settings.population == 10
    assert {run.population for run in multitask_spec(many).runs} == {10}
    with pytest.raises(UserError, match="11 is more than the 10 joint candidates that a budget of 30 pays for"):
        multitask_spec({**many, "population": 11})
    for shared in (True, -1, 10**19, "2", None):
        with pytest.raises(UserError, match=r"'shared_tokens' .*expected 0 or more tokens, up to 512"):
            multitask_spec({**many, "shared_tokens": shared})


@pytest.mark.parametrize(
    ("row", "country"),
    [
        (f"Long,X-{'L' * 300}", "Long"),
        (f"{'L' * 300},X-LO", "X-LO"),
        ('"Lo\nng",X-LO', "X-LO"),
        ("\x1b[2JLong,X-LO", "X-LO"),
    ],
    ids=["long code", "long name", "line break", "control character"],
)
def test_a_country_that_cannot_be_shown_is_refused_before_a_model_is_loaded(
    tmp_path: Path, row: str, country: str
) -> None:
    own = tmp_path / "own.csv"
    own.write_text(f"country,code,pdi,provenance\n{row},80,x\n")
    with pytest.raises(UserError, match=r"names a country .* expected at most 100 characters in one line") as error:
        prepare(make_spec({"country": country, "targets": str(own), "model": "/nowhere"}))
    assert len(str(error.value)) <= LONGEST


def _yaml(tmp_path: Path, text: str) -> object:
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    return read_data_file(tmp_path / "run.yaml").value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x\n", r"line 2: the alias '\*x' is not followed; write its content out"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "line 2: the alias"),
        ("a: &x [1]\n? *x\n: 1\n", "line 2: the alias"),
        ("country: NO\n", "line 1: YAML reads NO as false; put it in quotes, 'NO', or write false"),
        ("b: 1\ncountry: ON\n", "line 2: YAML reads ON as true"),
        ("NO: 1\n", "YAML reads NO as false"),
        ("a: [yes]\n", "YAML reads yes as true"),
        ("revision: 2015-01-01\n", r"YAML reads 2015-01-01 as a date; put it in quotes, '2015-01-01'\."),
        ("country: 012\n", "YAML reads 012 as 10; put it in quotes, '012', or write 10"),
        ("text: 12:30\n", "YAML reads 12:30 as 750"),
        ('seed: !!int ""\n', r"line 1: not valid YAML \('' is not of the kind 'int'\)"),
        ('anchor: !!float ""\n', "line 1: not valid YAML"),
        ("mas25: !!bool maybe\n", "line 1: not valid YAML"),
        ("text: !!timestamp x\n", "line 1: not valid YAML"),
        ("a: !!set x\n", "line 1: not valid YAML"),
        ("a: !!omap [1]\n", "line 1: not valid YAML"),
        ("a: =\n", "line 1: not valid YAML"),
        (f"a: {'9' * 5000}\n", "line 1: not valid YAML"),
        (f"{'x' * 1000}: 1\n{'x' * 1000}: 1\n", "line 2: 'xxx.* stands twice"),
        ("[" * 100_000, "not valid YAML: its lists and tables are nested too deep; write it flat"),
        ("a: 1\nb: c: 2\n", r"line 2: not valid YAML \(column 5: no ': ' can stand here; put a text .* in quotes"),
        ("a:\n\t- b\n", r"line 2: not valid YAML \(column 1: a line is indented by a tab; indent by spaces"),
        ("a: 'x\n", "a quotation mark is not closed"),
        ("{a: 1", "a table is not closed"),
        ("a: 1\nb\nc: 2\n", "the line before has no ':'"),
        ("- a\nb: 1\n", "line 2: .*neither indented like the lines above nor of their kind"),
        ("a: !foo 1\n", "tags, which begin with '!', are not read"),
        ("a: b\nc: \x00", r"line 2: not valid YAML \(column 4: a character that is no text"),
        ("a: }\n", r"line 1: not valid YAML \(column 4: this cannot be read here"),
    ],
    ids=lambda value: value.splitlines()[0][:30],
)
def test_yaml_that_is_not_what_it_says_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        _yaml(tmp_path, text)
    assert len(str(error.value)) <= LONGEST


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = yes\n", "line 1, column 5: the value is missing, or is a text without quotes"),
        ("a = 1\nb: 2\n", "line 2, column 2: expected NAME = VALUE"),
        ("a = 1\na = 2", "at its end, line 2: a name stands twice; keep one"),
        ("[a]\n[a]\n", "line 2, column 3: a table stands twice"),
        ("a = [1", "at its end, line 1: a list is not closed"),
        ('a = "x', "a quotation mark is not closed"),
        ('a = "\\q"', "put the text in single quotes"),
        ("a = " + "9" * 5000, "a number of thousands of digits"),
        ("a = " + "[" * 10_000, "nested too deep"),
    ],
    ids=lambda value: value.splitlines()[0][:30],
)
def test_toml_that_is_none_is_refused_in_words_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UserError, match=f"run.toml is not valid TOML: .*{said}"):
        read_data_file(tmp_path / "run.toml")


def test_a_directory_for_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.toml").mkdir()
    with pytest.raises(UserError, match=r"run\.toml: it is a directory; give a file\.$"):
        read_data_file(tmp_path / "run.toml")
    with pytest.raises(UserError, match="is a directory; give a CSV file in it"):
        prepare(make_spec({"country": "SAU", "targets": str(tmp_path)}))


def test_yaml_reads_what_it_says(tmp_path: Path) -> None:
    text = "a: 'NO'\nb: true\nc: 1e3\nd: 0\ne: 1_000\nf: \"2015-01-01\"\ng: -0.5\nh: ~\ni: north\n"
    assert _yaml(tmp_path, text) == {
        **{"a": "NO", "b": True, "c": 1000.0, "d": 0, "e": 1000, "f": "2015-01-01", "g": -0.5, "h": None, "i": "north"}
    }


def test_a_few_bytes_of_yaml_stay_a_few_bytes(tmp_path: Path) -> None:
    bomb = "country:\n  - &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"  - &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    with pytest.raises(UserError, match="line 3: the alias"):
        _yaml(tmp_path, bomb)


def test_a_file_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.toml").write_bytes(b"# " + b"x" * 11 * 2**20)
    with pytest.raises(UserError, match="larger than 10 MiB"):
        read_data_file(tmp_path / "run.toml")
    assert TABLE_MIB == 1024
    monkeypatch.setattr("acculturate.files.tables.TABLE_MIB", 1)
    (tmp_path / "table.csv").write_bytes(b"a,b\n" + b"1,2\n" * 2**18)
    with pytest.raises(UserError, match="larger than 1 MiB"):
        csv_rows(tmp_path / "table.csv")


def test_a_value_is_shown_short() -> None:
    for value in (*WRONG, "é" * 41, list(range(10**6)), {"a": {}}, 2**4096):
        assert len(shown(value)) <= 40


def test_a_message_is_one_line_and_short_whatever_is_put_in() -> None:
    said = str(UserError("Country '" + "x\x1b[2J\n" * 10_000 + "' is unknown; give an ISO code."))
    assert len(said) <= LONGEST and said.isprintable()
    assert said.startswith("Country 'x\\x1b[2J x") and said.endswith("give an ISO code.")


def test_no_file_has_the_code_of_a_model_run(tmp_path: Path) -> None:
    file = tmp_path / "strangers.yaml"
    file.write_text("model: theirs\ntrust_remote_code: true\n")
    with pytest.raises(UserError, match="no file may have the code of a model run"):
        read_spec_file(file)
    file.write_text("model: theirs\ntrust_remote_code: false\n")
    assert read_spec_file(file)["trust_remote_code"] is False
