"""DFGN where every generation is asked in other formats: answers in all formats from those in a few.

A generation repeats its center in its own formats. The answers of the center in all other formats are those of when
they were last asked, moved since then as the asked ones were in the mean; so are those of the other candidates. What
the model takes for the effect of a direction in a format that was not asked is then its mean effect, and the loss is
that of all formats throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from acculturate.search.optimizers.dfgn_model import structured
from acculturate.search.optimizers.dfgn_state import COMPARE, START, DFGNState
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response


def untuned_answers(survey: Loss) -> Float[np.ndarray, "formats items columns"]:
    """Tabulate the answers of the untuned model in all formats, as ``structured`` does."""
    if survey.reference is None or survey.reference_mass is None:
        raise ValueError("a search with fresh formats needs the untuned model's answers")
    return structured(Response(survey.reference, survey.reference_mass))


def with_center(offsets: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "m dim"]:
    """Put the center before the candidates around it."""
    return np.concatenate([np.zeros((1, offsets.shape[1])), offsets])


def in_all_formats(
    survey: Loss, state: DFGNState, x: Float[np.ndarray, "n dim"], evaluations: Sequence[Evaluation]
) -> tuple[DFGNState, Float[np.ndarray, "m dim"], list[Evaluation]]:
    """Return a generation as if it had been asked in all formats, without the centers that it repeats.

    The state comes with what the centers answered now; its best candidate is its center, because losses of earlier
    generations are of other formats.
    """
    if state.phase == START:
        table = untuned_answers(survey)
        return state, x, [_completed(survey, table, one) for one in evaluations]
    bases = state.rival_answers if state.phase == COMPARE else state.center_answers[None]
    each = len(evaluations) // len(bases)
    centers = [_completed(survey, table, evaluations[k * each]) for k, table in enumerate(bases)]
    tables = [structured(one.response) for one in centers]
    rows = [i for i in range(len(evaluations)) if i % each]
    others = [_completed(survey, tables[i // each], evaluations[i]) for i in rows]
    if state.phase == COMPARE:
        losses = np.array([one.loss for one in centers])
        return replace(state, rival_answers=np.stack(tables), rival_losses=losses), x[rows], others
    loss, answers = centers[0].loss, tables[0]
    state = replace(state, x=state.center, loss=loss, answers=answers, center_loss=loss, center_answers=answers)
    return state, x[rows], others


def _completed(
    survey: Loss,
    table: Float[np.ndarray, "formats items columns"],
    evaluation: Evaluation,
) -> Evaluation:
    """Complete an evaluation in some formats to one in all, from a table of what its base answers in all."""
    formats = list(evaluation.formats or ())
    answers, base = structured(evaluation.response), table[formats]
    with np.errstate(invalid="ignore"):  # -inf - -inf where an item has fewer options
        change = np.where(np.isfinite(base), answers - base, 0.0).mean(axis=0)
    whole = table + change
    whole[formats] = answers
    logprobs, odds = whole[..., :-1], whole[..., -1]
    logprobs = logprobs - np.logaddexp.reduce(logprobs, axis=-1, keepdims=True)
    return survey.evaluate(Response(logprobs, 1.0 / (1.0 + np.exp(odds))))
