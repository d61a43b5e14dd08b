"""The main job: find a soft prompt that brings a model's survey scores to a country's, and judge it honestly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.files.run_directory import RunDirectory
from acculturate.judge.audit import Audit
from acculturate.judge.records import Result
from acculturate.judge.result import result_of
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import precision_name
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import FILE, SoftPrompt, write_prompt
from acculturate.runs.finished import RESULT
from acculturate.runs.provenance import is_measured_as_searched, made_with, named_files
from acculturate.runs.records import RunKind
from acculturate.runs.resolve import Prepared, delivered, prepare, space_of
from acculturate.runs.select import select
from acculturate.runs.skeleton import carry_out
from acculturate.runs.spec import RunSpec, to_json
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.fresh import fresh_formats
from acculturate.search.history import EVALUATIONS, SelectionRecord, generations, search_record, write_evaluations
from acculturate.search.loop import Progress, Search
from acculturate.search.methods import method_name
from acculturate.search.objective import search_objective, validation_loss
from acculturate.search.problem import RoleInterviews
from acculturate.search.shortlist import finalists, settle
from acculturate.search.starts import starting_prompts
from acculturate.survey.formats import Role
from acculturate.survey.instrument import Instrument


def align(spec: RunSpec, out: Path, callbacks: Callbacks = SILENT, lent: Respondent | None = None) -> Result:
    """Run, or go on with, the search that ``spec`` describes in directory ``out``.

    A finished run is returned as it is, and nothing is written. Raises ``UserError`` for every mistake in the spec or
    the directory.
    """
    return carry_out(Align(prepare(spec)), out, callbacks, lent)


@dataclass(frozen=True)
class Found:
    """Hold the prompt that a search delivers, with the search's precision and candidates per forward pass.

    ``interviews``: what the search has computed of the questions before the slot; None where measuring is done in
    another precision, for which there may be no room beside it.
    """

    prompt: SoftPrompt
    dtype: str
    rows: int
    interviews: RoleInterviews | None
    selection: SelectionRecord | None = None
    averaged: int | None = None


class Align:
    """Describe a run for one country: one prompt."""

    name, record, shape, beside = RunKind.ALIGN, RESULT, Result, (FILE, EVALUATIONS)

    def __init__(self, prepared: Prepared) -> None:
        self._prepared, self._spec = prepared, prepared.spec

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
        files = named_files(self._spec)
        if (task := self._prepared.selector) is not None:
            files["select_by"] = task.checksum
        return to_json(self._spec) | {"files": files}

    def made_with(self, respondent: Respondent) -> dict[str, Any]:
        return made_with(self._spec, respondent)

    def lay_out(self, respondent: Respondent) -> Ready:
        self._prepared.check_model(respondent)
        return Ready(self._prepared, respondent)

    def measure(
        self, found: Found, respondent: Respondent, audit: Audit | None, directory: RunDirectory, callbacks: Callbacks
    ) -> Result:
        assert audit is not None
        stopped = None if directory.stopped() is None else self._spec.budget
        search = search_record(
            generations(directory),
            optimizer=method_name(self._spec.method),
            dtype=found.dtype,
            rows=found.rows,
            stopped_before=stopped,
            selection=found.selection,
            averaged=found.averaged,
        )
        asked = found.interviews or RoleInterviews(self._prepared.problem, respondent)
        result = result_of(delivered(self._prepared, found.prompt, search, audit), asked, callbacks)
        write_evaluations(directory)
        write_prompt(directory.path / FILE, found.prompt)
        return result


class Ready:
    """Hold a problem with its model: the search loop and the population to ``start`` it from, points of its space."""

    def __init__(self, prepared: Prepared, respondent: Respondent) -> None:
        spec, problem = prepared.spec, prepared.problem
        self._spec, self._respondent, self._selector = spec, respondent, prepared.selector
        self._asked = RoleInterviews(problem, respondent)
        evaluate = search_objective(problem, respondent, Role.TRAIN, self._asked)
        fresh = fresh_formats(problem, evaluate, spec.seed)
        optimizer = prepared.optimizer(evaluate.survey)
        population = starting_prompts(respondent, prepared.start, problem.target)
        self.space = space_of(respondent, spec, population)
        self.start = self.space.encode(population)
        self._interview = evaluate.interview
        validate = validation_loss(problem, respondent, self._asked)
        self.loop = Search(evaluate, self.space, optimizer, spec.budget, validate, fresh)
        # A method that refuses this space (full CMA-ES) says so now.
        optimizer.init(self.start, spec.seed)

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> Found:
        callbacks.stage("searching")
        progress = self.loop.run(self.start, self._spec.seed, directory, callbacks)
        dtype = precision_name(self._respondent.model)
        again = self._asked if is_measured_as_searched(self._respondent) else None
        rows = self._interview.rows
        if self.loop.fresh is not None and self._selector is None:
            callbacks.stage("settling on a prompt")
            settled = settle(self.loop, progress)
            return Found(self._prompt(settled.x), dtype, rows, again, averaged=settled.averaged)
        prompt, selection = self._selected(progress, callbacks)
        return Found(prompt, dtype, rows, again, selection)

    def _selected(self, progress: Progress, callbacks: Callbacks) -> tuple[SoftPrompt, SelectionRecord | None]:
        """Return the winner: by its loss, or by a task among those whose losses are low."""
        if self._selector is None:
            return self.prompt(progress), None
        winner, record = select(
            self._respondent,
            self._selector,
            self._spec.answers,
            finalists(progress),
            lambda one: self._prompt(one.x),
            callbacks.stage,
        )
        return self._prompt(winner.x), record

    def prompt(self, progress: Progress) -> SoftPrompt:
        """Return the candidate with the lowest loss as a soft prompt."""
        return self._prompt(progress.winner_x)

    def _prompt(self, x: Float[np.ndarray, " dim"]) -> SoftPrompt:
        vectors = self.space.decode(x[None])[0].astype(np.float32)
        return SoftPrompt(vectors, self._spec.slot, self._respondent.identity)
