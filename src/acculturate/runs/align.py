"""The main job: find a soft prompt that brings a model's survey scores to a country's, and judge it honestly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole
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
from acculturate.search.optimizers.protocol import generator
from acculturate.search.problem import RoleInterviews
from acculturate.search.shortlist import finalists, settle
from acculturate.search.starts import START_STREAM, starting_prompts
from acculturate.search.text_space import TEXT_FILE, Texts
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
    another precision, for which there may be no room beside it. ``text``: the words of the prompt, where it is one.
    """

    prompt: SoftPrompt
    dtype: str
    rows: int
    interviews: RoleInterviews | None
    selection: SelectionRecord | None = None
    averaged: int | None = None
    text: str | None = None


class Align:
    """Describe a run for one country: one prompt."""

    name, record, shape = RunKind.ALIGN, RESULT, Result
    beside: tuple[str, ...] = (FILE, EVALUATIONS)

    def __init__(self, prepared: Prepared) -> None:
        self._prepared, self._spec = prepared, prepared.spec
        if prepared.text_space is not None:
            self.beside = (*self.beside, TEXT_FILE)

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
        prepared = self._prepared
        if found.text is not None:  # only now is it known how long it is
            prepared = replace(prepared, problem=replace(prepared.problem, tokens=len(found.prompt.vectors)))
        asked = found.interviews or RoleInterviews(prepared.problem, respondent)
        result = result_of(delivered(prepared, found.prompt, search, audit), asked, callbacks)
        if found.text is not None:
            result = result.model_copy(update={"text": found.text})
            write_whole(directory.path / TEXT_FILE, f"{found.text}\n".encode())
        write_evaluations(directory)
        write_prompt(directory.path / FILE, found.prompt)
        return result


class Ready:
    """Hold a problem with its model: the search loop and the population to ``start`` it from, points of its space."""

    def __init__(self, prepared: Prepared, respondent: Respondent) -> None:
        spec, problem = prepared.spec, prepared.problem
        self._spec, self._respondent, self._selector = spec, respondent, prepared.selector
        self._texts = prepared.texts(respondent)
        self._asked = RoleInterviews(problem, respondent)
        if self._texts is None:
            self._search_vectors(prepared)
        else:
            self._search_texts(prepared, self._texts)
        self.space = self.loop.space
        # A method that refuses this space (full CMA-ES) says so now.
        self.loop.optimizer.init(self.start, spec.seed)

    def _search_vectors(self, prepared: Prepared) -> None:
        spec, problem, respondent = prepared.spec, prepared.problem, self._respondent
        evaluate = search_objective(problem, respondent, Role.TRAIN, self._asked)
        self._rows = lambda: evaluate.interview.rows
        fresh = fresh_formats(problem, evaluate, spec.seed)
        population = starting_prompts(respondent, prepared.start, problem.target)
        space = space_of(respondent, spec, population)
        self.start = space.encode(population)
        validate = validation_loss(problem, respondent, self._asked)
        self.loop = Search(evaluate, space, prepared.optimizer(evaluate.survey), spec.budget, validate, fresh)

    def _search_texts(self, prepared: Prepared, texts: Texts) -> None:
        spec = prepared.spec
        self._rows = lambda: spec.rows
        evaluate, validation = texts.objective(Role.TRAIN), texts.objective(Role.VALIDATION)
        assert evaluate is not None
        validate = None if validation is None else lambda keys: validation(keys)[0].loss
        self.start = texts.space.drawn(spec.population, generator(spec.seed, START_STREAM))
        self.loop = Search(evaluate, texts.space, prepared.optimizer(evaluate.survey), spec.budget, validate)

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> Found:
        callbacks.stage("searching")
        progress = self.loop.run(self.start, self._spec.seed, directory, callbacks)
        dtype = precision_name(self._respondent.model)
        again = self._asked if is_measured_as_searched(self._respondent) and self._texts is None else None
        if self.loop.fresh is not None and self._selector is None:
            callbacks.stage("settling on a prompt")
            settled = settle(self.loop, progress)
            return Found(self._prompt(settled.x), dtype, self._rows(), again, averaged=settled.averaged)
        x, selection = self._selected(progress, callbacks)
        text = None if self._texts is None else self._texts.space.words(x)
        return Found(self._prompt(x), dtype, self._rows(), again, selection, text=text)

    def _selected(
        self, progress: Progress, callbacks: Callbacks
    ) -> tuple[Float[np.ndarray, " dim"], SelectionRecord | None]:
        """Return the winner: by its loss, or by a task among those whose losses are low."""
        if self._selector is None:
            return progress.winner_x, None
        winner, record = select(
            self._respondent,
            self._selector,
            self._spec.answers,
            finalists(progress),
            lambda one: self._prompt(one.x),
            callbacks.stage,
        )
        return winner.x, record

    def prompt(self, progress: Progress) -> SoftPrompt:
        """Return the candidate with the lowest loss as a soft prompt."""
        return self._prompt(progress.winner_x)

    def _prompt(self, x: Float[np.ndarray, " dim"]) -> SoftPrompt:
        if self._texts is None:
            vectors = self.space.decode(x[None])[0].astype(np.float32)
        else:
            vectors = self._texts.rows(self._texts.space.words(x))
        return SoftPrompt(vectors, self._spec.slot, self._respondent.identity)
