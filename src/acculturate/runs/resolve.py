"""From a run's settings to the problem that a search solves: everything they name, looked up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.files.datafile import nearest, user_path
from acculturate.judge.audit import Audit
from acculturate.judge.persona import persona
from acculturate.judge.result import Delivered
from acculturate.knowledge.task import Task
from acculturate.legible import legible, shown
from acculturate.model.answers.sampled import Sampling
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.runs.select import selecting_task
from acculturate.runs.spec import TEXT, RunSpec, to_json
from acculturate.search.history import SearchRecord
from acculturate.search.methods import make_optimizer
from acculturate.search.optimizers.protocol import Optimizer
from acculturate.search.problem import Problem
from acculturate.search.spaces import Space, space_around
from acculturate.search.start_kind import StartKind
from acculturate.search.starts import Start, earlier_prompt
from acculturate.search.text_space import Texts, TextSpace
from acculturate.survey.formats import ROLES, Role
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.statements import statements_of
from acculturate.survey.targets import Target, find_target


@dataclass(frozen=True, eq=False)
class Prepared:
    """Hold settings with everything they name looked up: nothing has been loaded or written yet."""

    spec: RunSpec
    problem: Problem
    selector: Task | None = None
    """The task that picks the winner; None where the loss does."""

    @property
    def target(self) -> Target:
        """The scores to reach."""
        return self.problem.target

    @cached_property
    def start(self) -> Start:
        """The first population; raises ``UserError`` where its warm start does not fit."""
        spec = self.spec
        path = None if spec.warm_start is None else user_path(spec.warm_start)
        earlier = None if path is None else earlier_prompt(path, spec.slot, spec.tokens)
        return Start(
            StartKind(spec.begins), spec.tokens, spec.population, spec.seed, spec.text, spec.first_spread, earlier
        )

    @cached_property
    def text_space(self) -> TextSpace | None:
        """The texts that are searched: statements for both poles of every dimension of the target, and a persona."""
        return _text_space(self.spec, self.problem) if self.spec.space == TEXT else None

    def texts(self, respondent: Respondent) -> Texts | None:
        """Put the texts to a model; None where none are searched."""
        return None if self.text_space is None else Texts(self.problem, respondent, self.text_space)

    def optimizer(self, survey: Loss | None = None) -> Optimizer[Any]:
        """Build the search method and check its options.

        ``survey``: the arithmetic of the search (None: without penalties). ``init`` runs on a dummy population of two
        coordinates, so that a size which the method refuses fails before the model is loaded.
        """
        spec = self.spec
        survey = survey or self.problem.survey(self.problem.train)
        made = make_optimizer(
            spec.method,
            spec.optimizer_options,
            survey=survey,
            budget=spec.budget,
            fresh=bool(spec.fresh),
            most=spec.statements,
        )
        made.init(np.random.default_rng(0).standard_normal((spec.population, 2)), spec.seed)
        return made

    def check_model(self, respondent: Respondent) -> None:
        """Refuse, before a search, questions that the model cannot read whole, or replies that cannot be read."""
        texts = self.texts(respondent)
        problem = self.problem if texts is None else texts.sized(texts.longest)
        problem.check_window(respondent, Sampling().max_new_tokens if self.spec.sampled else 0)
        problem.check_replies(respondent)


def prepare(spec: RunSpec, target: Target | None = None, *, check_method: bool = True) -> Prepared:
    """Look up all that settings name; raises ``UserError`` before anything is loaded or written.

    ``target``: what to reach, in place of the country's scores. ``check_method`` off: the optimizer is not align's.
    """
    instrument = load_instrument(spec.instrument, wording=Path(spec.wording) if spec.wording else None)
    target = target or find_target(spec.country, spec.targets, instrument.dimension_ids)
    _check_name(target)
    _check_heldout_items(instrument, target.vector(instrument.dimension_ids), spec)
    _check_wordings(instrument, spec)
    prepared = Prepared(spec, _problem(spec, instrument, target), selecting_task(spec.select_by))
    if check_method:
        prepared.optimizer()
    _ = prepared.start, prepared.text_space
    return prepared


def _text_space(spec: RunSpec, problem: Problem) -> TextSpace:
    language = problem.train.formats[0].language
    poles = statements_of(problem.instrument, language)
    if poles is None:
        raise SettingError(
            f"There are no value statements for instrument '{problem.instrument.id}' in the language '{language}' to "
            f"make texts of; leave {setting('space', TEXT)} out, or train in English on an instrument that is built in."
        )
    wanted = problem.target.vector(problem.instrument.dimension_ids)
    known = [one for one, score in zip(problem.instrument.dimension_ids, wanted, strict=True) if not np.isnan(score)]
    statements = [
        line for dimension in known for pole in (poles[dimension].high, poles[dimension].low) for line in pole
    ]
    return TextSpace((persona(problem.target.country).system or "", *statements), spec.statements)


def _problem(spec: RunSpec, instrument: Instrument, target: Target) -> Problem:
    def asked(role: Role) -> Questionnaire | None:
        forms = spec.formats(role)
        return questionnaire(instrument, forms, balanced=spec.balanced) if forms else None

    train = asked(Role.TRAIN)
    assert train is not None  # RunSpec asks for a format to train on
    return Problem(
        instrument=instrument,
        target=target,
        train=train,
        validation=asked(Role.VALIDATION),
        heldout=asked(Role.HELDOUT),
        everything=questionnaire(
            instrument, [form for role in ROLES for form in spec.formats(role)], balanced=spec.balanced
        ),
        slot=spec.slot,
        tokens=spec.tokens,
        answers=spec.answers,
        batch=spec.rows,
        constant=spec.constant,
        mas25=spec.mas25,
        heldout_items=spec.heldout_items,
        anchor=spec.anchor,
        mass_penalty=spec.lost_mass_penalty,
        consistency=spec.agreement,
        response_style=spec.response_style,
        fresh_formats=spec.fresh,
    )


def _check_name(target: Target) -> None:
    """Refuse a name that no page and no directory can hold; a table of one's own may have anything in its cells."""
    for name in (target.country, target.code):
        if len(name) > 100 or legible(name) != name or "\n" in name:
            raise SettingError(
                f"Target set '{target.target_set}' names a country {shown(name)}; expected at most 100 characters in "
                "one line, without control characters."
            )


def _check_wordings(instrument: Instrument, spec: RunSpec) -> None:
    """Say what to do where the protocol's own formats have wordings that an instrument lacks."""
    for role in ROLES:
        for form in spec.formats(role) if getattr(spec, f"{role}_formats") is None else ():
            there = instrument.variants(form.language)
            if form.variant >= there:
                raise SettingError(
                    f"The {spec.protocol} protocol asks in wording {form.variant}; instrument '{instrument.id}' has "
                    f"wordings 0 to {there - 1} in language '{form.language}'; name formats that it has with "
                    f"{setting('train_formats')}, {setting('heldout_formats')} and "
                    f"{setting('validation_formats', [])} for none."
                )


def _check_heldout_items(instrument: Instrument, target: Float[np.ndarray, "dims"], spec: RunSpec) -> None:
    ids = instrument.item_ids
    for item in spec.heldout_items:
        if item not in ids:
            raise SettingError(
                f"Instrument '{instrument.id}' has no item '{item}'{nearest(item, ids)}; "
                f"hold out items by their ids, like {setting('heldout_items', list(ids[:2]))}."
            )
    left = instrument.weights(mas25=spec.mas25)[:, ~np.isin(ids, spec.heldout_items)]
    for dimension, weights, wanted in zip(instrument.dimension_ids, left, target, strict=True):
        if not np.isnan(wanted) and not weights.any():
            raise SettingError(
                f"With these items held out, no item of dimension '{dimension}' is left to search with; hold out fewer."
            )


def space_of(respondent: Respondent, spec: RunSpec, population: Float[np.ndarray, "n tokens hidden"]) -> Space:
    """Build the search space that settings name.

    Its origin is the text where there is one, else zero or, in a projection, the population's mean.
    """
    if spec.begins in (StartKind.TEXT, StartKind.BLANK) or spec.warm_start:
        origin = population[0]
    else:
        origin = population.mean(axis=0) if spec.space == "projection" else np.zeros_like(population[0])
    return space_with_origin(respondent, spec, origin)


def space_with_origin(respondent: Respondent, spec: RunSpec, origin: Float[np.ndarray, "tokens hidden"]) -> Space:
    """Build the search space that settings name, around an origin of one's own."""
    projection = spec.projection_dim if spec.space == "projection" else None
    return space_around(origin, respondent.unit, projection, spec.seed)


def delivered(prepared: Prepared, prompt: SoftPrompt, search: SearchRecord, audit: Audit) -> Delivered:
    """Hand what a finished search delivers to its judges."""
    spec = prepared.spec
    start = prepared.start if prepared.text_space is None else None
    # Rivals get what the search spent, where it was stopped early.
    budget = spec.budget if search.stopped_before is None else search.evaluations
    return Delivered(
        prepared.problem, prompt, start, budget, spec.sampled, to_json(spec), search, audit, spec.baselines
    )
