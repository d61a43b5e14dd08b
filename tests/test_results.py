"""The verdict in plain words, for every way a run can end."""

from __future__ import annotations

import pytest

from acculturate.results import verdict


def rows(train: float, held: float | None, *, rival: float = 120.0) -> list[dict]:
    def row(ident: str, t: float, h: float | None) -> dict:
        return {
            "id": ident,
            "label": ident.capitalize(),
            "train": {"loss": t},
            "heldout": None if held is None else {"loss": h},
        }

    return [
        row("flat", 126.0, 126.0),
        row("naive", 120.0, 120.0),
        row("persona", 118.0, rival),
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
    assert found["kind"] == kind
    assert f"{train:.1f}" in found["sentences"][0]


def test_a_model_that_does_not_read_the_options_is_never_called_aligned():
    found = verdict(rows(5.0, 20.0), "Ruritania", "This model answers by position.")
    assert found["kind"] == "fitted-to-format"
    assert "This model answers by position." in found["sentences"]
    assert "do not read" in found["headline"]


def test_the_best_random_prompt_is_a_rival_and_remarks_decide_nothing():
    random = {"id": "best-random", "label": "Best random prompt", "train": {"loss": 90.0}, "heldout": {"loss": 41.0}}
    found = verdict([*rows(5.0, 40.0), random], "Ruritania", None, ["A remark."])
    assert found["kind"] == "partly" and "best random prompt" in found["headline"]
    assert "A remark." in found["sentences"]
    assert verdict(rows(5.0, 40.0), "Ruritania", None, ["A remark."])["kind"] == "aligned"


def test_nothing_held_out_is_said():
    assert "held out" in verdict(rows(5.0, None), "Ruritania")["headline"]
