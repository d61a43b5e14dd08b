"""Tasks beyond the survey: questions with right answers, judgements, opinions of countries, courses of action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from acculturate.errors import SettingError
from acculturate.survey.countries import country_codes


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
    checksum
        SHA-256 of all that decides a figure: texts, options, right answers, countries, clusters, shares.
    """

    name: str
    title: str
    kind: TaskKind
    questions: tuple[Question, ...]
    licence: str = ""
    citation: str = ""
    source: str = ""
    checksum: str = ""


def part_of_task(task: Task, *, limit: int | None = None, countries: Sequence[str] = ()) -> Task:
    """Keep some of a task's questions: those about some countries (where any are), and ``limit`` of them at most.

    Which ones are kept depends on their names alone and is spread over the task: files are often sorted by label or
    country. Variants of one question, and groups of judgements, stay together. Raises ``UserError`` where none is left.
    """
    sought = countries if any(q.country for q in task.questions) else ()
    kept = [q for q in task.questions if not sought or any(same_country(q.country, one) for one in sought)]
    if not kept:
        raise SettingError(
            f"The task '{task.name}' has no question about {', '.join(countries)}; leave the countries out, or name "
            "some that it has."
        )
    names = sorted(dict.fromkeys(q.cluster for q in kept), key=lambda name: sha256(name.encode()).digest())
    some = set(names[:limit])
    return replace(task, questions=tuple(q for q in kept if q.cluster in some))


def same_country(one: str, other: str) -> bool:
    """Tell whether two names or codes mean the same country, however they are spelt."""
    codes = [set(country_codes(name.replace("_", " "), matrix_codes=False)) for name in (one, other)]
    return bool(codes[0] & codes[1]) or one.strip().casefold() == other.strip().casefold() != ""
