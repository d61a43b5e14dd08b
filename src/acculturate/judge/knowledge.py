"""Figures of a task from a model's answers: accuracy, groups that are all right, distances to opinions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from acculturate.judge.evaluation_records import GroupFigures, Measure
from acculturate.judge.paired import by_cluster, least_visible, paired_p, share_interval
from acculturate.knowledge.task import Question, Task, TaskKind

Shares = Float[np.ndarray, "questions options"]
"""Probability of every option, renormalised over a question's options; NaN beyond its last."""
TIE = 1e-6
"""Difference of two probabilities up to which neither is the greater."""


@dataclass(frozen=True, eq=False)
class _Values:
    """Hold a value for every unit of a measure, and of what it is one.

    ``clusters``: units that share one are averaged. ``groups``: units that share one get figures of their own.
    """

    ident: str
    name: str
    values: Float[np.ndarray, " units"]
    clusters: Shaped[np.ndarray, " units"]
    groups: Shaped[np.ndarray, " units"]
    better: str = "higher"
    chance: float | None = None
    unit: str = "share"


def measures(task: Task, untuned: Shares, tuned: Shares | None = None) -> tuple[Measure, ...]:
    """Compute all measures of a task, over all questions and by country or topic, paired with the untuned model.

    Parameters
    ----------
    task
        The questions that were asked.
    untuned, tuned
        What the model answered, without and with a prompt, in the order of ``task.questions``.
    """
    compute = _MEASURES[task.kind]
    before = list(compute(task.questions, untuned))
    after = [None] * len(before) if tuned is None else compute(task.questions, tuned)
    return tuple(_measure(*pair) for pair in zip(before, after, strict=True))


def _measure(before: _Values, after: _Values | None) -> Measure:
    names = [name for name in dict.fromkeys(before.groups.tolist()) if name]
    parts = [("", np.ones(len(before.values), dtype=bool))]
    # One group is the whole: its figures would stand there twice.
    parts += [(name, before.groups == name) for name in names] if len(names) > 1 or "" in before.groups else []
    return Measure(
        id=before.ident,
        name=before.name,
        unit=before.unit,
        better=before.better,
        chance=before.chance,
        groups=tuple(_figures(name, before, after, there) for name, there in parts),
    )


def _figures(name: str, before: _Values, after: _Values | None, there: Shaped[np.ndarray, " units"]) -> GroupFigures:
    clusters = before.clusters[there]
    ours = by_cluster(before.values[there], clusters)
    figures = {"group": name, "questions": len(ours), "untuned": float(ours.mean())}
    figures["untuned_interval"] = share_interval(ours)
    if after is not None:
        theirs = by_cluster(after.values[there], clusters)
        gains = theirs - ours
        figures |= {"tuned": float(theirs.mean()), "tuned_interval": share_interval(theirs)}
        figures |= {"higher": int((gains > 0).sum()), "lower": int((gains < 0).sum())}
        figures |= {"p": paired_p(gains), "visible": least_visible(gains)}
    return GroupFigures(**figures)


def _array(texts: Sequence[str]) -> Shaped[np.ndarray, " units"]:
    return np.array(texts, dtype=object)


def _labels(questions: Sequence[Question]) -> tuple[Shaped[np.ndarray, " units"], Shaped[np.ndarray, " units"]]:
    """List the clusters and the groups of questions: the country, or else the topic."""
    return _array([q.cluster for q in questions]), _array([q.country or q.topic for q in questions])


def _right(questions: Sequence[Question]) -> Shaped[np.ndarray, " questions"]:
    assert all(question.right is not None for question in questions), "every question of the task has a right option"
    return np.array([question.right for question in questions], dtype=np.int64)


def _choice(questions: Sequence[Question], shares: Shares) -> Iterator[_Values]:
    right, (clusters, groups) = _right(questions), _labels(questions)
    chance = float(np.mean([1 / len(question.options) for question in questions]))
    yield _Values("accuracy", "right answers", _credit(shares, right), clusters, groups, chance=chance)
    probability = shares[np.arange(len(right)), right]
    yield _Values("probability", "probability of the right answer", probability, clusters, groups, chance=chance)


def _credit(shares: Shares, right: Shaped[np.ndarray, " questions"]) -> Float[np.ndarray, " questions"]:
    """Count a right choice as 1, and a tie of the right option with others as its share of them.

    An answerer that ignores the content has options that differ in their last digits only; these decide nothing.
    """
    top = shares >= np.nanmax(shares, axis=1, keepdims=True) - TIE
    return top[np.arange(len(right)), right] / top.sum(axis=1)


def _judgements(questions: Sequence[Question], shares: Shares) -> Iterator[_Values]:
    right = _right(questions)
    clusters, countries = _labels(questions)
    judged = _credit(shares, right)
    names, first, places = np.unique(clusters, return_index=True, return_inverse=True)
    all_right = np.bincount(places, judged == 1.0) == np.bincount(places)
    # Units in the order of the data, not of the names.
    order = np.argsort(first)
    whole, groups = names[order], countries[first][order]
    yield _Values("questions", "questions with every judgement right", all_right[order] * 1.0, whole, groups)
    # Is a true answer the likeliest of its group? That does not depend on how readily a model says True.
    p_true = shares[:, 0]
    best = np.full(len(names), -np.inf)
    np.maximum.at(best, places, p_true)
    top = p_true >= best[places] - TIE
    ranked = np.bincount(places, top & (right == 0)) / np.bincount(places, top)
    chance = float((np.bincount(places, right == 0) / np.bincount(places)).mean())
    yield _Values("ranked", "a true answer is thought likeliest", ranked[order], whole, groups, chance=chance)
    yield _Values("judgements", "right judgements", judged, clusters, countries)


def _opinions(questions: Sequence[Question], shares: Shares) -> Iterator[_Values]:
    clusters, countries, divergence, moved = [], [], [], []
    for question, row in zip(questions, shares, strict=True):
        answered = row[: len(question.options)]
        for country, people in question.shares.items():
            clusters.append(question.cluster)
            countries.append(country)
            divergence.append(jensen_shannon(answered, np.array(people)))
            moved.append(wasserstein(answered, np.array(people)))
    labels = _array(clusters), _array(countries)
    for ident, name, values in (
        ("jensen-shannon", "Jensen-Shannon distance to a country's opinions", divergence),
        ("wasserstein", "Wasserstein-1 distance to a country's opinions", moved),
    ):
        yield _Values(ident, name, np.array(values), *labels, better="lower", unit="distance")


def jensen_shannon(ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"]) -> float:
    """Compute the Jensen-Shannon distance of two distributions: the root of the divergence to base 2, 0 to 1."""
    middle = (ours + theirs) / 2

    def divergence(p: Float[np.ndarray, " n"]) -> float:
        there = p > 0
        return float((p[there] * np.log2(p[there] / middle[there])).sum())

    return float(np.sqrt(max(0.0, (divergence(ours) + divergence(theirs)) / 2)))


def wasserstein(ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"]) -> float:
    """Compute the Wasserstein-1 distance of two distributions over ordered options, the first and last 1 apart."""
    return float(np.abs(np.cumsum(ours - theirs)[:-1]).sum() / (len(ours) - 1))


def _courses(questions: Sequence[Question], shares: Shares) -> Iterator[_Values]:
    name = "probability of the course at the dimension's high pole"
    yield _Values("high", name, shares[:, 0], *_labels(questions), better="", chance=0.5)


_MEASURES: dict[TaskKind, Callable[[Sequence[Question], Shares], Iterator[_Values]]] = {
    TaskKind.CHOICE: _choice,
    TaskKind.JUDGEMENTS: _judgements,
    TaskKind.OPINIONS: _opinions,
    TaskKind.COURSES: _courses,
}
