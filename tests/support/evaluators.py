"""The conformance suite's cases: what every evaluator, in one process or several, has to give to the bit.

As a program (``python evaluators.py MODEL PARALLEL OUT``, or started by torchrun) it evaluates all cases and writes
what they give; ``DIE`` in the environment names a rank that ends itself by SIGKILL over its second order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.opening import shared
from acculturate.model.respondent import Respondent
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import make_spec
from acculturate.search.objective import search_objective
from acculturate.survey.formats import Role
from acculturate.survey.loss import Evaluation

TOKENS, ROWS = 2, 2


def problem_of(model: str, answers: str = "probabilities"):
    """A problem of one format, two candidates a pass."""
    spec = make_spec(
        {
            "model": model,
            "country": "SAU",
            "targets": "country-tool-estimate",
            "protocol": "paper",
            "tokens": TOKENS,
            "rows": ROWS,
            "population": 4,
            "budget": 20,
            "answers": answers,
            "mass_penalty": 1.0,
        }
    )
    return prepare(spec).problem


def prompts(n: int, hidden: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, TOKENS, hidden)).astype(np.float32)


def written(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Every bit of evaluations, as JSON can hold it."""
    return [
        [
            part.tobytes().hex()
            for part in (
                one.response.logprobs,
                one.response.mass,
                one.scores,
                np.array([one.loss, one.selection_loss, *one.terms.values()]),
            )
        ]
        for one in evaluations
    ]


def cases(respondent: Respondent, model: str) -> dict[str, object]:
    """Whole and broken passes, fewer candidates than processes, one, none, no numbers, and a mistake."""
    evaluate = search_objective(problem_of(model), respondent, Role.TRAIN)
    hidden = respondent.hidden
    lost = prompts(6, hidden)
    lost[3, 1, 5] = np.nan
    out: dict[str, object] = {str(n): written(evaluate(prompts(n, hidden))) for n in (11, 8, 3, 1, 0)}
    out["NaN"] = written(evaluate(lost))
    try:
        evaluate(np.zeros((6, TOKENS + 1, hidden), dtype=np.float32))
    except UserError as error:
        out["mistake"] = f"{type(error).__name__}: {error}"
    return out


def _dying(after: int) -> None:
    """Have this process end itself over one of its orders."""
    from acculturate.model.pool.worker import Worker

    whole, left = Worker.answer, after

    def answer(self, order):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, order)

    Worker.answer = answer  # type: ignore[method-assign]


def _program() -> int:
    model, parallel, out = sys.argv[1:]
    respondent = Respondent(ModelChoice(model))
    try:
        with shared(respondent, parallel):
            results = cases(respondent, model)
    except UserError as error:
        sys.stderr.write(f"acculturate: {error}\n")
        return 2
    Path(out).write_text(json.dumps(results))
    return 0


def main() -> int:
    from acculturate.model.pool import torchrun

    if os.environ.get("DIE") == os.environ.get("RANK", "none"):
        _dying(2)
    if not torchrun.is_launched():
        return _program()
    torchrun.leave(torchrun.run_first(_program))


if __name__ == "__main__":
    sys.exit(main())
