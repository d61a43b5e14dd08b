"""A run's settings with everything they name looked up, and what a search, a measurement or an oracle makes of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.files.datafile import nearest, user_path
from acculturate.legible import legible, shown
from acculturate.model.answers.sampled import Sampling
from acculturate.model.loading import sha256_of
from acculturate.model.respondent import Context, Interview, Respondent
from acculturate.model.soft_prompt import prompt_file
from acculturate.runs.spec import RunSpec
from acculturate.search.methods import make_optimizer, method_name
from acculturate.search.objective import Objective, Unasked, survey_of
from acculturate.search.optimizers import Optimizer
from acculturate.search.spaces import Full, Projection, Space
from acculturate.search.starts import Start, StartKind, earlier_prompt
from acculturate.survey.formats import ROLES, Questionnaire, questionnaire, without
from acculturate.survey.instruments import Instrument, load_instrument
from acculturate.survey.scoring import Response, Survey
from acculturate.survey.targets import Target, find_target
from acculturate.version import VERSION


@dataclass(frozen=True, eq=False)
class Task:
    """A validated spec with everything it names looked up: nothing has been loaded or written yet."""

    spec: RunSpec
    instrument: Instrument
    target: Target
    questionnaires: Mapping[str, Questionnaire | None]

    @cached_property
    def everything(self) -> Questionnaire:
        """All formats of all roles, for the final measurement."""
        forms = [form for role in ROLES for form in self.spec.formats(role)]
        return questionnaire(self.instrument, forms, balanced=self.spec.balanced)

    @property
    def roles(self) -> list[str]:
        """The role of every view of ``everything``."""
        return [
            role for role in ROLES for asked in [self.questionnaires[role]] if asked is not None for _ in asked.views
        ]

    @cached_property
    def start(self) -> Start:
        """The first population; raises ``UserError`` where its warm start does not fit."""
        spec = self.spec
        path = None if spec.warm_start is None else user_path(spec.warm_start)
        earlier = None if path is None else earlier_prompt(path, spec.slot, spec.tokens)
        return Start(
            StartKind(spec.begins), spec.tokens, spec.population, spec.seed, spec.text, spec.first_spread, earlier
        )

    def survey(self, asked: Questionnaire) -> Survey:
        return survey_of(asked, self.target, constant=self.spec.constant, mas25=self.spec.mas25)

    def optimizer(self, survey: Survey | None = None) -> Optimizer[Any]:
        """The search method with its options checked; ``survey``: the arithmetic of the search (None: without anchor).

        The size of the first population is checked too, on a start of any two coordinates: the model that gives
        the real one need not be there.
        """
        spec, asked = self.spec, self.questionnaires["train"]
        assert asked is not None
        survey = survey or self.survey(asked)
        made = make_optimizer(spec.optimizer, spec.optimizer_options, survey=survey, budget=spec.budget)
        made.init(np.random.default_rng(0).standard_normal((spec.population, 2)), spec.seed)
        return made


def prepare(spec: RunSpec, target: Target | None = None, *, check_method: bool = True) -> Task:
    """Look up all that a spec names; raises ``UserError`` before anything is loaded or written.

    ``target``: what to reach, in place of the country's scores. ``check_method`` off: the optimizer is not align's.
    """
    instrument = load_instrument(spec.instrument, wording=Path(spec.wording) if spec.wording else None)
    target = target or find_target(spec.country, spec.targets, instrument.dimension_ids)
    _check_name(target)
    _check_heldout_items(instrument, target.vector(instrument.dimension_ids), spec)
    _check_wordings(instrument, spec)
    asked = {
        role: questionnaire(instrument, spec.formats(role), balanced=spec.balanced) if spec.formats(role) else None
        for role in ROLES
    }
    task = Task(spec, instrument, target, asked)
    if check_method:
        task.optimizer()
    _ = task.start
    return task


def _check_name(target: Target) -> None:
    """Refuse a name that no page and no directory can hold; a table of one's own may have anything in its cells."""
    for name in (target.country, target.code):
        if len(name) > 100 or legible(name) != name or "\n" in name:
            raise UserError(
                f"Target set '{target.target_set}' names a country {shown(name)}; expected at most 100 characters in "
                "one line, without control characters."
            )


def _check_wordings(instrument: Instrument, spec: RunSpec) -> None:
    """Say what to do where the protocol's own formats have wordings that an instrument lacks."""
    for role in ROLES:
        for form in spec.formats(role) if getattr(spec, f"{role}_formats") is None else ():
            there = instrument.variants(form.language)
            if form.variant >= there:
                raise UserError(
                    f"The {spec.protocol} protocol asks in wording {form.variant}; instrument '{instrument.id}' has "
                    f"wordings 0 to {there - 1} in language '{form.language}'; name formats that it has with "
                    "--train-formats, --heldout-formats and --validation-formats ('' for none)."
                )


def _check_heldout_items(instrument: Instrument, target: Float[np.ndarray, "dims"], spec: RunSpec) -> None:
    ids = instrument.item_ids
    for item in spec.heldout_items:
        if item not in ids:
            raise UserError(
                f"Instrument '{instrument.id}' has no item '{item}'{nearest(item, ids)}; "
                "hold out items by their ids, like --heldout-items m04,m12."
            )
    left = instrument.weights(mas25=spec.mas25)[:, ~np.isin(ids, spec.heldout_items)]
    for dimension, weights, wanted in zip(instrument.dimension_ids, left, target, strict=True):
        if not np.isnan(wanted) and not weights.any():
            raise UserError(
                f"With these items held out, no item of dimension '{dimension}' is left to search with; hold out fewer."
            )


def named_files(spec: RunSpec) -> dict[str, str]:
    """The sha256 of every file that the spec names, by the setting that names it."""
    names = {"instrument": spec.instrument, "wording": spec.wording, "targets": spec.targets}
    paths = {key: user_path(name) for key, name in names.items() if name is not None}
    if spec.warm_start is not None:
        paths["warm_start"] = prompt_file(user_path(spec.warm_start))
    return {key: sha256_of(path) for key, path in paths.items() if path.is_file()}


def made_with(spec: RunSpec, respondent: Respondent, method: str | None = None) -> dict[str, Any]:
    """Everything besides the settings that decides the numbers: a run may only go on with the same."""
    return {
        "acculturate": VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "method": method or method_name(spec.optimizer),
        "model_identity": respondent.identity,
        "files": named_files(spec),
    }


def check_window(task: Task, respondent: Respondent) -> None:
    """Refuse, before a search, formats whose questions the model cannot read whole when all of them are measured."""
    spec = task.spec
    sequences = respondent.sequences(task.everything, spec.slot, Context())
    respondent.check_window(sequences, spec.tokens)
    if spec.sampled:
        respondent.check_window(sequences, spec.tokens + Sampling().max_new_tokens, "its soft prompt and a reply")


def searched_survey(task: Task, role: str, untuned: Callable[[], Response]) -> Survey:
    """What a search minimises on the trained formats, and what has a half in choosing the winner on validation formats.

    The survey's loss and the penalty on lost answer mass; training adds the anchor, which is no distance but a help
    on the way. ``untuned``: the answers without a prompt, asked for where a term needs them.
    """
    asked, spec = task.questionnaires[role], task.spec
    assert asked is not None
    survey = task.survey(asked)
    anchor = spec.anchor if role == "train" else 0.0
    if not (anchor or spec.lost_mass_penalty):
        return survey
    answers = untuned()
    return replace(
        survey,
        anchor=anchor,
        reference=answers.logprobs,
        mass_penalty=spec.lost_mass_penalty,
        reference_mass=answers.mass,
    )


def searched(task: Task, respondent: Respondent, role: str) -> Objective:
    """What a search minimises on the formats of a role; the untuned model is asked once, where anything needs it."""
    asked = task.questionnaires[role]
    assert asked is not None
    untuned = cache(lambda: Interview(respondent, asked).ask())
    return objective(task, respondent, role, searched_survey(task, role, untuned), untuned)


def validation(task: Task, respondent: Respondent) -> Callable[[np.ndarray], float] | None:
    """The loss of a prompt on the formats that have a half in choosing the winner; None where there are none."""
    asked = task.questionnaires["validation"]
    if asked is None:
        return None
    evaluate = searched(task, respondent, "validation")
    return lambda prompts: evaluate(prompts)[0].loss


def interview(respondent: Respondent, asked: Questionnaire, spec: RunSpec) -> Interview:
    """The questionnaire, put with a soft prompt of the size and in the slot of this spec."""
    return Interview(respondent, asked, slot=spec.slot, n_tokens=spec.tokens, rows=spec.rows)


def objective(
    task: Task, respondent: Respondent, role: str, survey: Survey, untuned: Callable[[], Response] | None = None
) -> Objective:
    """Evaluates prompts on one role's formats; the untuned model answers the items that are held out.

    ``untuned``: its answers on these formats, where they are at hand.
    """
    spec, asked = task.spec, task.questionnaires[role]
    assert asked is not None
    if not spec.heldout_items:
        return Objective(interview(respondent, asked, spec), survey)
    ids = asked.instrument.item_ids
    places = tuple(place for place, item in enumerate(ids) if item not in spec.heldout_items)
    answers = untuned() if untuned is not None else Interview(respondent, asked).ask()
    return Objective(interview(respondent, without(asked, spec.heldout_items), spec), survey, Unasked(answers, places))


def space_of(respondent: Respondent, spec: RunSpec, population: Float[np.ndarray, "n tokens hidden"]) -> Space:
    """Offsets around the text where there is one, else around zero or, in a projection, the population's mean."""
    if spec.begins in ("text", "blank") or spec.warm_start:
        anchor = population[0]
    else:
        anchor = population.mean(axis=0) if spec.space == "projection" else np.zeros_like(population[0])
    return space_around(respondent, spec, anchor)


def space_around(respondent: Respondent, spec: RunSpec, anchor: Float[np.ndarray, "tokens hidden"]) -> Space:
    """The space of a run; what a direction in it means does not depend on the anchor."""
    if spec.space == "full":
        return Full(anchor, respondent.unit)
    return Projection(anchor, respondent.unit, spec.projection_dim, spec.seed)


def in_float32(respondent: Respondent) -> Respondent:
    """The same model in float32, in which everything reported is measured (a quantised one stays as it is)."""
    if respondent.model.dtype == torch.float32 or respondent.choice.quantize != "none":
        return respondent
    # Whoever still holds the old one holds no memory with it: both together may not fit.
    cast(Any, respondent.model).to("meta")
    gc.collect()
    return Respondent(replace(respondent.choice, dtype="float32"))
