"""What a tuned prompt has to beat: flat answers, the untuned model, personas, and in-context answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.judge.persona import DESCRIPTORS, persona
from acculturate.judge.records import LeftOut, RowId
from acculturate.model.respondent import Context, Respondent
from acculturate.search.problem import Problem
from acculturate.survey.instrument import Instrument
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response
from acculturate.survey.targets import Target

DEMONSTRATIONS = 3


def target_answers(
    instrument: Instrument,
    weights: Float[np.ndarray, "dims items"],
    constants: Float[np.ndarray, " dims"],
    target: Target,
) -> Float[np.ndarray, " items"]:
    """Compute item means that give the target's scores and stay nearest to the middle of every scale.

    Published scores say nothing about single items; this is the least-norm solution of the scoring equations,
    cut to the scales' ranges. It serves as material for demonstrations only.
    """
    values = instrument.values()
    there = instrument.option_mask()
    low = np.where(there, values, np.inf).min(axis=1)
    high = np.where(there, values, -np.inf).max(axis=1)
    middle = (low + high) / 2
    wanted = target.vector(instrument.dimension_ids)
    present = ~np.isnan(wanted)
    gap = wanted[present] - (weights[present] @ middle + constants[present])
    return np.clip(middle + np.linalg.pinv(weights[present]) @ gap, low, high)


def in_context(instrument: Instrument, answers: Float[np.ndarray, " items"]) -> Context:
    """Show answers to *other* questions as demonstrations; the probed item is never among them."""
    values, there = instrument.values(), instrument.option_mask()
    nearest = np.where(there, np.abs(values - answers[:, None]), np.inf).argmin(axis=1)
    ids = instrument.item_ids
    # A stride through the items mixes groups and scales; neighbours would all show the same kind of question.
    stride = next(s for s in range(max(2, len(ids) // DEMONSTRATIONS), 2 * len(ids) + 1) if np.gcd(s, len(ids)) == 1)
    shown: dict[str, tuple[tuple[str, int], ...]] = {}
    for i, item in enumerate(ids):
        others = [(i + k * stride) % len(ids) for k in range(1, min(DEMONSTRATIONS, len(ids) - 1) + 1)]
        shown[item] = tuple((ids[j], int(nearest[j])) for j in others)
    return Context(demonstrations=shown)


def flat_response(questionnaire: Questionnaire) -> Response:
    """Give every option equal probability: the middle of every scale, whatever is asked."""
    there = questionnaire.instrument.option_mask()
    with np.errstate(divide="ignore"):
        logprobs = np.log(there / there.sum(axis=1, keepdims=True))
    shape = (len(questionnaire.formats), *logprobs.shape)
    return Response(np.broadcast_to(logprobs, shape).copy(), np.ones(shape[:2]))


def averaged(responses: list[Response]) -> Response:
    """Average several responses' option probabilities."""
    with np.errstate(divide="ignore"):
        logprobs = np.log(np.mean([np.exp(r.logprobs) for r in responses], axis=0))
    return Response(logprobs, np.mean([r.mass for r in responses], axis=0))


@dataclass(frozen=True, eq=False)
class Baseline:
    """Hold a baseline's answers, with what to say of them."""

    ident: str
    label: str
    response: Response
    note: str | None = None


def baseline_responses(
    problem: Problem,
    respondent: Respondent,
    watch: Callable[[str], None] = lambda _stage: None,
) -> tuple[list[Baseline], list[LeftOut]]:
    """Ask every baseline, in the order of the table; those that cannot be asked come second.

    ``watch`` is told who is asked next: on a CPU the personas can take longer than a short search.
    """
    questionnaire, target = problem.everything, problem.target
    survey = problem.survey(questionnaire)

    def ask(who: str, context: Context) -> Response:
        watch(who)
        return problem.untuned(respondent, questionnaire, context)

    answered = [
        Baseline(
            RowId.FLAT, "Flat answers", flat_response(questionnaire), "The middle of every scale, without any model."
        ),
        Baseline(RowId.UNTUNED, "Untuned model", ask("the untuned model", Context())),
    ]
    left: list[LeftOut] = []
    country, label = target.country, "Persona"
    if respondent.chat.takes_system_message:
        note = f"Asked to act like someone from {country}; answers averaged over {len(DESCRIPTORS)} descriptions."
        contexts = [persona(country, descriptor) for descriptor in DESCRIPTORS]
        try:
            people = [ask(f"personas, {n} of {len(contexts)}", one) for n, one in enumerate(contexts, start=1)]
            answered.append(Baseline(RowId.PERSONA, label, averaged(people), note))
        except UserError as error:
            left.append(LeftOut(id=RowId.PERSONA, label=label, why=_reason(error)))
    else:
        why = "the model's chat template takes no system message"
        left.append(LeftOut(id=RowId.PERSONA, label=label, why=why))
    answers = target_answers(questionnaire.instrument, survey.weights, survey.constants, target)
    label = "In-context answers"
    note = f"Shown {DEMONSTRATIONS} answers to other questions that fit the target, never the probed item."
    try:
        response = ask("in-context answers", in_context(questionnaire.instrument, answers))
        answered.append(Baseline(RowId.IN_CONTEXT, label, response, note))
    except UserError as error:
        left.append(LeftOut(id=RowId.IN_CONTEXT, label=label, why=_reason(error)))
    return answered, left


def _reason(error: UserError) -> str:
    """Turn a complaint into the end of a sentence."""
    text = str(error).removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
