"""The price on response style: paid for what all items of a scale share, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acculturate.search.problem import survey_of
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss, stacked
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.response import Response
from acculturate.survey.targets import find_target

VSM = load_instrument("vsm2013")
ASKED = questionnaire(VSM, [parse_format("letters/options-first/0/en")])


def response(**moved: float) -> Response:
    """Answer every item with its two middle options, so that its mean is 3 and what is added for some."""
    means = np.array([3.0 + moved.get(item, 0.0) for item in VSM.item_ids])
    values = VSM.values()
    share = np.where(values == 3.0, 1.0, 0.0) - np.abs(means - 3.0)[:, None] * (values == 3.0)
    share += np.where(values == 3.0 + np.sign(means - 3.0)[:, None], np.abs(means - 3.0)[:, None], 0.0)
    with np.errstate(divide="ignore"):
        one = np.log(share)
    return Response(np.stack([one] * len(ASKED.formats)), np.ones((len(ASKED.formats), len(means))))


def priced(share: float) -> Loss:
    untuned = response()
    survey = survey_of(ASKED, find_target("SAU", "country-tool-estimate"))
    return replace(survey, response_style=share, reference=untuned.logprobs)


def test_a_step_that_a_scale_takes_together_gains_nothing_at_the_full_price():
    plain, full = (priced(share).evaluate(response(m15=-0.5, m16=-0.5, m17=-0.5)) for share in (0.0, 1.0))
    before = priced(0.0).evaluate(response()).loss
    assert plain.loss == pytest.approx(before - 20.0)  # uncertainty avoidance counts -40 for m15
    assert full.loss == pytest.approx(before)
    assert full.terms["response_style"] == pytest.approx(20.0)


def test_what_items_do_beside_each_other_is_free():
    beside = response(m04=-0.5, m07=0.3, m02=0.2)  # the mean of all importances stays where it is
    assert priced(1.0).evaluate(beside).terms["response_style"] == pytest.approx(0.0, abs=1e-9)
    assert priced(1.0).evaluate(beside).loss == pytest.approx(priced(0.0).evaluate(beside).loss)


def test_candidates_are_chosen_by_it_too():
    found = priced(0.5).evaluate(response(m20=0.4))
    assert found.terms["response_style"] == pytest.approx(0.5 * 25 * 0.4)
    assert found.selection_loss == pytest.approx(found.loss)


def test_a_dimension_that_the_target_lacks_costs_nothing():
    loss = priced(1.0)
    target = loss.target.copy()
    target[VSM.dimension_ids.index("uai")] = np.nan
    moved = response(m15=-0.5, m16=-0.5, m17=-0.5)
    assert replace(loss, target=target).evaluate(moved).terms["response_style"] == pytest.approx(0.0, abs=1e-9)


def test_an_answer_that_no_dimension_of_the_target_needs_may_be_missing():
    loss = priced(1.0)
    target = loss.target.copy()
    target[VSM.dimension_ids.index("lto")] = np.nan
    moved = response(m20=0.4)
    moved.logprobs[:, VSM.item_ids.index("m19")] = np.nan  # pride, alone on its scale
    found = replace(loss, target=target).evaluate(moved)
    assert found.terms["response_style"] == pytest.approx(25 * 0.4)
    assert np.isfinite(found.loss)


def test_the_joint_loss_of_several_countries_has_it_too():
    moved = (response(m15=-0.5, m20=0.3), response(m04=-0.2, m23=0.4))
    alone = priced(1.0)
    other = replace(alone, target=find_target("USA", "hofstede-2015").vector(VSM.dimension_ids))
    joint = stacked([alone, other], len(ASKED.formats))
    together = Response(np.concatenate([one.logprobs for one in moved]), np.concatenate([one.mass for one in moved]))
    apart = [loss.evaluate(one).loss for loss, one in zip((alone, other), moved, strict=True)]
    assert joint.evaluate(together).loss == pytest.approx(np.mean(apart))
