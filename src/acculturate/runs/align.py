"""The main job: find a soft prompt that brings a model's survey scores to a country's, and judge it honestly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from acculturate.files.run_directory import RunDirectory
from acculturate.judge.audit import short_audit
from acculturate.judge.result import result_of
from acculturate.judge.verdict import search_record
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import FILE, SoftPrompt, write_prompt
from acculturate.runs.finished import RESULT, Result, finish, finished
from acculturate.runs.provenance import in_float32, made_with, named_files
from acculturate.runs.resolve import Prepared, delivered, prepare, space_of
from acculturate.runs.spec import RunSpec, to_json
from acculturate.search.history import EVALUATIONS, write_evaluations
from acculturate.search.loop import Progress, Search, Watch, silent
from acculturate.search.methods import method_name
from acculturate.search.objective import search_objective, validation_loss
from acculturate.search.starts import starting_prompts
from acculturate.survey.formats import Role

BESIDE = (FILE, EVALUATIONS)
"""What a finished run has beside its result."""


def align(spec: RunSpec, out: Path, watch: Watch = silent) -> dict[str, Any]:
    """Run, or go on with, the search that ``spec`` describes in directory ``out``; returns what result.json holds.

    A finished run is returned as it is, and nothing is written. Raises ``UserError`` for every mistake in the spec or
    the directory.
    """
    prepared = prepare(spec)
    record = to_json(spec)
    directory = RunDirectory(out)
    files = {"files": named_files(spec)}
    if (done := finished(directory, record | files, RESULT, Result, beside=BESIDE)) is not None:
        return done
    # Everything that can go wrong with the model goes wrong here, before the directory is made.
    watch("loading the model", None)
    respondent = Respondent(spec.choice)
    prepared.check_window(respondent)
    watch("laying out the questionnaire", None)
    ready = Ready(prepared, respondent)
    watch("auditing the model", None)
    found = short_audit(respondent, prepared.problem.instrument)
    watch(f"audit: {found.verdict}", None)
    with directory.claimed(record | made_with(spec, respondent)):
        watch("searching", None)
        progress = ready.search.run(ready.start, spec.seed, directory, lambda p: watch("searching", p))
        prompt = ready.prompt(progress)
        dtype, rows = str(respondent.model.dtype).removeprefix("torch."), ready.rows
        del ready
        watch("measuring in float32", None)
        before, respondent = respondent.model.dtype, in_float32(respondent)
        if respondent.model.dtype != before:  # what is reported is measured in float32, the audit included
            found = short_audit(respondent, prepared.problem.instrument)
        search = search_record(directory.lines(), optimizer=method_name(spec.optimizer), dtype=dtype, rows=rows)
        result = result_of(delivered(prepared, prompt, search, found), respondent, watch)
        write_evaluations(directory)
        write_prompt(out / FILE, prompt)
        return finish(directory, RESULT, result, beside=BESIDE)


class Ready:
    """A problem with its model: ``search`` and the population to ``start`` it from, as points of its space."""

    def __init__(self, prepared: Prepared, respondent: Respondent) -> None:
        spec, problem = prepared.spec, prepared.problem
        self._slot, self._identity = spec.slot, respondent.identity
        evaluate = search_objective(problem, respondent, Role.TRAIN)
        optimizer = prepared.optimizer(evaluate.survey)
        population = starting_prompts(respondent, prepared.start, problem.target)
        self.space = space_of(respondent, spec, population)
        self.start = self.space.encode(population)
        self._interview = evaluate.interview
        self.search = Search(evaluate, self.space, optimizer, spec.budget, validation_loss(problem, respondent))
        # A method that refuses this space (full CMA-ES) says so now.
        optimizer.init(self.start, spec.seed)

    @property
    def rows(self) -> int:
        """Candidates per forward pass, as many as memory turned out to hold."""
        return self._interview.rows

    def prompt(self, progress: Progress) -> SoftPrompt:
        vectors = self.space.decode(progress.winner_x[None])[0].astype(np.float32)
        return SoftPrompt(vectors, self._slot, self._identity)
