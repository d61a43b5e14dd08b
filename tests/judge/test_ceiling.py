"""The best of some texts, on respondents whose way with texts is known."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import expert

from acculturate.errors import ModelError, UserError
from acculturate.judge.audits import ceilings, formats_there
from acculturate.judge.ceiling import ceiling, ceiling_sentence, choose_text
from acculturate.judge.texts import texts_towards
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.search.problem import survey_of
from acculturate.survey.formats import Role
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.targets import find_target

VSM = load_instrument("vsm2013")
USA = find_target("USA", "hofstede-2015", VSM.dimension_ids)
OWN = np.linspace(1.5, 4.5, 24)
NEAR = OWN + np.linalg.pinv(VSM.weights()) @ (USA.vector(VSM.dimension_ids) - VSM.constants() - VSM.weights() @ OWN)


def _asked(role: Role):
    return questionnaire(VSM, formats_there(VSM, AnswerKind.PROBABILITIES, role))


def _loss(asked):
    return survey_of(asked, USA)


def test_the_text_that_moves_the_answers_is_chosen_and_measured_elsewhere() -> None:
    halfway = (OWN + NEAR) / 2
    ask = expert(OWN, personas={"United States": np.clip(halfway, 1, 5)})
    record = ceiling(ask, _asked(Role.TRAIN), _asked(Role.HELDOUT), USA)
    assert record.text is not None and "persona" in record.text
    assert record.words is not None and "United States" in record.words
    assert set(record.chosen_on).isdisjoint(record.measured_on)
    assert record.best < 0.7 * record.untuned
    by_name = {one.name: one.loss for one in record.tried}
    assert by_name["pull, all statements"] > by_name[record.text]
    assert "no text tried moves this model by more than" in ceiling_sentence(record)


def test_a_deaf_model_is_said_to_be_moved_by_nothing() -> None:
    record = ceiling(expert(OWN), _asked(Role.TRAIN), _asked(Role.HELDOUT), USA)
    assert record.best == record.untuned
    assert "brings this model no nearer" in ceiling_sentence(record)


def test_a_model_without_system_message_says_why() -> None:
    def ask(asked, context):
        if context.system:
            raise ModelError("The chat template takes no system message.")
        return expert(OWN)(asked, context)

    record = ceiling(ask, _asked(Role.TRAIN), _asked(Role.HELDOUT), USA)
    assert record.best is None
    assert ceiling_sentence(record) == (
        "United States: texts were not tried: The chat template takes no system message."
    )


def test_fewer_texts_are_the_first_ones() -> None:
    asked = _asked(Role.TRAIN)
    some = choose_text(expert(OWN), asked, _loss(asked), "United States", most=4)
    everything = choose_text(expert(OWN), asked, _loss(asked), "United States")
    assert [one.name for one in some.losses] == [one.name for one in everything.losses][:4]


def test_texts_pull_to_the_side_on_which_the_score_has_to_move() -> None:
    poles = np.array([95.0, 25.0, 60.0, 80.0, 36.0, np.nan])
    above = texts_towards(VSM, "X", poles, np.full(6, 99.0))
    below = texts_towards(VSM, "X", poles, np.full(6, 1.0))
    assert above[0].system != below[0].system
    lines = {line for one in (*above, *below) for line in one.system.splitlines()}
    assert not any("play" in line and "leisure" in line for line in lines)
    portraits = [one.system for one in above if one.name == "portrait, all statements"]
    assert portraits == [one.system for one in below if one.name == "portrait, all statements"]
    assert len({one.system for one in above}) == len(above)


def test_a_real_model_is_asked_in_its_own_way(tiny) -> None:
    (record,) = ceilings(Respondent(ModelChoice(tiny)), VSM, "cloze", [USA], most=3)
    assert record.measured_on == ("words/open/2/en", "words/open/9/en", "words/open/11/en")
    assert len(record.tried) == 3
    assert record.untuned is not None and np.isfinite(record.best)


def test_an_instrument_with_few_wordings_is_refused() -> None:
    with pytest.raises(UserError, match="too few wordings"):
        formats_there(load_instrument("values_map"), AnswerKind.CLOZE, Role.HELDOUT)


@pytest.mark.parametrize("role", [Role.TRAIN, Role.HELDOUT])
def test_formats_are_those_of_a_run(role) -> None:
    assert formats_there(VSM, AnswerKind.CLOZE, role)[0].in_words
