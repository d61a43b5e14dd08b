"""Tasks beyond the survey: questions with right answers, judgements, opinions of countries, courses of action."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from acculturate.errors import SettingError, setting
from acculturate.files.datafile import nearest
from acculturate.legible import shown
from acculturate.survey.countries import same_country


class TaskKind(StrEnum):
    """Name what is measured on a task.

    ``CHOICE``: share of right options. ``JUDGEMENTS``: share of groups of true-or-false judgements that are all right.
    ``OPINIONS``: distance between a model's shares of the options and a country's. ``COURSES``: probability of the
    first option, by topic.
    """

    CHOICE = "choice"
    JUDGEMENTS = "judgements"
    OPINIONS = "opinions"
    COURSES = "courses"


@dataclass(frozen=True)
class Question:
    """Hold one question of a task.

    Parameters
    ----------
    id
        What tells it from the task's other questions.
    text, options
        The question, and two options or more, each another text.
    right
        Place of the right option, from 0; None where there is none (opinions, courses of action).
    country
        Whom it is about, as the data spell it; empty for nobody.
    topic
        Part of the task for which figures are given on their own: a subject, or a dimension; empty for none.
    cluster
        Questions that share it are variants of one another: the bootstrap draws them together, and a group of
        judgements counts only as a whole. Its own ``id`` by default.
    shares
        Opinions only: by country, the share of people who chose each option; they sum to 1.
    """

    id: str
    text: str
    options: tuple[str, ...]
    right: int | None = None
    country: str = ""
    topic: str = ""
    cluster: str = ""
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)


@dataclass(frozen=True)
class Task:
    """Hold the questions of one task, with where they came from.

    Parameters
    ----------
    name
        What it is called on the command line.
    title
        Its name in a report.
    kind
        What is measured.
    questions
        In the order of the data.
    licence, citation
        Under which terms the data are published, and what to cite; empty where the user's own.
    source
        The file or dataset that was read.
    notes
        Sentences on what was left out or changed in reading, for a report.
    """

    name: str
    title: str
    kind: TaskKind
    questions: tuple[Question, ...]
    licence: str = ""
    citation: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def checksum(self) -> str:
        """Compute the SHA-256 of all that decides a figure, in hexadecimal digits.

        It covers kind, texts, options, right answers, countries, topics, clusters and shares, in their order. Names,
        notes and the place of the data decide nothing.
        """
        total = hashlib.sha256(self.kind.encode())
        for each in self.questions:
            shares = sorted((name, list(values)) for name, values in each.shares.items())
            facts = [each.text, each.options, each.right, each.country, each.topic, each.cluster, shares]
            total.update(json.dumps(facts).encode() + b"\n")
        return total.hexdigest()

    @cached_property
    def countries(self) -> tuple[str, ...]:
        """List the countries that the questions are about, or whose people's shares they have, in their order."""
        found = (name for each in self.questions for name in (each.country, *each.shares) if name)
        return tuple(dict.fromkeys(found))

    def about(self, country: str) -> Task:
        """Take the questions about a country, by any name or code of it; ``UserError`` where there are none.

        Of opinions these are the questions that its people answered.
        """
        names = {name for name in self.countries if same_country(name, country)}
        if not names:
            near = nearest(country, self.countries)
            raise SettingError(f"{self.title} has no question about {shown(country)}{near}.")
        chosen = tuple(each for each in self.questions if each.country in names or names & each.shares.keys())
        return replace(self, questions=chosen)

    def limited(self, most: int) -> Task:
        """Take up to ``most`` questions from all over the data, always the same ones.

        Files stand in blocks of one answer or one country, so the first ones would be another task. The hashes of the
        ids decide instead; fewer questions are part of more. Of variants one is taken before a second of any. A group
        of judgements is one question.
        """
        if most < 1:
            raise SettingError(f"{setting('limit', most)}: expected a whole number from 1.")
        variants: dict[str, list[Question]] = {}
        for each in sorted(self.questions, key=lambda question: hash_order(question.id)):
            variants.setdefault(each.cluster, []).append(each)
        if self.kind is TaskKind.JUDGEMENTS:  # a group is one question
            groups = sorted(variants, key=hash_order)[:most]
            chosen = {each.id for name in groups for each in variants[name]}
        else:
            turns = ((turn, hash_order(q.id)) for group in variants.values() for turn, q in enumerate(group))
            chosen = {name for _, (_, name) in sorted(turns)[:most]}
        return replace(self, questions=tuple(each for each in self.questions if each.id in chosen))


def hash_order(name: str) -> tuple[str, str]:
    """Give a name its place in an order that looks random and is the same everywhere: its SHA-256, then itself."""
    return hashlib.sha256(name.encode()).hexdigest(), name


def part_of_task(task: Task, *, limit: int | None = None, countries: Sequence[str] = ()) -> Task:
    """Take a task's questions about some countries, where it is about any, and ``limit`` of them at most.

    Of opinions only the shares of these countries are kept. Raises ``UserError`` where it has none of the countries.
    """
    if countries and task.countries:
        wanted = {name for name in task.countries if any(same_country(name, one) for one in countries)}
        if not wanted:
            task.about(countries[0])  # says that there is none
        questions = (
            replace(each, shares={name: shares for name, shares in each.shares.items() if name in wanted})
            for each in task.questions
            if each.country in wanted or wanted & each.shares.keys()
        )
        task = replace(task, questions=tuple(questions))
    return task if limit is None else task.limited(limit)
