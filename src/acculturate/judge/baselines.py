"""What a tuned prompt has to beat: flat answers, the untuned model, personas, in-context answers, and texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.errors import ModelError, SettingError, UserError
from acculturate.judge.audit_records import CeilingRecord
from acculturate.judge.ceiling import choose_text
from acculturate.judge.effort import FULL, Effort
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
    """Show answers to *other* questions as demonstrations; the probed item is never among them.

    All items are shown the same few, so that they are computed once; an item that is one of them is shown another.
    """
    values, there = instrument.values(), instrument.option_mask()
    nearest = np.where(there, np.abs(values - answers[:, None]), np.inf).argmin(axis=1)
    ids = instrument.item_ids
    # A stride through the items mixes groups and scales; neighbours would all show the same kind of question.
    stride = next(s for s in range(max(2, len(ids) // DEMONSTRATIONS), 2 * len(ids) + 1) if np.gcd(s, len(ids)) == 1)
    some = [(k * stride) % len(ids) for k in range(min(DEMONSTRATIONS + 1, len(ids)))]
    shown: dict[str, tuple[tuple[str, int], ...]] = {}
    for i, item in enumerate(ids):
        others = [j for j in some if j != i][:DEMONSTRATIONS]
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


class Rivals:
    """Ask the rivals of a prompt on all formats of a problem, as many as an effort names.

    ``wanted``: names of those to ask, persona, in-context or text; None for all.
    ``baselines`` stand in the order of the table, ``left_out`` with the reasons. ``watch`` is told who is asked next:
    on a CPU the personas can take longer than a short search.
    """

    def __init__(
        self,
        problem: Problem,
        respondent: Respondent,
        effort: Effort = FULL,
        wanted: Sequence[str] | None = None,
        watch: Callable[[str], None] = lambda _stage: None,
    ) -> None:
        self._problem, self._respondent, self._effort, self._watch = problem, respondent, effort, watch
        self.left_out: list[LeftOut] = []
        self.ceiling: CeilingRecord | None = None
        flat = flat_response(problem.everything)
        self.baselines = [Baseline(RowId.FLAT, "Flat answers", flat, "The middle of every scale, without any model.")]
        self.baselines.append(Baseline(RowId.UNTUNED, "Untuned model", self._ask("the untuned model", Context())))
        for name, ident, label, ask in (
            ("persona", RowId.PERSONA, "Persona", self._persona),
            ("in-context", RowId.IN_CONTEXT, "In-context answers", self._in_context),
            ("text", RowId.BEST_TEXT, "Best text", self._best_text),
        ):
            if wanted is not None and name not in wanted:
                continue
            try:
                response, note = ask()
                self.baselines.append(Baseline(ident, label, response, note))
            except UserError as error:
                self.left_out.append(LeftOut(id=ident, label=label, why=_reason(error)))

    def _ask(self, who: str, context: Context) -> Response:
        self._watch(who)
        return self._problem.untuned(self._respondent, self._problem.everything, context)

    def _needs_system_message(self) -> None:
        if not self._respondent.chat.takes_system_message:
            raise ModelError("The model's chat template takes no system message.")

    def _persona(self) -> tuple[Response, str]:
        self._needs_system_message()
        country, count = self._problem.target.country, self._effort.personas
        contexts = [persona(country, descriptor) for descriptor in DESCRIPTORS[:count]]
        people = [self._ask(f"personas, {n} of {count}", one) for n, one in enumerate(contexts, start=1)]
        many = f"answers averaged over {count} descriptions" if count > 1 else "one description"
        return averaged(people), f"Asked to act like someone from {country}; {many}."

    def _in_context(self) -> tuple[Response, str]:
        if not self._effort.in_context:
            raise SettingError("The budget of this run is a first look, and it costs more than the search.")
        questions, target = self._problem.everything, self._problem.target
        survey = self._problem.survey(questions)
        answers = target_answers(questions.instrument, survey.weights, survey.constants, target)
        response = self._ask("in-context answers", in_context(questions.instrument, answers))
        return (
            response,
            f"Shown {DEMONSTRATIONS} answers to other questions that fit the target, never the probed item.",
        )

    def _best_text(self) -> tuple[Response, str]:
        self._needs_system_message()
        if not self._effort.texts:
            raise SettingError("The budget of this run is a first look, and it costs more than the search.")
        problem = self._problem

        def ask(asked: Questionnaire, context: Context) -> Response:
            return problem.untuned(self._respondent, asked, context)

        chosen = choose_text(
            ask,
            problem.train,
            problem.survey(problem.train),
            problem.target.country,
            most=self._effort.texts,
            watch=self._watch,
        )
        response = self._ask("the best text", Context(system=chosen.text.system))
        self.ceiling = chosen.record(problem.target.country)
        return response, f"The best of {len(chosen.losses)} texts on trained formats: {chosen.text.name}."


def _reason(error: UserError) -> str:
    """Turn a complaint into the end of a sentence."""
    text = str(error).removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
