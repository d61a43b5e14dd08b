"""The cost of a run before it starts."""

from __future__ import annotations

from acculturate.errors import SettingError
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.performance.cost import CostEstimate, estimate
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import RunSpec
from acculturate.survey.questionnaire import without


def dry_run(spec: RunSpec, lent: Respondent | None = None) -> CostEstimate:
    """Estimate what the search of a run will cost, with one candidate measured; writes nothing.

    ``lent``: the run's model, where it is in memory already.
    """
    prepared = prepare(spec)
    if spec.answer is AnswerKind.SAMPLED:
        raise SettingError("What generated text costs depends on its length; a dry run counts answers of other kinds.")
    respondent = lent or Respondent(spec.choice)
    texts = prepared.texts(respondent)
    problem = prepared.problem if texts is None else texts.sized(texts.longest // 2)
    put = problem.interview(respondent, without(problem.train, problem.heldout_items))
    assert isinstance(put, Interview)
    return estimate([put], budget=spec.budget, population=spec.population)
