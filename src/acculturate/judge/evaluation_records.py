"""Records of an evaluation on tasks: every figure with its interval, before and after a prompt."""

from __future__ import annotations

from acculturate.files.record import Count, Figure, Interval, Record
from acculturate.judge.records import ModelIdentity


class GroupFigures(Record):
    """Hold one figure of some questions of a task.

    Parameters
    ----------
    group
        A country or a topic; empty for all questions.
    questions
        How many there are; variants of one question count as one.
    untuned, tuned
        The figure without and with the prompt, with 95 % intervals; ``tuned`` is None without a prompt.
    higher, lower
        Questions on which the figure rose, and fell, with the prompt.
    p
        Two-sided, paired: the exact McNemar test where a question is right or wrong, else random signs.
    visible
        Least difference that the test would find in four of five cases, given what changed.
    """

    group: str = ""
    questions: Count
    untuned: Figure
    untuned_interval: Interval = None
    tuned: Figure = None
    tuned_interval: Interval = None
    higher: Count = 0
    lower: Count = 0
    p: Figure = None
    visible: Figure = None

    @property
    def change(self) -> float | None:
        """The figure with the prompt less that without."""
        return None if self.tuned is None or self.untuned is None else self.tuned - self.untuned


def written(figure: float, unit: str) -> str:
    """Write a figure of a task: a share in percent, a distance with three decimals."""
    return f"{100 * figure:.1f}" if unit == "share" else f"{figure:.3f}"


class Measure(Record):
    """Hold one measure of a task: all questions first, then by group.

    Parameters
    ----------
    id, name
        What it is called on disk and in tables.
    unit
        ``share`` (0 to 1, shown in percent) or ``distance``.
    better
        ``higher``, ``lower``, or empty where neither is.
    chance
        What an answerer that knows nothing reaches; None where that has no meaning.
    """

    id: str
    name: str
    unit: str = "share"
    better: str = "higher"
    chance: Figure = None
    groups: tuple[GroupFigures, ...]

    def written(self, figure: float | None) -> str:
        """Write a figure of this measure: a share in percent, a distance with three decimals."""
        return "–" if figure is None else written(figure, self.unit)

    def between(self, interval: Interval) -> str:
        """Write an interval of this measure."""
        return "–" if interval is None else "–".join(map(self.written, interval))

    @property
    def title(self) -> str:
        """Name the measure with its unit and what chance gives: ``right answers (%, chance 25.0)``."""
        remarks = ["%"] if self.unit == "share" else []
        remarks += [] if self.chance is None else [f"chance {self.written(self.chance)}"]
        return f"{self.name} ({', '.join(remarks)})" if remarks else self.name

    @property
    def whole(self) -> GroupFigures:
        """The figures of all questions."""
        return self.groups[0]


class TaskRecord(Record):
    """Hold what one task shows; the first of ``measures`` is the one to quote.

    Parameters
    ----------
    name, title, kind
        The task, and what is measured on it (``knowledge.task.TaskKind``).
    answers
        How answers were read, one of ``answer_kind.ANSWERS``.
    questions
        Questions that were asked.
    mass, mass_tuned
        Answer mass, 0 to 1: how readily the model answers at all, without and with the prompt.
    licence, citation, source, checksum
        Of the data.
    notes
        What a reader has to know.
    """

    name: str
    title: str
    kind: str
    answers: str
    questions: Count
    licence: str = ""
    citation: str = ""
    source: str = ""
    checksum: str = ""
    notes: tuple[str, ...] = ()
    mass: Figure = None
    mass_tuned: Figure = None
    measures: tuple[Measure, ...]

    @property
    def terms(self) -> str:
        """What to cite, and the licence; empty where there is neither."""
        return f"{self.citation} {f'({self.licence})' if self.licence else ''}".strip()


class FluencyFigures(Record):
    """Hold how a model writes.

    Parameters
    ----------
    perplexity
        Of good replies that were written beforehand, per token.
    empty, repeating, refusing, foreign
        Shares, 0 to 1, of its own short replies that are empty, repeat themselves, refuse, or are largely written in
        other letters than the requests.
    """

    perplexity: float
    empty: float
    repeating: float
    refusing: float
    foreign: float


class Reply(Record):
    """Hold a request with a model's replies to it, without and with a soft prompt."""

    request: str
    untuned: str
    tuned: str


class Fluency(Record):
    """Hold how a model writes without and with a soft prompt; ``same``: share of replies alike in every word."""

    requests: Count
    untuned: FluencyFigures
    tuned: FluencyFigures | None = None
    same: Figure = None
    shown: tuple[Reply, ...] = ()


class PromptShown(Record):
    """Hold which soft prompt was evaluated."""

    source: str
    tokens: Count
    slot: str
    checksum: str


class Evaluation(Record):
    """Hold evaluation.json: a model on tasks, without and with a soft prompt; ``sentences`` sum it up."""

    version: str
    model: ModelIdentity
    precision: str
    prompt: PromptShown | None = None
    tasks: tuple[TaskRecord, ...]
    fluency: Fluency | None = None
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
