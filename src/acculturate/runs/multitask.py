"""One search for several countries: prompts that share their first tokens and differ in the others.

The paper (arXiv:2503.16094) names multitask prompts as future work. A candidate holds ``shared_tokens`` tokens for
everyone and, after them, ``tokens`` for each country in turn; the prompt of a country is the shared part followed by
its own. The loss is the mean of the countries' losses. A candidate costs one evaluation for each country.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.files.record import or_nan
from acculturate.files.run_directory import RunDirectory, plain
from acculturate.judge.audit import Audit
from acculturate.judge.records import Result
from acculturate.judge.result import result_of
from acculturate.legible import shown
from acculturate.model.answers.ways import Interviews
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import precision_name
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import FILE, SoftPrompt, write_prompt
from acculturate.report.run_page import write_report
from acculturate.runs.evaluate import evaluation_of
from acculturate.runs.finished import RESULT, read_record, write_last
from acculturate.runs.provenance import made_with, named_files
from acculturate.runs.records import CountryLosses, JointSettings, Losses, LossesByRole, Multitask, RunKind
from acculturate.runs.resolve import Prepared, delivered, prepare, space_of
from acculturate.runs.skeleton import carry_out
from acculturate.runs.spec import MOST_TOKENS, TEXT, RunSpec, make_spec, to_json
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.history import (
    EVALUATIONS,
    Generation,
    SearchRecord,
    generations,
    search_record,
    write_evaluations,
)
from acculturate.search.loop import Progress, Search
from acculturate.search.methods import make_optimizer, method_name
from acculturate.search.objective import search_survey
from acculturate.search.optimizers.dfgn_parts import Parts
from acculturate.search.problem import RoleInterviews
from acculturate.search.starts import starting_prompts
from acculturate.survey.formats import Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.loss import Evaluation, Loss, stacked
from acculturate.survey.response import Response
from acculturate.version import VERSION

RECORD = "multitask.json"
SHARED_TOKENS = TOKENS = 2


@dataclass(frozen=True)
class MultitaskSpec:
    """Hold the settings of a run for several countries: what ``align`` would be told of each.

    ``settings``: of the whole run; its ``country`` is the first, its ``tokens`` are those of one country's own part
    and its ``budget`` counts evaluations of one country's questionnaire. ``shared_tokens``: 0 or more.
    """

    countries: tuple[str, ...]
    shared_tokens: int
    settings: RunSpec

    @property
    def candidates(self) -> int:
        """Joint candidates that the budget pays for; a remainder is not spent."""
        return self.settings.budget // len(self.countries)

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """The equivalent settings of a run for each country alone: all of its tokens, its share of the budget."""
        tokens = self.shared_tokens + self.settings.tokens
        changes = {"tokens": tokens, "budget": self.candidates}
        return tuple(make_spec(to_json(self.settings) | changes | {"country": country}) for country in self.countries)

    def to_json(self) -> dict[str, object]:
        return to_json(self.settings) | {"country": list(self.countries), "shared_tokens": self.shared_tokens}


def multitask_spec(values: Mapping[str, object], source: str = "the command line") -> MultitaskSpec:
    """Validate settings of a multitask run: ``country`` is a list, ``shared_tokens`` may stand beside."""
    rest = {"tokens": TOKENS, **values}
    named, shared = rest.pop("country", ()), rest.pop("shared_tokens", SHARED_TOKENS)
    countries = (named,) if isinstance(named, str) else tuple(named) if isinstance(named, list | tuple) else ()
    if not all(isinstance(country, str) for country in countries) or len(countries) < 2:
        raise SettingError(
            f"A multitask run needs at least two countries, but {source} names {shown(named)}; "
            f"name them all with {setting('country')}, or use align for one."
        )
    if isinstance(shared, bool) or not isinstance(shared, int) or not 0 <= shared <= 512:
        raise SettingError(
            f"Bad value for 'shared_tokens' in {source} (given: {shown(shared)}): expected 0 or more tokens, up to 512."
        )
    settings = make_spec({**rest, "country": countries[0]}, source)
    spec = MultitaskSpec(countries, shared, settings)
    if "population" not in values and spec.candidates:
        fewer = max(2, min(settings.population, spec.candidates))
        spec = replace(spec, settings=settings.model_copy(update={"population": fewer}))
    if spec.settings.select_by is not None:
        raise SettingError("A multitask run has one search for all its countries; leave 'select_by' out, or use align.")
    if spec.settings.agreement or spec.settings.fresh:
        none = f"{setting('consistency', 0)} and {setting('fresh_formats', 0)}"
        raise SettingError(f"A search for several countries asks in all formats and holds none alike; give {none}.")
    if spec.settings.space == TEXT:
        raise SettingError(f"Countries share vectors, not texts; leave {setting('space', TEXT)} out, or use align.")
    if spec.settings.heldout_items:
        raise SettingError("A multitask run asks every item; leave 'heldout_items' out, or use acculturate align.")
    if not spec.candidates:
        raise SettingError(
            f"A budget of {spec.settings.budget} does not pay for one candidate, which costs an evaluation for each of "
            f"{len(countries)} countries; give a larger {setting('budget')}."
        )
    _check_population(spec)
    return spec


def _check_population(spec: MultitaskSpec) -> None:
    population, joint = spec.settings.population, spec.shared_tokens + spec.settings.tokens * len(spec.countries)
    if population > max(2, spec.candidates):
        raise SettingError(
            f"A population of {population:,} is more than the {spec.candidates:,} joint candidates that a budget of "
            f"{spec.settings.budget:,} pays for; give a smaller {setting('population')} or a larger "
            f"{setting('budget')}."
        )
    if population * joint > MOST_TOKENS:
        raise SettingError(
            f"A population of {population:,} joint candidates of {joint:,} tokens is more than memory holds; "
            f"give less than {MOST_TOKENS:,} tokens in all."
        )


def prepare_all(spec: MultitaskSpec) -> dict[str, Prepared]:
    """Look up what every country's settings name, by its code; ``UserError`` before anything is loaded or written."""
    tasks: dict[str, Prepared] = {}
    for name, run in zip(spec.countries, spec.runs, strict=True):
        one = prepare(run)
        code = one.target.code
        if code in tasks:
            raise SettingError(f"The country {code} is named twice ('{name}' the second time); name each country once.")
        if not re.fullmatch(r"\w[\w-]{,59}", code):
            raise SettingError(
                f"The code '{code[:60]}' of {one.target.country} cannot name a directory; "
                "use at most 60 letters, digits, - and _."
            )
        tasks[code] = one
    return tasks


def split(
    prompts: Float[np.ndarray, "n joint hidden"], shared: int, countries: int
) -> Float[np.ndarray, "n countries tokens hidden"]:
    """Decode joint candidates into a prompt for every country: the shared tokens, then its own."""
    n, _, hidden = prompts.shape
    own = prompts[:, shared:].reshape(n, countries, -1, hidden)
    everyone = np.broadcast_to(prompts[:, None, :shared], (n, countries, shared, hidden))
    return np.concatenate([everyone, own], axis=2)


def joint_start(
    populations: Sequence[Float[np.ndarray, "pop tokens hidden"]], shared: int
) -> Float[np.ndarray, "pop joint hidden"]:
    """Join the countries' populations to one; member i has its shared tokens from country i, in turn."""
    members = range(len(populations[0]))
    everyone = np.stack([populations[i % len(populations)][i, :shared] for i in members])
    return np.concatenate([everyone, *(one[:, shared:] for one in populations)], axis=1)


class JointObjective:
    """Evaluate joint candidates (an ``Evaluator``): the formats of one country follow those of the one before.

    The loss is the mean of the countries' losses, and its terms are those losses by country.
    """

    def __init__(self, interview: Interviews, surveys: Mapping[str, Loss], shared: int) -> None:
        self.interview, self.surveys, self.shared = interview, surveys, shared
        self.survey = stacked(list(surveys.values()), len(interview.questionnaire.formats))

    def __call__(self, prompts: Float[np.ndarray, "n joint hidden"]) -> list[Evaluation]:
        each = split(prompts, self.shared, len(self.surveys))
        responses = self.interview(each.reshape(-1, *each.shape[2:]))
        return [self._joined(responses[i : i + len(self.surveys)]) for i in range(0, len(responses), len(self.surveys))]

    def _joined(self, responses: Sequence[Response]) -> Evaluation:
        seen = [survey.evaluate(one) for survey, one in zip(self.surveys.values(), responses, strict=True)]
        losses = [one.loss for one in seen]
        whole = Response(
            np.concatenate([one.logprobs for one in responses]), np.concatenate([one.mass for one in responses])
        )
        scores = np.concatenate([one.scores for one in seen])
        terms = dict(zip(self.surveys, losses, strict=True))
        return Evaluation(
            whole, scores, float(np.mean(losses)), terms, float(np.mean([one.regularisation for one in seen]))
        )


class Ready:
    """Hold the countries' problems with their model: the joint search loop and where it starts."""

    def __init__(self, spec: MultitaskSpec, tasks: Mapping[str, Prepared], respondent: Respondent) -> None:
        self._shared, self._tasks, self._respondent = spec.shared_tokens, tasks, respondent
        evaluate = self._objective(Role.TRAIN)
        assert evaluate is not None
        self._interview = evaluate.interview
        validate = self._objective(Role.VALIDATION)
        first, budget = spec.runs[0], spec.candidates
        populations = [starting_prompts(respondent, one.start, one.target) for one in tasks.values()]
        population = joint_start(populations, self._shared)
        self.space = space_of(respondent, first, population)
        self.start = self.space.encode(population)
        # In a projection every coordinate moves every token.
        parts = Parts(self._shared * respondent.hidden, len(tasks)) if first.space == "full" else None
        optimizer = make_optimizer(
            first.method, first.optimizer_options, survey=evaluate.survey, budget=budget, parts=parts
        )
        judge = None if validate is None else lambda prompts: validate(prompts)[0].loss
        self._seed, self._countries = first.seed, len(tasks)
        self.loop = Search(evaluate, self.space, optimizer, budget, judge)
        # A method that refuses this space (full CMA-ES) says so now.
        optimizer.init(self.start, first.seed)

    def _objective(self, role: str) -> JointObjective | None:
        """Return the joint objective on the formats of a role, the same for every country."""
        first = next(iter(self._tasks.values()))
        asked = first.problem.questionnaire(role)
        if asked is None:
            return None
        untuned = cache(lambda: first.problem.untuned(self._respondent, asked))
        surveys = {code: search_survey(one.problem, role, untuned) for code, one in self._tasks.items()}
        return JointObjective(first.problem.interview(self._respondent, asked), surveys, self._shared)

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> Found:
        callbacks.stage("searching")
        progress = self.loop.run(
            self.start,
            self._seed,
            directory,
            callbacks.counting(self._countries),
        )
        dtype = precision_name(self._respondent.model)
        return Found(self.prompts(progress), dtype, self._interview.rows)

    def prompts(self, progress: Progress) -> dict[str, SoftPrompt]:
        """Return the winner's prompt for each country."""
        vectors = self.space.decode(progress.winner_x[None]).astype(np.float32)
        each = split(vectors, self._shared, len(self._tasks))[0]
        slot = next(iter(self._tasks.values())).spec.slot
        identity = self._respondent.identity
        return {code: SoftPrompt(one, slot, identity) for code, one in zip(self._tasks, each, strict=True)}


def multitask(
    spec: MultitaskSpec, out: Path, callbacks: Callbacks = SILENT, lent: Respondent | None = None
) -> Multitask:
    """Run, or go on with, one search for several countries in ``out``.

    Every country gets a directory by its code with its prompt and a result like that of ``align``. A finished run is
    returned as it is. Raises ``UserError`` for every mistake in the spec or the directory.
    """
    return carry_out(AlignMany(spec), out, callbacks, lent)


def write_reports(out: Path, record: Multitask) -> None:
    """Write the report of every country into its directory."""
    for one in record.countries:
        folder = out / one.code
        write_report(folder, read_record(folder / RESULT, Result), evaluation_of(folder))


@dataclass(frozen=True)
class Found:
    """Hold every country's prompt, with the search's precision and candidates per forward pass."""

    prompts: Mapping[str, SoftPrompt]
    dtype: str
    rows: int


class AlignMany:
    """Describe a run for several countries: a prompt for each."""

    name, record, shape = RunKind.MULTITASK, RECORD, Multitask

    def __init__(self, spec: MultitaskSpec) -> None:
        self._spec, self._tasks, self._first = spec, prepare_all(spec), spec.runs[0]

    @property
    def _any(self) -> Prepared:
        """The first country's settings: questionnaires and model are the same for all."""
        return next(iter(self._tasks.values()))

    @property
    def beside(self) -> list[str]:
        return [EVALUATIONS, *(f"{code}/{name}" for code in self._tasks for name in (FILE, RESULT))]

    @property
    def instrument(self) -> Instrument:
        return self._any.problem.instrument

    @property
    def answers(self) -> str:
        return self._first.answers

    @property
    def choice(self) -> ModelChoice:
        return self._first.choice

    @property
    def parallel(self) -> str:
        return self._spec.settings.parallel

    def settings(self) -> dict[str, Any]:
        return self._spec.to_json() | {"files": named_files(self._first)}

    def made_with(self, respondent: Respondent) -> dict[str, Any]:
        return made_with(self._first, respondent)

    def lay_out(self, respondent: Respondent) -> Ready:
        self._any.check_model(respondent)
        return Ready(self._spec, self._tasks, respondent)

    def measure(
        self, found: Found, respondent: Respondent, audit: Audit | None, directory: RunDirectory, callbacks: Callbacks
    ) -> Multitask:
        assert audit is not None
        results: dict[str, Result] = {}
        asked = RoleInterviews(self._any.problem, respondent)  # all countries are asked the same
        for code, one in self._tasks.items():
            search = self._country_search(directory, code, found)
            result = result_of(
                delivered(one, found.prompts[code], search, audit),
                asked,
                callbacks.under(f"{code}, "),
            )
            results[code] = result.model_copy(update={"kind": str(RunKind.COUNTRY)})
            directory.check_held()
            folder = directory.path / code
            folder.mkdir(exist_ok=True)
            write_prompt(folder / FILE, found.prompts[code])
            # A country's directory may be given away alone, so it has checksums of its own.
            write_last(folder, RESULT, results[code], beside=[FILE])
        write_evaluations(directory)
        return _record(self._spec, results, generations(directory)[-1])

    def _country_search(self, directory: RunDirectory, code: str, found: Found) -> SearchRecord:
        """Sum up the search as one country saw it."""
        method = method_name(self._spec.settings.method)
        course = list(_as_seen_by(code, generations(directory)))
        stopped = None if directory.stopped() is None else self._spec.candidates
        own = search_record(course, optimizer=method, dtype=found.dtype, rows=found.rows, stopped_before=stopped)
        return own.model_copy(
            update={
                "together_with": tuple(other for other in self._tasks if other != code),
                "shared_tokens": self._spec.shared_tokens,
                "note": "One search for several countries: the best candidate is the one with the lowest mean loss, so "
                "this country's own may rise; answer mass and validation loss are means over the countries.",
            }
        )


def _as_seen_by(code: str, course: Sequence[Generation]) -> Iterator[Generation]:
    """Rewrite the generations with one country's losses; ``best`` is its loss at the jointly best candidate so far."""
    lowest, own = np.inf, None
    for one in course:
        losses = [np.inf if loss is None else loss for loss in one.losses]
        mine = [np.inf if (loss := terms[code]) is None else loss for terms in one.terms]
        best = int(np.argmin(losses))
        if losses[best] < lowest:
            lowest, own = losses[best], mine[best]
        yield replace(one, best=own, median=float(np.median(mine)))


def _record(spec: MultitaskSpec, results: Mapping[str, Result], last: Generation) -> Multitask:
    """Put together what multitask.json holds."""
    countries = [
        CountryLosses(
            code=code,
            country=result.target.country,
            **_by_role(partial(_losses, result)),
            verdict=result.verdict.kind,
            headline=result.verdict.headline,
        )
        for code, result in results.items()
    ]
    return Multitask(
        schema=1,
        acculturate=VERSION,
        spec=JointSettings(plain(spec.to_json())),
        model=next(iter(results.values())).model,
        candidates=last.evaluations,
        evaluations=last.evaluations * len(countries),
        search_loss=last.best,
        countries=tuple(countries),
        mean=LossesByRole(**_by_role(partial(_mean, countries))),
    )


def _by_role(losses: Callable[[Role], Losses | None]) -> dict[str, Any]:
    return {role.value: losses(role) for role in Role}


def _losses(result: Result, role: Role) -> Losses | None:
    """Return a country's losses on the formats of a role; None where there are none."""
    untuned, tuned = result.untuned.on(role), result.tuned.on(role)
    return None if untuned is None or tuned is None else Losses(untuned=untuned.loss, tuned=tuned.loss)


def _mean(countries: Sequence[CountryLosses], role: Role) -> Losses | None:
    each = [losses for one in countries if (losses := one.on(role)) is not None]
    if not each:
        return None
    return Losses(
        untuned=float(np.mean([or_nan(one.untuned) for one in each])),
        tuned=float(np.mean([or_nan(one.tuned) for one in each])),
    )
