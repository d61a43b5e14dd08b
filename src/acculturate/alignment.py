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
from acculturate.chance import Chance, chance, sample_size
from acculturate.datafile import nearest
from acculturate.errors import UserError
from acculturate.formats import Questionnaire, questionnaire, without
from acculturate.instruments import Instrument, load_instrument
from acculturate.journal import RunDirectory, dump_json, read_json, write_whole
from acculturate.loading import sha256_of
from acculturate.methods import make_optimizer, method_name
from acculturate.objective import Objective, Unasked, survey_of
from acculturate.optimizers import Optimizer
from acculturate.prompts import FILE, SoftPrompt, write_prompt
from acculturate.respondent import Interview, Respondent
from acculturate.results import LIMITS, MATERIAL, Judge, search_record, verdict
from acculturate.sampling import Sampling, sampled_responses
from acculturate.scoring import Response, Survey
from acculturate.search import Progress, Search
from acculturate.spaces import Full, Projection, Space
from acculturate.spec import RunSpec, to_json
from acculturate.starts import earlier_prompt, random_prompts, starting_prompts
from acculturate.targets import Target, explain_missing, find_target
from acculturate.transfer import columns, item_record, item_sentences, transfer_matrix
from acculturate.validity import Scoring
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


def prepare(spec: RunSpec, target: Target | None = None) -> Task:
    """Look up all that a spec names; raises ``UserError`` before anything is loaded or written.

    ``target``: what to reach, in place of the country's scores.
    """
    instrument = load_instrument(spec.instrument, wording=Path(spec.wording) if spec.wording else None)
    target = target or find_target(spec.country, spec.targets, instrument.dimension_ids)
    _check_heldout_items(instrument, target.vector(instrument.dimension_ids), spec)
    asked = {
        role: questionnaire(instrument, spec.formats(role), balanced=spec.balanced) if spec.formats(role) else None
        for role in ("train", "validation", "heldout")
    }
    task = Task(spec, instrument, target, asked)
    task.optimizer()
    earlier_prompt(spec)
    return task


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
    ready = Ready(task, respondent)
    watch("auditing the model", None)
    found = audit(asking(respondent), task.instrument, targets=(), short=True)
    watch(f"audit: {found.verdict}", None)
    with directory.claimed(record | made_with(spec, respondent)):
        watch("searching", None)
        progress = ready.search.run(ready.start, spec.seed, directory, lambda p: watch("searching", p))
        prompt = ready.prompt(progress)
        dtype, rows = str(respondent.model.dtype).removeprefix("torch."), ready.rows
        del ready
        watch("measuring in float32", None)
        searched, respondent = respondent.model.dtype, in_float32(respondent)
        if respondent.model.dtype != searched:  # what is reported is measured in float32, the audit included
            found = audit(asking(respondent), task.instrument, targets=(), short=True)
        search = search_record(directory.lines(), optimizer=method_name(spec.optimizer), dtype=dtype, rows=rows)
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


class Ready:
    """A task with its model: ``search`` and the population to ``start`` it from, as points of its space."""

    def __init__(self, task: Task, respondent: Respondent) -> None:
        spec = task.spec
        self._slot, self._identity = spec.slot, respondent.identity
        asked = task.questionnaires["train"]
        assert asked is not None
        survey = searched_survey(task, "train", lambda: Interview(respondent, asked).ask())
        optimizer = task.optimizer(survey)
        population = starting_prompts(respondent, spec, task.target)
        self.space = space_of(respondent, spec, population)
        self.start = self.space.encode(population)
        evaluate = objective(task, respondent, "train", survey)
        self._interview = evaluate.interview
        self.search = Search(evaluate, self.space, optimizer, spec.budget, validation(task, respondent))
        # A method that refuses this space (full CMA-ES) says so now.
        optimizer.init(self.start, spec.seed)

    @property
    def rows(self) -> int:
        """Candidates per forward pass, as many as memory turned out to hold."""
        return self._interview.rows

    def prompt(self, progress: Progress) -> SoftPrompt:
        vectors = self.space.decode(progress.winner_x[None])[0].astype(np.float32)
        return SoftPrompt(vectors, self._slot, self._identity)


def searched_survey(task: Task, role: str, untuned: Callable[[], Response]) -> Survey:
    """What a search minimises on the trained formats, and what chooses the winner on the validation formats.

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


def validation(task: Task, respondent: Respondent) -> Callable[[np.ndarray], float] | None:
    """The loss of a prompt on the formats that choose the winner; None where there are none."""
    asked = task.questionnaires["validation"]
    if asked is None:
        return None
    survey = searched_survey(task, "validation", lambda: Interview(respondent, asked).ask())
    evaluate = objective(task, respondent, "validation", survey)
    return lambda prompts: evaluate(prompts)[0].loss


def interview(respondent: Respondent, asked: Questionnaire, spec: RunSpec) -> Interview:
    """The questionnaire, put with a soft prompt of the size and in the slot of this spec."""
    return Interview(respondent, asked, slot=spec.slot, n_tokens=spec.tokens, rows=spec.rows)


def objective(task: Task, respondent: Respondent, role: str, survey: Survey) -> Objective:
    """Evaluates prompts on one role's formats; the untuned model answers the items that are held out."""
    spec, asked = task.spec, task.questionnaires[role]
    assert asked is not None
    if not spec.heldout_items:
        return Objective(interview(respondent, asked, spec), survey)
    ids = asked.instrument.item_ids
    places = tuple(place for place, item in enumerate(ids) if item not in spec.heldout_items)
    untuned = Unasked(Interview(respondent, asked).ask(), places)
    return Objective(interview(respondent, without(asked, spec.heldout_items), spec), survey, untuned)


def space_of(respondent: Respondent, spec: RunSpec, population: Float[np.ndarray, "n tokens hidden"]) -> Space:
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
    rivals = _random_prompts(task, respondent, prompt)
    ask = interview(respondent, asked, spec)
    rows.append(judge.row("best-random", "Best random prompt", "baseline", ask(rivals.best[None])[0], rivals.note))
    rows.append(judge.row("tuned", "Tuned prompt", "tuned", ask(prompt.vectors[None])[0]))
    scoring = Scoring(judge.survey.weights, judge.survey.constants, judge.survey.target)
    forms = [asked.formats[view[0]] for view in asked.views]
    items = _item_records(task, {row["id"]: row for row in rows}, scoring)
    remarks = [rivals.chance.sentence, *item_sentences(items)]
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
        "rows": rows + (_sampled_rows(task, respondent, prompt) if spec.sampled else []),
        "transfer": transfer_matrix(rows, columns(forms, task.roles), scoring),
        "items": {"heldout": list(spec.heldout_items), "by_role": items},
        "random_prompts": rivals.chance.to_json(),
        "search": search,
        "verdict": verdict(rows, task.target.country, found.warning, remarks),
        "audit": found.to_json(),
        "limits": list(LIMITS),
    }


@dataclass(frozen=True, eq=False)
class _Rivals:
    """The best of some random prompts by its loss on the trained formats, and what they say about more of them."""

    best: Float[np.ndarray, "tokens hidden"]
    chance: Chance
    note: str


def _random_prompts(task: Task, respondent: Respondent, prompt: SoftPrompt) -> _Rivals:
    """Ask random prompts and the tuned one on the trained formats; an anchor, which is no distance, is left out."""
    spec, asked = task.spec, task.questionnaires["train"]
    assert asked is not None
    drawn = random_prompts(respondent, spec, task.target, sample_size(spec.budget))
    evaluate = objective(task, respondent, "train", task.survey(asked))
    *losses, tuned = (e.loss for e in evaluate(np.concatenate([drawn, prompt.vectors[None]])))
    where = "the trained formats" + (" and items" if spec.heldout_items else "")
    found = chance(np.array(losses), spec.budget, tuned, where)
    note = f"The lowest loss on {where} among {found.n} random prompts (start: {spec.start})."
    return _Rivals(drawn[int(np.argmin(losses))], found, note)


def _item_records(task: Task, rows: Mapping[str, Any], scoring: Scoring) -> dict[str, dict[str, Any] | None]:
    """What the tuned prompt's improvement rests on, item by item, on trained and on held-out formats."""
    ids, out = task.instrument.item_ids, {}
    for role in ("train", "heldout"):
        naive, tuned = (
            np.array([view["item_means"] for view in rows[name]["by_view"] if view["role"] == role])
            for name in ("naive", "tuned")
        )
        out[role] = (
            item_record(naive, tuned, scoring, ids, heldout=task.spec.heldout_items, material=MATERIAL)
            if len(naive)
            else None
        )
    return out


def _sampled_rows(task: Task, respondent: Respondent, prompt: SoftPrompt) -> list[dict[str, Any]]:
    """The untuned model and the tuned prompt asked as the paper does, by generated text, on the trained formats."""
    asked, how = task.questionnaires["train"], Sampling()
    assert asked is not None
    judge = Judge(asked, task.survey(asked), ["train"] * len(asked.views))
    rows = []
    for ident, label, vectors in (
        ("naive-sampled", "Untuned model, sampled", None),
        ("tuned-sampled", "Tuned prompt, sampled", prompt.vectors),
    ):
        found = sampled_responses(respondent, asked, slot=task.spec.slot, prompt=vectors, sampling=how)
        row = judge.row(ident, label, "sampled", found.response(), found.note(how))
        rows.append(row | {"invalid_share": found.invalid_share})
    return rows


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
