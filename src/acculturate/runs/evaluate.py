"""Evaluation beyond the survey: a model on tasks with right answers, without and with a soft prompt."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from acculturate.errors import SettingError, setting
from acculturate.files.checksums import SUMS
from acculturate.files.whole_file import write_whole
from acculturate.judge.evaluation_records import Evaluation, PromptShown, TaskRecord
from acculturate.judge.evaluation_words import evaluation_sentences, survey_moved
from acculturate.judge.fluency import fluency
from acculturate.judge.knowledge import measures
from acculturate.judge.records import ModelIdentity
from acculturate.knowledge.catalog import load_task
from acculturate.knowledge.specimens import FLUENCY, Specimen, specimens
from acculturate.knowledge.task import Task, part_of_task
from acculturate.legible import shown
from acculturate.model.answer_kind import AnswerKind, answers_of
from acculturate.model.answers.tasks import TaskAnswers, Watch, answer, read_as
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import precision_name
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, check_fits, read_prompt
from acculturate.report.run_page import write_report
from acculturate.runs.finished import RESULT, read_record, read_result, write_last
from acculturate.runs.model_again import WHERE_IT_WAS, ModelNow, model_again
from acculturate.runs.spec import make_spec
from acculturate.version import VERSION

FOLDER = "evaluation"
"""Where an evaluation stands in the directory of its run."""

EVALUATION, ANSWERS = "evaluation.json", "answers.parquet"
_OURS = {EVALUATION, ANSWERS, SUMS}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Hold an evaluation: its ``record``, and ``answers`` with a row for each question and respondent.

    Columns of ``answers``: ``task``, ``respondent`` (untuned or tuned), ``question``, ``country``, ``topic``,
    ``cluster``, ``chosen`` and ``right`` (places of options from 0), ``probabilities`` and ``mass`` (0..1).
    """

    record: Evaluation
    answers: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return all figures: a row for each task, measure and group, with intervals, ``p`` and ``visible``."""
        rows = [
            {"task": task.name, "measure": measure.id, **group.to_json()}
            for task in self.record.tasks
            for measure in task.measures
            for group in measure.groups
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        columns = ["task", "measure", "group", "questions", "untuned", "tuned", "p"]
        shown = self.to_frame().reindex(columns=columns)
        return f"<p><b>Evaluation</b></p>{shown.to_html(float_format='%.3f', index=False, escape=True)}"

    def save(self, folder: str | Path) -> None:
        """Write the figures, the answers and their checksums into a folder, which is made where there is none.

        An earlier evaluation there is replaced. Raises ``UserError`` for a folder that holds anything else.
        """
        path = evaluation_folder(folder)
        # What is half replaced is no evaluation: whoever reads it meanwhile finds none.
        (path / EVALUATION).unlink(missing_ok=True)
        table = io.BytesIO()
        self.answers.to_parquet(table, index=False)
        write_whole(path / ANSWERS, table.getvalue())
        write_last(path, EVALUATION, self.record, beside=(ANSWERS,))


def evaluation_folder(folder: str | Path) -> Path:
    """Make a folder for an evaluation, or find one; ``UserError`` where nothing can be written, or other files stand.

    Asked before anything else: hours of answers should not end here.
    """
    path = Path(folder)
    if not str(folder).strip():
        raise SettingError("There is no directory for the evaluation; name one with its `out`.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = sorted(
            one.name for one in path.iterdir() if one.name.strip(".").removesuffix(".partial") not in _OURS
        )
    except OSError as error:
        raise SettingError(
            f"The evaluation cannot be written to '{path}' ({error.strerror}); name another directory with `out`."
        ) from None
    if foreign:
        raise SettingError(
            f"'{path}' holds other files ({foreign[0]}); name a new directory for the evaluation with `out`."
        )
    if not os.access(path, os.W_OK):
        raise SettingError(f"Nothing can be written to '{path}'; name another directory with `out`.")
    return path


def evaluate(
    respondent: Respondent,
    tasks: Sequence[Task],
    *,
    prompt: SoftPrompt | None = None,
    prompt_from: str = "",
    answers: str = AnswerKind.PROBABILITIES,
    writing: Sequence[Specimen] = (),
    moved: Mapping[str, float] | None = None,
    watch: Watch = lambda *_: None,
) -> Evaluated:
    """Ask a model the questions of tasks, without and with a soft prompt.

    Parameters
    ----------
    respondent
        The model.
    tasks
        What is asked.
    prompt, prompt_from
        The soft prompt, and how to name it; None for the untuned model alone.
    answers
        How answers are read; generated text is not.
    writing
        Requests with good replies, to see how fluently the model writes; none to leave that out.
    moved
        Points by which the prompt moves each dimension of the survey, to compare recommendations with.
    watch
        Is told how far it is.

    Returns
    -------
    Evaluated
        All figures, and every answer.

    Raises
    ------
    UserError
        Where a question does not fit the model, or the prompt was made for a wider or narrower one.
    """
    way = way_of(answers)
    note = None if prompt is None else check_fits(prompt, respondent.identity, respondent.hidden)
    measured = [_measured(respondent, task, read_as(way, task.kind), prompt, watch) for task in tasks]
    found = Evaluation(
        version=VERSION,
        model=ModelIdentity(respondent.identity),
        precision=precision_name(respondent.model),
        prompt=None if prompt is None else _shown(prompt, prompt_from),
        tasks=tuple(record for record, _ in measured),
        fluency=fluency(respondent, writing, prompt, watch=watch) if writing else None,
        notes=(note,) if note else (),
    )
    found = found.model_copy(update={"sentences": tuple(evaluation_sentences(found, moved))})
    rows = [table for _, table in measured]
    return Evaluated(found, pd.concat(rows, ignore_index=True) if rows else pd.DataFrame())


def _measured(
    respondent: Respondent, task: Task, way: AnswerKind, prompt: SoftPrompt | None, watch: Watch
) -> tuple[TaskRecord, pd.DataFrame]:
    """Ask one task, without and with a prompt: its figures, and its answers as a table."""
    if prompt is None:
        (untuned,) = answer(respondent, task, way, watch=watch)
        return _record(task, way, untuned, None), _rows(task, untuned, "untuned")
    untuned, tuned = answer(respondent, task, way, (None, prompt), watch=watch)
    rows = pd.concat([_rows(task, untuned, "untuned"), _rows(task, tuned, "tuned")], ignore_index=True)
    return _record(task, way, untuned, tuned), rows


def tasks_of(
    tasks: str | Task | Sequence[str | Task], *, limit: int | None = None, countries: Sequence[str] = ()
) -> tuple[list[Task], tuple[Specimen, ...]]:
    """Load tasks by their names, and the requests of ``fluency`` where it is among them.

    Parameters
    ----------
    tasks
        One or several tasks, or names as ``knowledge.catalog.load_task`` takes them.
    limit, countries
        Questions of each task at most, and whom they are about (``knowledge.task.part_of_task``).

    Raises
    ------
    UserError
        For a task that is unknown or cannot be read.
    """
    named = [tasks] if isinstance(tasks, str | Task) else list(tasks)
    twice = [one for k, one in enumerate(named) if one in named[:k]]
    if twice:
        raise SettingError(f"The task {shown(str(twice[0]))} is named twice; name it once.")
    chosen = [one if isinstance(one, Task) else load_task(one) for one in named if one != FLUENCY]
    parts = [part_of_task(one, limit=limit, countries=countries) for one in chosen]
    return parts, specimens() if FLUENCY in named else ()


def evaluate_run(
    run: Path,
    tasks: Sequence[Task],
    *,
    answers: str | None = None,
    writing: Sequence[Specimen] = (),
    out: Path | None = None,
    device: str | None = None,
    model: ModelNow = WHERE_IT_WAS,
    watch: Watch = lambda *_: None,
) -> Evaluated:
    """Evaluate the prompt of a finished run on tasks, beside its model without it, and write it down.

    Parameters
    ----------
    run
        Directory of a finished run with one prompt.
    tasks, writing, watch
        As in ``evaluate``.
    answers
        How answers are read; by default as the run's survey was answered.
    out
        Where to write figures and answers; by default in the run, whose report then shows them.
    device
        Where to compute; by default as the run did.
    model
        Where the run's model is now.

    Raises
    ------
    UserError
        Where there is no such run, or its model has changed since.
    """
    result = read_result(run, ", or a model and a prompt")
    folder = evaluation_folder(run / FOLDER if out is None else out)
    prompt = read_prompt(run)
    spec = make_spec(result.spec, f"'{run / RESULT}'")
    chosen = answers or spec.answer.weighed
    way_of(chosen)
    choice = replace(model.of(spec.choice), device=device or spec.device)
    respondent = model_again(run, choice, result)
    found = evaluate(
        respondent,
        tasks,
        prompt=prompt,
        prompt_from=run.resolve().name,
        answers=chosen,
        writing=writing,
        moved=survey_moved(result),
        watch=watch,
    )
    found.save(folder)
    if out is None:
        write_report(run, result, found.record)
    return found


def evaluate_model(
    choice: ModelChoice,
    tasks: Sequence[Task],
    *,
    prompt: Path | None = None,
    answers: str | None = None,
    writing: Sequence[Specimen] = (),
    out: Path | None = None,
    watch: Watch = lambda *_: None,
) -> Evaluated:
    """Load a model and evaluate it on tasks, without and with the soft prompt of a file; as ``evaluate``.

    ``out``: where to write figures and answers; None for nowhere.
    """
    folder = None if out is None else evaluation_folder(out)
    way = way_of(answers or AnswerKind.PROBABILITIES)
    soft, name = (None, "") if prompt is None else (read_prompt(prompt), prompt.name)
    respondent = Respondent(choice)
    found = evaluate(respondent, tasks, prompt=soft, prompt_from=name, answers=way, writing=writing, watch=watch)
    if folder is not None:
        found.save(folder)
    return found


def evaluation_of(run: Path) -> Evaluation | None:
    """Read the evaluation of a run; None where it was not evaluated."""
    file = run / FOLDER / EVALUATION
    return read_record(file, Evaluation) if file.is_file() else None


def way_of(answers: str) -> AnswerKind:
    """Find how answers are read; ``UserError`` for generated text, of which a task makes no use."""
    way = answers_of(answers)
    if way is AnswerKind.SAMPLED:
        others = ", ".join(kind for kind in AnswerKind if kind is not AnswerKind.SAMPLED)
        raise SettingError(
            f"{setting('answers', 'sampled')} generates text, and a task weighs its options; choose one of {others}."
        )
    return way


def _record(task: Task, way: AnswerKind, untuned: TaskAnswers, tuned: TaskAnswers | None) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        title=task.title,
        kind=task.kind,
        answers=way,
        questions=len(task.questions),
        licence=task.licence,
        citation=task.citation,
        source=task.source,
        checksum=task.checksum,
        notes=task.notes,
        mass=float(untuned.mass.mean()),
        mass_tuned=None if tuned is None else float(tuned.mass.mean()),
        measures=measures(task, untuned.shares, None if tuned is None else tuned.shares),
    )


def _rows(task: Task, answered: TaskAnswers, who: str) -> pd.DataFrame:
    """Tabulate what was answered to every question."""
    options = [len(question.options) for question in task.questions]
    chosen = np.nanargmax(answered.shares, axis=1)
    right = [question.right for question in task.questions]
    return pd.DataFrame(
        {
            "task": task.name,
            "respondent": who,
            "question": [question.id for question in task.questions],
            "country": [question.country for question in task.questions],
            "topic": [question.topic for question in task.questions],
            "cluster": [question.cluster for question in task.questions],
            "chosen": chosen,
            "right": pd.array(right, dtype="Int64"),
            "probabilities": [row[:n].tolist() for row, n in zip(answered.shares, options, strict=True)],
            "mass": answered.mass,
        }
    )


def _shown(prompt: SoftPrompt, source: str) -> PromptShown:
    checksum = hashlib.sha256(np.ascontiguousarray(prompt.vectors, dtype=np.float32).tobytes()).hexdigest()
    return PromptShown(source=source, tokens=len(prompt.vectors), slot=prompt.slot, checksum=checksum)
