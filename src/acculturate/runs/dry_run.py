"""The cost of a run before it starts."""

from __future__ import annotations

from acculturate.model.respondent import Respondent
from acculturate.performance.cost import CostEstimate, estimate
from acculturate.runs.spec import RunSpec
from acculturate.runs.task import interview, prepare
from acculturate.survey.formats import without


def dry_run(spec: RunSpec) -> CostEstimate:
    """Estimate what the search of a run will cost, with one candidate measured; writes nothing."""
    asked = prepare(spec).questionnaires["train"]
    assert asked is not None
    put = interview(Respondent(spec.choice), without(asked, spec.heldout_items), spec)
    return estimate([put], budget=spec.budget, population=spec.population)
