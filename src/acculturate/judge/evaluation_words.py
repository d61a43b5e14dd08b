"""An evaluation in sentences: what the prompt changed beyond the survey, and what could not have been seen."""

from __future__ import annotations

from collections.abc import Mapping

from acculturate.judge.effects import LIKELY
from acculturate.judge.evaluation_records import Evaluation, Fluency, GroupFigures, Measure, TaskRecord
from acculturate.judge.records import Result
from acculturate.knowledge.task import TaskKind
from acculturate.survey.formats import Role

NOTABLE = 1.2
"""Perplexity with the prompt as a multiple of that without it, from which the model writes worse."""


def evaluation_sentences(found: Evaluation, survey_moved: Mapping[str, float] | None = None) -> list[str]:
    """Say what changed with the prompt, task by task; nothing without a prompt.

    ``survey_moved``: points by which the prompt moves each dimension of the survey, to be compared with what the model
    recommends.
    """
    if found.prompt is None:
        return []
    sentences = []
    for task in found.tasks:
        if task.kind == TaskKind.COURSES:
            sentences += _recommendations(task, survey_moved or {})
        elif task.measures:
            first, *others = task.measures
            sentences.append(_change(task, first))
            sentences += [_also(task, one) for one in others if _is_sure(one.whole)]
    if found.fluency is not None:
        sentences += _writing(found.fluency)
    return sentences


def _change(task: TaskRecord, measure: Measure) -> str:
    all_of_it = measure.whole
    unit = " %" if measure.unit == "share" else ""
    before, after = measure.written(all_of_it.untuned), measure.written(all_of_it.tuned)
    sure = "more than chance" if _is_sure(all_of_it) else "within chance"
    seen = ""
    if all_of_it.visible is not None and not _is_sure(all_of_it):
        points = f"of {measure.written(all_of_it.visible)}{' points' if measure.unit == 'share' else ''}"
        seen = f"; the test finds a difference {points} in four of five cases, smaller ones less often"
    return (
        f"{task.title}, {measure.name}: {before}{unit} untuned, {after}{unit} with the prompt "
        f"({_changed(all_of_it)}; {sure}, {written_p(all_of_it.p)}){seen}."
    )


def _also(task: TaskRecord, measure: Measure) -> str:
    """Say what another measure of the same answers shows, where it is more than chance."""
    before, after = measure.written(measure.whole.untuned), measure.written(measure.whole.tuned)
    unit = " %" if measure.unit == "share" else ""
    return (
        f"{task.title}, {measure.name}: {before}{unit} untuned, {after}{unit} with the prompt (more than chance, "
        f"{written_p(measure.whole.p)})."
    )


def _is_sure(group: GroupFigures) -> bool:
    return group.p is not None and group.p <= LIKELY


def written_p(p: float | None) -> str:
    """Write a p as it stands in a sentence."""
    if p is None:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _changed(group: GroupFigures) -> str:
    return f"{group.higher} up and {group.lower} down of {group.questions}"


def _recommendations(task: TaskRecord, survey_moved: Mapping[str, float]) -> list[str]:
    """Compare what the model recommends in scenarios with what the survey says of it, dimension by dimension."""
    groups = [one for one in task.measures[0].groups if one.group and one.change is not None]
    parts = [f"{one.group.upper()} {100 * (one.change or 0.0):+.1f}" for one in groups]
    said = [f"{task.title}, probability of the course at the high pole, in points: {', '.join(parts)}."]
    both = [(one, survey_moved[one.group]) for one in groups if survey_moved.get(one.group)]
    if both:
        alike = sum((one.change or 0.0) * moved > 0 for one, moved in both)
        sure = sum((one.change or 0.0) * moved > 0 and _is_sure(one) for one, moved in both)
        said.append(
            f"Its advice moves in the direction of its survey scores in {alike} of {len(both)} dimensions (a coin "
            f"would give {len(both) / 2:g}); in {sure or 'none'} of them by more than chance."
        )
    return said


def _writing(found: Fluency) -> list[str]:
    if found.tuned is None:
        return []
    before, after = found.untuned, found.tuned
    said = [
        f"Perplexity of good replies: {before.perplexity:.1f} untuned, {after.perplexity:.1f} with the prompt; "
        f"{100 * (found.same or 0.0):.0f} % of {found.requests} short replies stay the same word by word."
    ]
    if after.perplexity > NOTABLE * before.perplexity:
        said.append("With the prompt the model writes noticeably worse than without it.")
    for was, now, words in (
        (before.empty, after.empty, "are empty"),
        (before.repeating, after.repeating, "repeat themselves"),
        (before.refusing, after.refusing, "refuse"),
        (before.foreign, after.foreign, "are largely in other letters"),
    ):
        if now > was:
            said.append(f"{100 * now:.0f} % of its replies {words}, untuned {100 * was:.0f} %.")
    return said


def survey_moved(result: Result) -> Mapping[str, float]:
    """Compute by how many points the prompt moves each score of the survey, on held-out formats where there are any."""
    for role in (Role.HELDOUT, Role.TRAIN):
        before, after = result.untuned.on(role), result.tuned.on(role)
        if before is not None and after is not None:
            return {
                name.lower(): now - score
                for name, score in before.scores.items()
                if score is not None and (now := after.scores.get(name)) is not None
            }
    return {}
