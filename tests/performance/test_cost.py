"""The estimate of a search: counted tokens and operations, and seconds measured with a candidate."""

from __future__ import annotations

import json

import pytest
from architectures import small_questionnaire, tiny_model_dir

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.engine.size import weight_bytes, weights_in_layers
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.performance.cost import estimate, readable_time
from acculturate.survey.formats import Format


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), device="cpu"))


def test_tokens_and_operations_are_those_of_the_plan(llama) -> None:
    interview = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=3)
    cost = estimate([interview], budget=100, population=10, measured=False)
    # Two questions in two orders: 3 soft tokens, then what the template closes the turn with.
    suffix = len(interview._sequences[0].suffix)
    assert cost.tokens == interview.plan.tokens_per_candidate == 4 * (3 + suffix)
    assert cost.static_tokens == interview.plan.static_tokens
    assert cost.naive_tokens == sum(len(s.prefix) + 3 + len(s.suffix) for s in interview._sequences)
    # By hand: 3 layers of width 32, 4 query and 2 key heads of width 8, inner width 48; two norms each, one last.
    per_layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    assert weights_in_layers(llama.model) == 3 * per_layer + 32
    pairs = interview.plan.attention_pairs
    by_hand = 2 * (3 * per_layer + 32) * cost.tokens + 4 * 32 * 3 * pairs + 2 * 32 * 400 * 4
    assert cost.operations == pytest.approx(by_hand)
    assert cost.weights_bytes == weight_bytes(llama.model) == 4 * llama.model.num_parameters()
    assert cost.working_bytes > interview.engine.held_bytes > 0
    assert cost.seconds is cost.seconds_per_generation is cost.seconds_in_total is None
    assert "Seconds" not in cost.text()


def test_seconds_are_measured_and_multiplied(llama) -> None:
    interview = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=3)
    cost = estimate([interview], budget=100, population=10)
    assert cost.seconds is not None and 0 < cost.seconds < 5
    assert cost.seconds_per_generation == pytest.approx(10 * cost.seconds)
    assert cost.seconds_in_total == pytest.approx(100 * cost.seconds)
    assert "for 100 candidates" in cost.text()
    assert json.loads(json.dumps(cost.to_json()))["seconds_in_total"] == cost.seconds_in_total


def test_several_interviews_add_up(llama) -> None:
    asked = [small_questionnaire(Format(labels)) for labels in ("letters", "digits")]
    interviews = [Interview(llama, a, slot="user_end", n_tokens=3) for a in asked]
    one, two = (estimate([i], budget=1, measured=False) for i in interviews)
    both = estimate(interviews, budget=1, measured=False)
    assert both.tokens == one.tokens + two.tokens
    assert both.operations == pytest.approx(one.operations + two.operations)
    assert both.weights_bytes == one.weights_bytes


def test_more_rows_take_more_memory_for_the_same_candidate(llama) -> None:
    few, many = (
        estimate(
            [Interview(llama, small_questionnaire(), slot="user_end", n_tokens=3, rows=rows)],
            budget=1,
            measured=False,
        )
        for rows in (1, 4)
    )
    assert many.working_bytes > few.working_bytes and many.tokens == few.tokens


@pytest.mark.filterwarnings("ignore:This architecture")
def test_a_model_that_cannot_be_packed_pays_every_token(tmp_path_factory) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, "mamba")), device="cpu"))
    interview = Interview(respondent, small_questionnaire(), slot="user_end", n_tokens=3)
    assert isinstance(interview.engine, PlainEngine)
    cost = estimate([interview], budget=1, measured=False)
    assert cost.tokens == cost.naive_tokens and cost.static_tokens == 0


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (600.0, "10 min"), (9000.0, "2.5 h")])
def test_times_are_readable(seconds, text) -> None:
    assert readable_time(seconds) == text
