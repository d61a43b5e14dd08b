"""The main job: find a soft prompt that brings a model's survey scores to a country's, and judge it honestly."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from jaxtyping import Float

from acculturate.audit import Audit, asking, audit
from acculturate.baselines import baseline_responses
from acculturate.formats import Questionnaire, questionnaire
from acculturate.instruments import Instrument, load_instrument
from acculturate.journal import RunDirectory, dump_json, read_json, write_whole
from acculturate.loading import sha256_of
from acculturate.methods import make_optimizer, method_name
from acculturate.objective import Objective, survey_of
from acculturate.prompts import FILE, SoftPrompt, write_prompt
from acculturate.respondent import Interview, Respondent
from acculturate.results import LIMITS, Judge, search_record, verdict
from acculturate.scoring import Survey
from acculturate.search import Progress, Search
from acculturate.spaces import Full, Projection, Space
from acculturate.spec import RunSpec, to_json
from acculturate.starts import starting_prompts
from acculturate.targets import Target, explain_missing, find_target
from acculturate.version import VERSION

Watch = Callable[[str, Progress | None], None]
"""Called with what is going on and, during the search, how far it is."""


def _silent(stage: str, progress: Progress | None) -> None:
    pass


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
        forms = [form for role in ("train", "validation", "heldout") for form in self.spec.formats(role)]
        return questionnaire(self.instrument, forms, balanced=self.spec.balanced)

    @property
    def roles(self) -> list[str]:
        """The role of every view of ``everything``."""
        return [
            role
            for role in ("train", "validation", "heldout")
            for asked in [self.questionnaires[role]]
            if asked is not None
            for _ in asked.views
        ]

    def survey(self, asked: Questionnaire) -> Survey:
        return survey_of(asked, self.target, constant=self.spec.constant, mas25=self.spec.mas25)


def prepare(spec: RunSpec, target: Target | None = None) -> Task:
    """Look up all that a spec names; raises ``UserError`` before anything is loaded or written.

    ``target``: what to reach, in place of the country's scores.
    """
    instrument = load_instrument(spec.instrument, wording=Path(spec.wording) if spec.wording else None)
    target = target or find_target(spec.country, spec.targets)
    target.vector(instrument.dimension_ids)
    asked = {
        role: questionnaire(instrument, spec.formats(role), balanced=spec.balanced) if spec.formats(role) else None
        for role in ("train", "validation", "heldout")
    }
    return Task(spec, instrument, target, asked)


def align(spec: RunSpec, out: Path, watch: Watch = _silent) -> dict[str, Any]:
    """Run, or go on with, the search that ``spec`` describes in directory ``out``; returns what result.json holds.

    A finished run is returned as it is. Raises ``UserError`` for every mistake in the spec or the directory.
    """
    task = prepare(spec)
    record = to_json(spec)
    directory = RunDirectory(out)
    directory.check(record | {"files": named_files(spec)})
    if (out / "result.json").exists():
        return read_json(out / "result.json")
    # Everything that can go wrong with the model goes wrong here, before the directory is made.
    watch("loading the model", None)
    respondent = Respondent(spec.choice)
    watch("laying out the questionnaire", None)
    ready = _Ready(task, respondent)
    watch("auditing the model", None)
    found = audit(asking(respondent), task.instrument, targets=(), short=True)
    watch(f"audit: {found.verdict}", None)
    with directory.claimed(record | made_with(spec, respondent)):
        watch("searching", None)
        progress = ready.search.run(ready.start, spec.seed, directory, lambda p: watch("searching", p))
        prompt = ready.prompt(progress)
        dtype = str(respondent.model.dtype).removeprefix("torch.")
        del ready
        watch("measuring in float32", None)
        searched, respondent = respondent.model.dtype, in_float32(respondent)
        if respondent.model.dtype != searched:  # what is reported is measured in float32, the audit included
            found = audit(asking(respondent), task.instrument, targets=(), short=True)
        search = search_record(directory.lines(), method_name(spec.optimizer), dtype)
        result = _result(task, respondent, prompt, search=search, found=found)
        write_evaluations(directory)
        write_prompt(out / FILE, prompt)
        write_whole(out / "result.json", dump_json(result))
        return read_json(out / "result.json")


def named_files(spec: RunSpec) -> dict[str, str]:
    """The sha256 of every file that the spec names, by the setting that names it."""
    names = {"instrument": spec.instrument, "wording": spec.wording, "targets": spec.targets}
    paths = {key: Path(name).expanduser() for key, name in names.items() if name is not None}
    if spec.warm_start is not None:
        given = Path(spec.warm_start).expanduser()
        paths["warm_start"] = given / FILE if given.is_dir() else given
    return {key: sha256_of(path) for key, path in paths.items() if path.is_file()}


def made_with(spec: RunSpec, respondent: Respondent) -> dict[str, Any]:
    """Everything besides the settings that decides the numbers: a run may only go on with the same."""
    return {
        "acculturate": VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "method": method_name(spec.optimizer),
        "model_identity": respondent.identity,
        "files": named_files(spec),
    }


class _Ready:
    """A task with its model: everything the search loop needs."""

    def __init__(self, task: Task, respondent: Respondent) -> None:
        spec = task.spec
        self._slot, self._identity = spec.slot, respondent.identity
        asked = task.questionnaires["train"]
        assert asked is not None
        survey = training_survey(task, respondent)
        optimizer = make_optimizer(spec.optimizer, spec.optimizer_options, survey=survey, budget=spec.budget)
        population = starting_prompts(respondent, spec, task.target)
        self.space = _space(respondent, spec, population)
        self.start = self.space.encode(population)
        evaluate = Objective(interview(respondent, asked, spec), survey)
        self.search = Search(evaluate, self.space, optimizer, spec.budget, validation(task, respondent))
        # A method that refuses this space (full CMA-ES) says so now.
        optimizer.init(self.start, spec.seed)

    def prompt(self, progress: Progress) -> SoftPrompt:
        vectors = self.space.decode(progress.winner_x[None])[0].astype(np.float32)
        return SoftPrompt(vectors, self._slot, self._identity)


def training_survey(task: Task, respondent: Respondent) -> Survey:
    """The arithmetic of the loss that a search minimises, its anchor included."""
    asked = task.questionnaires["train"]
    assert asked is not None
    survey = task.survey(asked)
    if not task.spec.anchor:
        return survey
    return replace(survey, anchor=task.spec.anchor, reference=Interview(respondent, asked).ask().logprobs)


def validation(task: Task, respondent: Respondent) -> Callable[[np.ndarray], float] | None:
    """The loss of a prompt on the formats that choose the winner; None where there are none."""
    asked = task.questionnaires["validation"]
    if asked is None:
        return None
    evaluate = Objective(interview(respondent, asked, task.spec), task.survey(asked))
    return lambda prompts: evaluate(prompts)[0].loss


def interview(respondent: Respondent, asked: Questionnaire, spec: RunSpec) -> Interview:
    """The questionnaire, put with a soft prompt of the size and in the slot of this spec."""
    return Interview(respondent, asked, slot=spec.slot, n_tokens=spec.tokens, rows=spec.rows)


def _space(respondent: Respondent, spec: RunSpec, population: Float[np.ndarray, "n tokens hidden"]) -> Space:
    """Offsets around the text where there is one, else around zero (the full space) or the population's mean."""
    around = population[0] if spec.start == "text" or spec.warm_start else np.zeros_like(population[0])
    if spec.space == "full":
        return Full(around, respondent.unit)
    if spec.start != "text" and not spec.warm_start:
        around = population.mean(axis=0)
    return Projection(around, respondent.unit, spec.projection_dim, spec.seed)


def in_float32(respondent: Respondent) -> Respondent:
    """The same model in float32, in which everything reported is measured (a quantised one stays as it is)."""
    if respondent.model.dtype == torch.float32 or respondent.choice.quantize != "none":
        return respondent
    choice = replace(respondent.choice, dtype="float32")
    del respondent
    gc.collect()
    return Respondent(choice)


def _result(
    task: Task, respondent: Respondent, prompt: SoftPrompt, *, search: dict[str, Any], found: Audit
) -> dict[str, Any]:
    """Measure the prompt and its rivals on every format and put the record together."""
    spec, asked = task.spec, task.everything
    judge = Judge(asked, task.survey(asked), task.roles)
    rows = [
        judge.row(ident, label, "flat" if ident == "flat" else "baseline", response, note)
        for ident, label, response, note in baseline_responses(respondent, asked, judge.survey, task.target)
    ]
    response = interview(respondent, asked, spec)(prompt.vectors[None])[0]
    rows.append(judge.row("tuned", "Tuned prompt", "tuned", response))
    return {
        "schema": 1,
        "acculturate": VERSION,
        "spec": to_json(spec),
        "model": respondent.identity,
        "target": {
            "country": task.target.country,
            "code": task.target.code,
            "target_set": task.target.target_set,
            "provenance": task.target.provenance,
            "scores": {d: task.target.scores.get(d) for d in task.instrument.dimension_ids},
            "note": explain_missing(task.target),
        },
        "instrument": _described(task),
        "views": [{"name": n, "role": r} for n, r in zip(asked.view_names, task.roles, strict=True)],
        "rows": rows,
        "search": search,
        "verdict": verdict(rows, task.target.country, found.warning),
        "audit": found.to_json(),
        "limits": list(LIMITS),
    }


def _described(task: Task) -> dict[str, Any]:
    """The instrument as a report needs it."""
    instrument, spec = task.instrument, task.spec
    languages = dict.fromkeys(form.language for form in task.everything.formats)
    language = next(iter(languages))
    wordings = [instrument.wording(one) for one in languages]
    return {
        "id": instrument.id,
        "name": instrument.name,
        "version": instrument.version,
        "citation": instrument.citation,
        "constant": spec.constant,
        "mas25": spec.mas25,
        "wordings": [
            {"language": w.language, "name": w.name, "official": w.official, "source": w.source} for w in wordings
        ],
        "dimensions": [
            {"id": d.id, "name": d.name, "low": d.low, "high": d.high, "about": d.about} for d in instrument.dimensions
        ],
        "items": [
            {
                "id": item.id,
                "topic": item.topic,
                "question": instrument.question(item.id, language=language),
                "options": list(instrument.options(item.id, language=language)),
                "values": list(instrument.scales[item.scale].values),
            }
            for item in instrument.items
        ],
    }


def write_evaluations(directory: RunDirectory) -> None:
    """evaluations.parquet: one row per candidate that was evaluated, in order, from the journal."""
    columns: dict[str, list[Any]] = {"generation": [], "index": [], "loss": [], "mass": [], "scores": []}
    for line in directory.lines():
        for index, (loss, mass, scores) in enumerate(zip(line["losses"], line["mass"], line["scores"], strict=True)):
            for name, value in zip(columns, (line["generation"], index, loss, mass, scores), strict=True):
                columns[name].append(value)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_whole(directory.path / "evaluations.parquet", sink.getvalue().to_pybytes())
