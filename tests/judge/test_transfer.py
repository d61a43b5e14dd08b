"""What a move rests on and how far it goes, against figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from acculturate.judge.records import Together, TopItems
from acculturate.judge.transfer import columns, item_record, item_sentences, novelty, towards
from acculturate.survey.formats import Role, parse_format
from acculturate.survey.scoring import Scoring

IDS = ("a", "b", "c", "d", "e")
# Two dimensions of two items each; the target has only the first; item e is in neither.
SCORING = Scoring(
    np.array([[10.0, -10.0, 0.0, 0.0, 0.0], [0.0, 0.0, 10.0, 10.0, 0.0]]),
    np.array([50.0, 0.0]),
    np.array([70.0, np.nan]),
)
UNTUNED = np.full((2, 5), 3.0)


def formats(*names: str):
    return [parse_format(name) for name in names]


@pytest.mark.parametrize(
    "name, new",
    [
        ("letters/options-first/0/en", ()),
        ("digits/options-first/0/en", ()),  # both are known, only not together
        ("letters/options-first/2/en", ("wording",)),
        ("roman/one-line/0/en", ("labels", "layout")),
        ("letters/options-first/5/ar", ("language",)),  # every text of a new language is new
        ("roman/options-first/0/ar", ("labels", "language")),
        ("letters/options-first/0/en/descending", ("option order",)),
    ],
)
def test_what_is_new_in_a_format(name: str, new: tuple[str, ...]):
    trained = formats("letters/options-first/0/en", "digits/question-first/1/en")
    assert novelty(parse_format(name), trained) == new


def test_a_wording_is_known_in_its_own_language_only():
    trained = formats("letters/options-first/0/en", "letters/options-first/1/ar")
    assert novelty(parse_format("letters/options-first/1/en"), trained) == ("wording",)


def test_columns_group_held_out_views_by_what_is_new():
    names = (
        *("letters/options-first/0/en", "digits/options-first/1/en", "digits/options-first/2/ar"),
        *("letters/options-first/2/en", "letters/options-first/0/ar", "roman/options-first/2/en"),
    )
    found = columns(formats(*names), [Role.TRAIN, Role.VALIDATION, *[Role.HELDOUT] * 4])
    shown = [(column.title, column.views) for column in found]
    assert shown == [
        ("Trained", (0,)),
        ("Validation", (1,)),
        ("New wording", (3,)),
        ("New language", (4,)),
        ("New labels and language", (2,)),
        ("New labels and wording", (5,)),
    ]


def test_an_items_cost_is_the_loss_that_comes_back():
    tuned = UNTUNED.copy()
    tuned[:, 0], tuned[:, 1], tuned[:, 4] = 4.0, 2.5, 1.0  # score 50 + 10 + 5 = 65 of 70
    found = item_record(UNTUNED, tuned, SCORING, IDS)
    assert (found.untuned, found.improvement) == (20.0, 15.0)
    assert [one.cost for one in found.items] == [10.0, 5.0, 0.0, 0.0, 0.0]
    assert found.top[0] == TopItems(items=("a",), cost=10.0, share=10.0 / 15.0)
    assert found.top[1].items == ("a", "b") and found.top[1].share == 1.0  # only two items count
    assert found.trained_items == Together(n=2, towards=2, mean=7.5, chance=0.25)
    assert found.heldout_items is None
    assert "Without the move of item a" in item_sentences({Role.TRAIN: found, Role.HELDOUT: None})[0]


def test_items_that_moved_against_each_other_both_cost():
    tuned = UNTUNED.copy()
    tuned[:, 0], tuned[:, 1] = 5.0, 3.5  # 50 + 20 - 5: b moved away
    items = item_record(UNTUNED, tuned, SCORING, IDS).items
    costs, moves = [one.cost for one in items], [one.towards for one in items]
    assert costs[:2] == [20.0, -5.0] and moves[:2] == [20.0, -5.0]


def test_nothing_is_a_share_of_an_immaterial_improvement():
    tuned = UNTUNED.copy()
    tuned[:, 0] = 3.1
    found = item_record(UNTUNED, tuned, SCORING, IDS, material=0.1)
    assert found.improvement == pytest.approx(1.0) and found.top[0].share is None
    assert item_sentences({Role.TRAIN: found, Role.HELDOUT: None}) == []


def test_a_right_move_counts_though_the_others_have_reached_the_target():
    tuned = UNTUNED.copy()
    tuned[:, 0], tuned[:, 1] = 5.0, 2.0  # a alone reaches 70; b, held out, carries the score beyond it
    assert towards(UNTUNED, tuned, SCORING).tolist() == [20.0, 10.0, 0.0, 0.0, 0.0]
    found = item_record(UNTUNED, tuned, SCORING, IDS, heldout=("b",))
    assert found.heldout_items == Together(n=1, towards=1, mean=10.0, chance=0.5)
    assert found.trained_items.n == 1
    said = item_sentences({Role.TRAIN: found, Role.HELDOUT: found})[-1]
    assert "Of the 1 items that the search never asked, 1 moved" in said


def test_direction_is_judged_view_by_view():
    naive = np.stack([np.full(5, 3.0), [5.0, 1.0, 3.0, 3.0, 3.0]])  # 50 and 90: one has to rise, one to fall
    tuned = naive.copy()
    tuned[0, 0], tuned[1, 0] = 3.5, 4.5
    assert towards(naive, tuned, SCORING)[0] == 5.0
