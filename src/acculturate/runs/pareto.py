"""Alignment against a second objective: a front of soft prompts, each the best there is for what it costs.

The first objective is the distance to the country's scores. The second is either how far the answers depart from the
untuned model's, or the share of multiple-choice questions that the model gets wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.files.checksums import sha256_of
from acculturate.files.datafile import user_path
from acculturate.files.run_directory import RunDirectory, plain
from acculturate.judge.audit import Audit
from acculturate.judge.baselines import flat_response
from acculturate.judge.front import (
    FLAT,
    UNTUNED,
    Front,
    FrontSearch,
    FrontTarget,
    FrontViews,
    Point,
    PointFigures,
    Reference,
    ReferenceFigures,
    SecondObjective,
)
from acculturate.judge.records import ModelIdentity
from acculturate.judge.verdict import LIMITS
from acculturate.knowledge.catalog import load_task
from acculturate.knowledge.questions import questions_of, read_questions
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import precision_name
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, write_prompts
from acculturate.runs.front import FRONT, PROMPTS
from acculturate.runs.provenance import made_with, named_files
from acculturate.runs.records import RunKind
from acculturate.runs.resolve import Prepared, prepare, space_of
from acculturate.runs.skeleton import carry_out
from acculturate.runs.spec import TEXT, RunSpec, to_json
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.loop import Search, unpack_search
from acculturate.search.methods import Method, configured
from acculturate.search.optimizers.gde3 import GDE3, GDE3State, first_front
from acculturate.search.optimizers.protocol import Optimizer
from acculturate.search.problem import Problem
from acculturate.search.spaces import Space
from acculturate.search.starts import starting_prompts
from acculturate.survey.formats import ROLES, Role, parse_format
from acculturate.survey.instrument import Instrument
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.response import Response, departure
from acculturate.version import VERSION

NAME = "gde3"
METHOD = Method(GDE3, "Differential Evolution for two objectives (Kukkonen & Lampinen 2005)", {})
# Questions with right answers are always asked in both option orders, whatever the survey's protocol.
QUESTION_FORMATS = {
    Role.TRAIN: "letters/options-first/0/en",
    Role.VALIDATION: "lower/question-first/0/en",
    Role.HELDOUT: "digits/question-first/0/en",
}


@dataclass(frozen=True)
class Second:
    """Hold the second objective: ``untuned`` (no ``questions``), or the wrong answers to ``questions``."""

    given: str
    questions: Instrument | None = None
    checksum: str | None = None
    """SHA-256 of the questions or of their file; None where there are none."""

    @property
    def record(self) -> SecondObjective:
        """What front.json says of it."""
        if self.questions is None:
            return SecondObjective(
                id=UNTUNED,
                name="Departure from the untuned answers",
                unit="nats",
                about="mean Kullback-Leibler divergence from the untuned model's options, or no option at all",
            )
        count = len(self.questions.items)
        return SecondObjective(
            id="questions",
            name="Wrong answers",
            unit="share",
            about=f"1 minus the mean probability of the right option, {count} questions of {self.questions.name}",
        )


def second_objective(against: str) -> Second:
    """Read what ``against`` names: 'untuned', a CSV of questions, or a task; anything else is a ``UserError``."""
    if against == UNTUNED:
        return Second(against)
    if "=" not in against and Path(against).suffix.lower() == ".csv":
        file = user_path(against)
        return Second(against, read_questions(file), sha256_of(file))
    task = load_task(against)
    return Second(against, questions_of(task), task.checksum)


SUPPLIED = {"objectives": GDE3.objectives}


class TwoObjectives:
    """Evaluate soft prompts in the formats of one role (an ``Evaluator``); lower is better in both terms.

    An evaluation's loss is the survey's alone; its terms are ``survey``, in points, and ``second``, both objectives.
    """

    def __init__(self, respondent: Respondent, problem: Problem, role: Role, questions: Instrument | None) -> None:
        asked = problem.questionnaire(role)
        assert asked is not None
        self._dims = asked.instrument.dimension_ids
        self._survey = problem.survey(asked)
        self._asked = [asked]
        self._untuned = [problem.untuned(respondent, asked)]
        if questions is None:
            self._second = partial(departure, self._untuned[0])
        else:
            others = questionnaire(questions, [parse_format(QUESTION_FORMATS[role])])
            self._asked.append(others)
            self._untuned.append(problem.untuned(respondent, others))
            self._second = partial(_wrong, _accuracy(questions, others.views))
        self._interviews = [problem.interview(respondent, one) for one in self._asked]

    def __call__(self, prompts: Float[np.ndarray, "n tokens hidden"]) -> list[Evaluation]:
        answers = [put(prompts) for put in self._interviews]
        return [self._judged(responses) for responses in zip(*answers, strict=True)]

    def untuned(self) -> Evaluation:
        """Evaluate the model without a soft prompt."""
        return self._judged(self._untuned)

    def flat(self) -> Evaluation:
        """Evaluate equal probability for every option."""
        return self._judged([flat_response(asked) for asked in self._asked])

    def _judged(self, responses: Sequence[Response]) -> Evaluation:
        evaluation, second = self._survey.evaluate(responses[0]), self._second(responses[-1])
        terms = dict(evaluation.terms) | {"second": second}
        return replace(evaluation, terms=terms, objectives=(evaluation.terms["survey"], second))

    def figures(self, evaluation: Evaluation) -> ReferenceFigures:
        """Return both objectives, answer mass (of the survey) and dimension scores, means over the views."""
        return ReferenceFigures(
            survey=evaluation.terms["survey"],
            second=evaluation.terms["second"],
            mass=float(evaluation.response.mass.mean()),
            scores=dict(zip(self._dims, evaluation.scores.mean(axis=0).tolist(), strict=True)),
        )


def _accuracy(questions: Instrument, views: tuple[tuple[int, ...], ...]) -> Loss:
    """Make expected accuracy a dimension with the target 1: its L1 distance is the share of wrong answers."""
    return Loss(questions.values(), questions.weights(), questions.constants(0.0), np.ones(1), views)


def _wrong(accuracy: Loss, response: Response) -> float:
    return float(accuracy.losses(accuracy.scores(response.logprobs)).mean())


def pareto(
    spec: RunSpec, against: str, out: Path, callbacks: Callbacks = SILENT, lent: Respondent | None = None
) -> Front:
    """Run, or go on with, the search for a front in directory ``out``.

    Only whole generations are run: the budget is spent down to less than one. A finished run is returned as it is.
    Raises ``UserError`` for every mistake in the spec, the second objective or the directory.
    """
    return carry_out(Pareto(spec, second_objective(against)), out, callbacks, lent)


@dataclass(frozen=True, eq=False)
class Found:
    """Hold what nothing dominates of all that a search has seen, and how it was found."""

    prompts: Float[np.ndarray, "n tokens hidden"]
    search: FrontSearch


class Pareto:
    """Describe a run for one country and a second objective: a front of prompts."""

    name, record, shape, beside = RunKind.PARETO, FRONT, Front, (PROMPTS,)

    def __init__(self, spec: RunSpec, second: Second) -> None:
        self._spec, self._second, self._budget = spec, second, _checked(spec)
        self._optimizer = configured(NAME, METHOD, spec.optimizer_options, SUPPLIED)
        self._prepared = prepare(spec, check_method=False)

    @property
    def instrument(self) -> Instrument:
        return self._prepared.problem.instrument

    @property
    def answers(self) -> str:
        return self._spec.answers

    @property
    def choice(self) -> ModelChoice:
        return self._spec.choice

    @property
    def parallel(self) -> str:
        return self._spec.parallel

    def settings(self) -> dict[str, Any]:
        questions = {} if self._second.checksum is None else {"against": self._second.checksum}
        return _settings(self._spec) | {"against": self._second.given, "files": named_files(self._spec) | questions}

    def made_with(self, respondent: Respondent) -> dict[str, Any]:
        return made_with(self._spec, respondent, NAME)

    def lay_out(self, respondent: Respondent) -> Ready:
        self._prepared.check_model(respondent)
        return Ready(self._prepared, respondent, self._second, self._optimizer, self._budget)

    def measure(
        self, found: Found, respondent: Respondent, audit: Audit | None, directory: RunDirectory, callbacks: Callbacks
    ) -> Front:
        assert audit is not None
        problem = self._prepared.problem
        references, points, kept = _measured(problem, respondent, self._second, found.prompts)
        directory.check_held()
        prompts = [SoftPrompt(found.prompts[i], self._spec.slot, respondent.identity) for i in kept]
        write_prompts(directory.path / PROMPTS, prompts)
        return Front(
            schema=1,
            acculturate=VERSION,
            spec=plain(_settings(self._spec)),
            model=ModelIdentity(respondent.identity),
            target=_target(problem),
            second=self._second.record,
            views=_views(problem),
            limits=LIMITS,
            references=references,
            points=points,
            search=found.search,
            audit=audit.record,
        )


class Ready:
    """Hold a problem with its model: the loop over both objectives, and where it starts."""

    def __init__(
        self, prepared: Prepared, respondent: Respondent, second: Second, optimizer: Optimizer[Any], budget: int
    ) -> None:
        spec = prepared.spec
        population = starting_prompts(respondent, prepared.start, prepared.target)
        space = space_of(respondent, spec, population)
        self._seed, self._start = spec.seed, space.encode(population)
        self._dtype = precision_name(respondent.model)
        optimizer.init(self._start, spec.seed)  # a population that is too small is refused now
        objectives = TwoObjectives(respondent, prepared.problem, Role.TRAIN, second.questions)
        self._loop = Search(objectives, space, optimizer, budget)

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> Found:
        callbacks.stage("searching")
        progress = self._loop.run(self._start, self._seed, directory, callbacks)
        prompts = _prompts(directory, self._loop.space)
        search = FrontSearch(
            evaluations=progress.evaluations, generations=progress.generation, found=len(prompts), dtype=self._dtype
        )
        return Found(prompts, search)


def _settings(spec: RunSpec) -> dict[str, object]:
    """Return the settings on record; a front has no price on lost mass whatever the protocol."""
    return to_json(spec) | {"mass_penalty": 0.0}


def _checked(spec: RunSpec) -> int:
    """Count the evaluations of the whole generations that the budget pays for; refuse what has no place here."""
    if spec.optimizer not in ("auto", NAME):
        raise SettingError(f"A front is searched with {NAME}, not '{spec.optimizer}'; leave the optimizer out.")
    if spec.space == TEXT:
        raise SettingError(f"A front is made of vectors; leave {setting('space', TEXT)} out, or use align.")
    if spec.anchor:
        untuned = setting("against", UNTUNED)
        raise SettingError(f"A front has no use for an anchor: that is what {untuned} does; leave it out.")
    for name in (
        "heldout_items",
        "sampled",
        "mass_penalty",
        "baselines",
        "select_by",
        "agreement",
        "fresh",
        "response_style",
    ):
        if getattr(spec, name):
            shown_as = {"agreement": "consistency", "fresh": "fresh_formats"}.get(name, name)
            raise SettingError(
                f"'{shown_as}' is a setting of acculturate align that a front does not know; leave it out, or give 0."
            )
    return spec.budget - spec.budget % spec.population


def _prompts(directory: RunDirectory, space: Space) -> Float[np.ndarray, "n tokens hidden"]:
    """Return what nothing dominates of all that the finished search has seen."""
    stored = directory.restore()
    assert stored is not None
    state, _ = unpack_search(GDE3State, *stored)
    if not len(state.front_x):
        raise SettingError("No candidate got an answer to every question, so there is no front; try another start.")
    return space.decode(state.front_x).astype(np.float32)


def _measured(
    problem: Problem, respondent: Respondent, second: Second, prompts: Float[np.ndarray, "n tokens hidden"]
) -> tuple[tuple[Reference, ...], tuple[Point, ...], list[int]]:
    """Measure what the front is compared to and its points, and say which prompts these are, in order."""
    roles = [role for role in ROLES if problem.questionnaire(role) is not None]
    judges = {role: TwoObjectives(respondent, problem, role, second.questions) for role in roles}
    evaluations = {role: judge(prompts) for role, judge in judges.items()}
    f = np.array([evaluation.objectives for evaluation in evaluations[Role.TRAIN]])
    # Rounding in the search's precision can have kept a point that another one dominates.
    kept = sorted(first_front(f), key=lambda i: tuple(f[i]))
    untuned = judges[Role.TRAIN].untuned()
    nothing = np.array(untuned.objectives)

    def by_role(evaluation: Callable[[Role], Evaluation]) -> dict[str, Any]:
        return {role.value: judges[role].figures(evaluation(role)) if role in judges else None for role in ROLES}

    points = []
    for number, i in enumerate(kept, start=1):
        figures = by_role(lambda role, i=i: evaluations[role][i])
        train = PointFigures.model_validate(figures.pop("train").to_json())
        points.append(Point(point=number, beaten_by_untuned=bool((nothing <= f[i]).all()), train=train, **figures))
    references = (
        Reference(id=UNTUNED, label="Untuned model", **by_role(lambda role: judges[role].untuned())),
        Reference(id=FLAT, label="Flat answers", **by_role(lambda role: judges[role].flat())),
    )
    return references, tuple(points), [int(i) for i in kept]


def _target(problem: Problem) -> FrontTarget:
    target = problem.target
    return FrontTarget(
        country=target.country,
        code=target.code,
        target_set=target.target_set,
        scores={d: target.scores.get(d) for d in problem.instrument.dimension_ids},
    )


def _views(problem: Problem) -> FrontViews:
    def names(questions: Questionnaire | None) -> tuple[str, ...] | None:
        return None if questions is None else questions.view_names

    return FrontViews(train=names(problem.train), validation=names(problem.validation), heldout=names(problem.heldout))
