"""Figures of tasks from answers: accuracy, groups of judgements, opinions, courses of action."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from acculturate.judge.knowledge import jensen_shannon, measures, wasserstein
from acculturate.knowledge.task import Question, Task, TaskKind


def test_accuracy_is_paired_and_given_by_country():
    questions = tuple(
        Question(f"q{k}", "?", ("a", "b", "c", "d"), 0, country=country)
        for k, country in enumerate(["China", "China", "India", "India", "India"])
    )
    task = Task("t", "T", TaskKind.CHOICE, questions)
    right, wrong = [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]
    before, after = np.array([right, wrong, wrong, wrong, right]), np.array([right, right, right, right, wrong])
    accuracy, probability = measures(task, before, after)
    whole, china, india = accuracy.groups
    assert (whole.untuned, whole.tuned, whole.higher, whole.lower) == (0.4, 0.8, 3, 1)
    assert whole.p == pytest.approx(0.625) and whole.change == pytest.approx(0.4)
    assert (china.group, china.questions, china.untuned, china.tuned) == ("China", 2, 0.5, 1.0)
    assert (india.group, india.higher, india.lower) == ("India", 2, 1)
    assert accuracy.chance == 0.25 and probability.whole.tuned == pytest.approx((4 * 0.7 + 0.1) / 5)
    assert measures(task, before)[0].whole.tuned is None


def test_a_tie_decides_nothing_whatever_the_last_digits_say():
    questions = tuple(Question(f"q{k}", "?", ("a", "b", "c", "d"), k) for k in range(4))
    noise = np.array([[1e-17, 0, 0, 0], [0, 0, 1e-17, 0], [0, 0, 0, 1e-17], [0, 1e-17, 0, 0]])
    accuracy, _ = measures(Task("t", "T", TaskKind.CHOICE, questions), 0.25 + noise)
    assert accuracy.whole.untuned == 0.25


def test_a_group_of_judgements_counts_only_as_a_whole():
    questions = tuple(
        Question(f"{group}{k}", "?", ("True", "False"), 0 if k == 2 else 1, country="China", cluster=group)
        for group in "xy"
        for k in range(4)
    )
    task = Task("t", "T", TaskKind.JUDGEMENTS, questions)
    always_false = np.tile([0.2, 0.8], (8, 1))
    whole, ranked, judged = measures(task, always_false)
    assert whole.whole.untuned == 0 and judged.whole.untuned == 0.75
    assert ranked.whole.untuned == pytest.approx(0.25) and ranked.chance == pytest.approx(0.25), "all four tie"
    # Right about the first group; of the second it never says True, yet finds the true answer the likeliest.
    answers = np.array([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.2, 0.8], *[[0.1, 0.9]] * 2, [0.4, 0.6], [0.1, 0.9]])
    whole, ranked, judged = measures(task, always_false, answers)
    assert (whole.whole.tuned, ranked.whole.tuned, judged.whole.tuned) == (0.5, 1.0, 7 / 8)
    assert whole.whole.questions == 2 and len(whole.groups) == 1, "one country is the whole"


def test_distances_between_distributions_are_those_of_scipy():
    draw = np.random.default_rng(0)
    for n in (2, 3, 5):
        ours, theirs = draw.dirichlet(np.ones(n), size=2)
        places = np.linspace(0, 1, n)
        assert jensen_shannon(ours, theirs) == pytest.approx(jensenshannon(ours, theirs, base=2))
        assert wasserstein(ours, theirs) == pytest.approx(wasserstein_distance(places, places, ours, theirs))
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1 == wasserstein(np.eye(2)[0], np.eye(2)[1])


def test_opinions_are_compared_with_every_country():
    shares = {"China": (1.0, 0.0), "India": (0.5, 0.5)}
    task = Task("t", "T", TaskKind.OPINIONS, (Question("q", "?", ("yes", "no"), shares=shares),))
    divergence, moved = measures(task, np.array([[0.5, 0.5]]))
    assert [group.group for group in moved.groups] == ["", "China", "India"]
    assert [group.untuned for group in moved.groups] == [0.25, 0.5, 0.0] and moved.better == "lower"
    assert divergence.unit == "distance"


def test_courses_of_action_are_given_by_dimension():
    questions = tuple(Question(f"q{k}", "?", ("high", "low"), topic="pdi" if k < 2 else "idv") for k in range(4))
    task = Task("t", "T", TaskKind.COURSES, questions)
    (high,) = measures(task, np.array([[0.2, 0.8]] * 4), np.array([[0.6, 0.4]] * 2 + [[0.2, 0.8]] * 2))
    _, pdi, idv = high.groups
    assert (pdi.group, pdi.untuned, pdi.tuned) == ("pdi", 0.2, 0.6) and idv.change == 0.0
