"""The cost of a run before it starts."""

from __future__ import annotations

from acculturate.costs import CostEstimate, estimate
from acculturate.formats import without
from acculturate.respondent import Respondent
from acculturate.spec import RunSpec
from acculturate.task import interview, prepare


def dry_run(spec: RunSpec) -> CostEstimate:
    """Estimate what the search of a run will cost, with one candidate measured; writes nothing."""
    asked = prepare(spec).questionnaires["train"]
    assert asked is not None
    put = interview(Respondent(spec.choice), without(asked, spec.heldout_items), spec)
    return estimate([put], budget=spec.budget, population=spec.population)
