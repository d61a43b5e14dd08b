"""What all items of a scale share is told from what single items do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acculturate.judge.records import Row, RowKind, StyleRecord
from acculturate.judge.response_style import by_scale, style_of, style_sentences
from acculturate.judge.table import Judge
from acculturate.search.problem import survey_of
from acculturate.survey.formats import Role, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.response import Response
from acculturate.survey.targets import find_target

VSM = load_instrument("vsm2013")
ASKED = questionnaire(VSM, [parse_format(f"letters/options-first/{wording}/en") for wording in (0, 2)])
SURVEY = survey_of(ASKED, find_target("SAU", "country-tool-estimate"))
MIDDLE = np.full(24, 3.0)


def _row(means: np.ndarray, roles: tuple[Role, Role] = (Role.TRAIN, Role.HELDOUT)) -> Row:
    """Make the row of a respondent who answers with these means in both orders of both formats."""
    values = VSM.values()
    low = np.clip(np.floor(means), 1, 4)
    share = np.where(values == low[:, None], 1 - (means - low)[:, None], 0.0)
    share += np.where(values == low[:, None] + 1, (means - low)[:, None], 0.0)
    with np.errstate(divide="ignore"):
        one = np.log(share)
    formats = len(ASKED.formats)
    response = Response(np.stack([one] * formats), np.ones((formats, 24)))
    return Judge(ASKED, SURVEY, roles).row("one", "One", RowKind.TUNED, response)


def _moved(**items: float) -> np.ndarray:
    means = MIDDLE.copy()
    for item, by in items.items():
        means[VSM.item_ids.index(item)] += by
    return means


def _told(means: np.ndarray) -> tuple[StyleRecord, str]:
    """Divide the gain from middling answers to these, and say it."""
    untuned = _row(MIDDLE)
    found = style_of(VSM, SURVEY.scoring, untuned, _row(means))
    assert found is not None
    (said,) = style_sentences(found, untuned)
    return found, said


def test_a_scale_keeps_what_its_items_share():
    shifts = (_moved(m15=-1.0, m16=-1.0, m17=-0.4, m18=0.7) - MIDDLE)[None]
    style = by_scale(VSM, shifts)[0]
    assert style[14:17] == pytest.approx([-0.8] * 3)  # the three frequencies
    assert style[17] == pytest.approx(0.7)  # alone on its scale
    assert not style[:14].any()


def test_always_and_never_are_a_way_of_answering():
    always = _moved(m15=-1.5, m16=-1.5, m17=-1.5, m20=1.5)
    found, said = _told(always)
    assert found.style
    # PDI gains 25 * 1.5 of 45 points; UAI wants 30 points up and gets 60, so it is as far away as before.
    assert "is 37.5 points nearer" in said
    assert "give 37.5 by themselves" in said
    assert said.endswith("beside that gives 0.0.")


def test_a_stand_on_items_of_one_scale_is_none():
    found, said = _told(_moved(m04=-0.5, m09=0.0, m07=0.5, m02=-0.5))
    assert not found.style
    # IDV: m04 counts 35, so 17.5 points down; PDI: 35 for each of two items, so 35 points up.
    assert "is 52.5 points nearer" in said
    assert "beside that gives 52.5." in said


def test_nothing_is_said_without_a_gain_or_without_unseen_formats():
    untuned = _row(MIDDLE)
    little = style_of(VSM, SURVEY.scoring, untuned, _row(_moved(m20=0.1)))
    assert little is not None and little.gain == pytest.approx(2.5) and not little.style
    assert style_sentences(little, untuned) == []
    trained = (Role.TRAIN, Role.TRAIN)
    assert style_of(VSM, SURVEY.scoring, _row(MIDDLE, trained), _row(_moved(m07=1.0), trained)) is None


def test_a_missing_answer_leaves_it_unsaid():
    answered = _row(_moved(m07=1.0))
    views = tuple(view.model_copy(update={"item_means": (None,) * 24}) for view in answered.by_view)
    assert style_of(VSM, SURVEY.scoring, _row(MIDDLE), answered.model_copy(update={"by_view": views})) is None


def test_items_alone_on_their_scales_are_not_judged():
    """The same shifts, on an instrument where each item has a scale of its own: nothing to compare an item with."""
    always = _moved(m15=-1.5, m16=-1.5, m17=-1.5, m20=1.5)
    alone = replace(
        VSM,
        items=tuple(replace(item, scale=item.id) for item in VSM.items),
        scales={item.id: VSM.scales[item.scale] for item in VSM.items},
    )
    untuned = _row(MIDDLE)
    found = style_of(alone, SURVEY.scoring, untuned, _row(always))
    assert found is not None and not found.style and not found.judged
    assert found.within == pytest.approx(0.0)
    (said,) = style_sentences(found, untuned)
    assert "the verdict does not judge by this" in said
