"""The verdict in plain words, for every way a run can end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acculturate.cli import main as cli
from acculturate.judge import audit_verdict as audit
from acculturate.judge.records import Result, Row, StyleRecord, VerdictKind
from acculturate.judge.verdict import choice_sentences, verdict
from acculturate.search.history import Chosen, Generation, SearchRecord, search_record

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def table_row(ident: str, label: str, train: tuple[float, float], heldout: tuple[float, float] | None) -> Row:
    """A row of which a verdict reads losses and answer mass alone."""

    def figures(values: tuple[float, float] | None) -> dict | None:
        return None if values is None else {"loss": values[0], "mae": None, "scores": {}, "mass": values[1]}

    kind = ident if ident in ("flat", "tuned") else "baseline"
    return Row.model_validate(
        {"id": ident, "label": label, "kind": kind, "by_view": []}
        | {"train": figures(train), "heldout": figures(heldout)}
    )


def rows(
    train: float, held: float | None, *, rival: float = 120.0, mass: tuple[float, float] = (0.8, 0.8)
) -> list[Row]:
    def row(ident: str, t: float, h: float | None) -> Row:
        answered = mass if ident == "tuned" else (0.25, 0.352)
        return table_row(ident, ident.capitalize(), (t, answered[0]), None if h is None else (h, answered[1]))

    return [
        row("flat", 126.0, None if held is None else 126.0),
        row("naive", 120.0, None if held is None else 120.0),
        row("persona", 118.0, None if held is None else rival),
        row("tuned", train, held),
    ]


@pytest.mark.parametrize(
    "train, held, rival, kind",
    [
        (5.0, 40.0, 120.0, "aligned"),
        (5.0, 90.0, 120.0, "partly"),
        (5.0, 60.0, 50.0, "partly"),  # a persona does better than the prompt
        (5.0, 119.0, 120.0, "fitted-to-format"),
        (5.0, 200.0, 120.0, "fitted-to-format"),
        (115.0, 60.0, 120.0, "not-better"),
        (5.0, None, 120.0, "fitted-to-format"),
    ],
)
def test_kind(train: float, held: float | None, rival: float, kind: str):
    found = verdict(rows(train, held, rival=rival), "Ruritania")
    assert found.kind is VerdictKind(kind)
    assert f"{train:.1f}" in found.sentences[0]


def test_a_model_that_does_not_read_the_options_is_never_called_aligned():
    found = verdict(rows(5.0, 20.0), "Ruritania", "This model answers by position.")
    assert found.kind is VerdictKind.FITTED
    assert "This model answers by position." in found.sentences
    assert "do not read" in found.headline


def test_the_best_random_prompt_is_a_rival_and_remarks_decide_nothing():
    random = table_row("best-random", "Best random prompt", (90.0, 0.8), (41.0, 0.8))
    found = verdict([*rows(5.0, 40.0), random], "Ruritania", None, ["A remark."])
    assert found.kind is VerdictKind.PARTLY and "best random prompt" in found.headline
    assert "A remark." in found.sentences
    assert verdict(rows(5.0, 40.0), "Ruritania", None, ["A remark."]).kind == "aligned"


def test_a_way_of_answering_is_never_called_aligned():
    style = StyleRecord(gain=80.0, shared=78.0, within=3.0, style=True)
    found = verdict(rows(5.0, 40.0), "Ruritania", style=style)
    assert found.kind is VerdictKind.STYLE and "way of answering" in found.headline
    assert verdict(rows(5.0, 40.0), "Ruritania", style=style.model_copy(update={"style": False})).kind == "aligned"
    assert verdict(rows(5.0, 119.0), "Ruritania", style=style).kind == "fitted-to-format"


def test_nothing_held_out_is_said():
    assert "held out" in verdict(rows(5.0, None), "Ruritania").headline


@pytest.mark.parametrize("extra", [0, 9])
def test_the_terminal_tables_are_whole_at_80_columns(extra, monkeypatch, capsys):
    result = json.loads((FIXTURES / "result_saudi.json").read_text())
    more = [f"dimension{i}" for i in range(extra)]
    result["instrument"]["dimensions"] += [{"id": name, "name": name} for name in more]
    for row in result["rows"]:
        for role in ("train", "heldout"):
            row[role]["scores"] |= dict.fromkeys(more, 12.34)
    monkeypatch.setenv("COLUMNS", "80")
    cli._show_result(Result.model_validate(result), Path("runs/x/report.html"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    tuned = [line.split() for line in lines if line.startswith("Tuned soft prompt")]
    assert tuned[0][3:] == ["41.6", "102.2", "17.0", "0.92"]
    scores = [result["rows"][-1]["train"]["scores"][d["id"]] for d in result["instrument"]["dimensions"]]
    assert [cell for line in tuned[1:] for cell in line[3:]] == [f"{score:.1f}" for score in scores]
    heads = [line.split()[2:] for line in lines if line.startswith("Score, trained")]
    names = ["PDI", "IDV", "MAS", "UAI", "LTO", "IVR", *map(str.upper, more)]
    assert [name for head in heads for name in head] == names
    for row in result["rows"]:
        assert sum(line.startswith(row["label"] + " ") for line in lines) == 1 + len(heads)


def test_a_label_is_no_markup(monkeypatch, capsys):
    result = json.loads((FIXTURES / "result_saudi.json").read_text())
    result["rows"][-1]["label"] = "[red]Tuned[/red] :smile:"
    cli._show_result(Result.model_validate(result), Path("runs/x/report.html"))
    assert capsys.readouterr().out.count("[red]Tuned[/red] :smile:") == 2


@pytest.mark.parametrize(
    "held, mass, said",
    [
        (40.0, (audit.MASS_LOW, audit.MASS_LOW), None),
        (40.0, (0.2, 0.0042), "held-out formats they hold 0.4 % of the next token's probability (untuned 35.2 %)"),
        (40.0, (0.05, 0.09), "trained formats they hold 5.0 % of the next token's probability (untuned 25.0 %)"),
        (None, (0.01, 0.0), "trained formats they hold 1.0 %"),
    ],
)
def test_a_prompt_under_which_the_model_hardly_answers_is_said(held, mass, said):
    judged = verdict(rows(5.0, held, mass=mass), "Ruritania")
    found = [sentence for sentence in judged.sentences if "hardly ever answer with an option" in sentence]
    assert len(found) == (0 if said is None else 1)
    assert judged.kind == ("aligned" if said is None else "fitted-to-format")
    assert ("hardly answers any more" in judged.headline) == (said is not None)
    assert said is None or said in found[0]


def curve_line(evaluations: int, best: float | None, validation: float | None, winner_at: int) -> Generation:
    return Generation(
        generation=1,
        evaluations=evaluations,
        best=best,
        median=best,
        validation=validation,
        winner_at=winner_at,
        losses=[best],
        terms=[{}],
        mass=[1.0],
        scores=[[]],
    )


def recorded(*course: Generation) -> SearchRecord:
    return search_record(course, optimizer="dfgn", dtype="float32", rows=1)


def test_an_early_winner_is_said():
    found = recorded(curve_line(40, 110.0, 120.0, 40), curve_line(80, 60.0, 175.0, 40), curve_line(96, 60.0, None, 40))
    assert found.chosen == Chosen(evaluations=40, best=110.0, validation=120.0)
    (sentence,) = choice_sentences(found)
    assert "after 40 of 96 evaluations" in sentence and "110.0" in sentence and "60.0" in sentence
    assert choice_sentences(found.model_copy(update={"together_with": ("IND",)})) == [], (
        "a choice made for several countries"
    )


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([curve_line(40, 110.0, 150.0, 40), curve_line(80, 60.0, 120.0, 80)], 80),
        ([curve_line(40, 110.0, 100.0, 40), curve_line(80, 104.0, 120.0, 40)], 40),
        ([curve_line(40, 110.0, None, 40), curve_line(80, 60.0, None, 80), curve_line(96, 60.0, None, 80)], 80),
        ([curve_line(40, None, None, 0)], None),
        ([], None),
    ],
)
def test_nothing_is_said_where_the_winner_fits_about_as_well_as_the_best(lines: list[dict], chosen: int | None):
    found = recorded(*lines)
    assert (found.chosen and found.chosen.evaluations) == chosen
    assert choice_sentences(found) == []
