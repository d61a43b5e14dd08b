"""The cost of a sweep before it starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from acculturate.model.answer_kind import AnswerKind
from acculturate.performance.cost import CostEstimate
from acculturate.runs.dry_run import dry_run
from acculturate.runs.spec import to_json
from acculturate.runs.sweep.models import ModelShelf
from acculturate.runs.sweep.plan import PlannedRun

_NO_COST = ("country", "targets", "seed", "optimizer", "optimizer_options", "budget", "population", "constant")
"""Settings that change nothing in what one candidate costs."""


def sweep_costs(
    runs: Sequence[PlannedRun], stage: Callable[[str], None] = lambda _: None
) -> dict[str, CostEstimate | None]:
    """Estimate the cost of the searches of runs by their names; None for generated text, whose length nobody knows.

    A candidate is measured once for all runs in which it costs the same. ``stage`` is told what is being done.
    """
    shelf = ModelShelf()
    estimates: dict[str, CostEstimate] = {}
    costs: dict[str, CostEstimate | None] = {}
    for run in runs:
        spec = run.spec
        if spec.answer is AnswerKind.SAMPLED:
            costs[run.name] = None
            continue
        alike = json.dumps({key: value for key, value in to_json(spec).items() if key not in _NO_COST}, sort_keys=True)
        if alike not in estimates:
            respondent = shelf.lend(spec.choice, again=True, stage=stage)
            stage("measuring a candidate")
            estimates[alike] = dry_run(spec, respondent)
        costs[run.name] = estimates[alike].with_budget(spec.budget, spec.population)
    return costs
