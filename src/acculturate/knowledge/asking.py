"""Questions of a task as a questionnaire, so that they are asked as a survey is, and answers brought back to them.

Where labels are the answers, a question is asked once with every option under every label (its options are turned
around), and the options' probabilities are averaged: a model that answers by label or by place gains nothing.
Judgements are answered by the words True and False, in both orders of the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError
from acculturate.knowledge.task import Question, TaskKind
from acculturate.survey.formats import LABELS, parse_format
from acculturate.survey.instrument import Frame, Instrument, Item, ItemText, Scale, Wording
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.response import Response

MAX_OPTIONS = len(LABELS["letters"])
LABELLED, OPEN = "letters/question-first/0/en", ("words/open/0/en", "words/open/1/en")

_INTROS = {
    TaskKind.CHOICE: ("Here is a question with several possible answers. Only one of them is right.",),
    TaskKind.JUDGEMENTS: (
        "Here is a question and an answer that somebody gave. Reply True if the answer is right, or False if it is "
        "wrong, and nothing else.",
        "Here is a question and an answer that somebody gave. Reply False if the answer is wrong, or True if it is "
        "right, and nothing else.",
    ),
    TaskKind.OPINIONS: ("Here is a question from a survey of people's opinions. There is no right or wrong answer.",),
    TaskKind.COURSES: ("Here is a situation with two ways to deal with it. Both are reasonable.",),
}
_OPEN_INTROS = {
    TaskKind.CHOICE: ("Here is a question. Reply with a short answer and nothing else.",),
    TaskKind.JUDGEMENTS: _INTROS[TaskKind.JUDGEMENTS],
    TaskKind.OPINIONS: ("Here is a question from a survey of people's opinions. Reply with a short answer.",),
    TaskKind.COURSES: ("Here is a situation. Reply with what you would advise and nothing else.",),
}
_ASK = {
    "digits": "Reply with the digit of your answer ({labels}) and nothing else.",
    "letters": "Reply with the letter of your answer ({labels}) and nothing else.",
    "marks": "Reply with the mark of your answer ({labels}) and nothing else.",
}


def frame(kind: TaskKind, *, in_words: bool = False) -> Frame:
    """Word what stands around a question of a kind; ``in_words``: no options are listed."""
    intro = (_OPEN_INTROS if in_words else _INTROS)[kind]
    return Frame(intro=intro, question="Question", options="Options", answer="Answer", ask=_ASK)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Hold some questions of a task as a questionnaire.

    Parameters
    ----------
    questionnaire
        Every question as one item for each turn of its options, the turns of a question together.
    counts
        The number of options of every question.
    turned
        Whether a question is asked once for each turn of its options, or once.
    """

    questionnaire: Questionnaire
    counts: tuple[int, ...]
    turned: bool

    def shares(self, response: Response) -> Float[np.ndarray, "questions options"]:
        """Average the probabilities of each option over turns and formats; NaN beyond a question's last option."""
        answered = np.exp(response.logprobs).mean(axis=0)
        table = np.full((len(self.counts), max(self.counts)), np.nan)
        row = 0
        for q, n in enumerate(self.counts):
            turns = range(n) if self.turned else range(1)
            table[q, :n] = np.mean([np.roll(answered[row + k, :n], k) for k in turns], axis=0)
            row += len(turns)
        return table

    def mass(self, response: Response) -> Float[np.ndarray, " questions"]:
        """Average the answer mass of every question, 0 to 1."""
        ends = np.cumsum([n if self.turned else 1 for n in self.counts])
        return np.array([part.mean() for part in np.split(response.mass.mean(axis=0), ends[:-1])])


def sheet(kind: TaskKind, questions: Sequence[Question], *, in_words: bool) -> Sheet:
    """Lay some questions of a task out to be asked.

    Parameters
    ----------
    kind
        The kind of the task. Judgements are always asked in words.
    questions
        One at least. Raises ``UserError`` for one with more options than there are labels.
    in_words
        Whether the options' own words are the answers, so that no options are listed.
    """
    in_words = in_words or kind is TaskKind.JUDGEMENTS
    widest = max(questions, key=lambda question: len(question.options))
    if not in_words and len(widest.options) > MAX_OPTIONS:
        raise SettingError(
            f"Question '{widest.id}' has {len(widest.options)} options, and labels name {MAX_OPTIONS} at most; ask "
            "for their own words instead (`answers='cloze'`)."
        )
    around = frame(kind, in_words=in_words)
    items, scales, texts, options = [], {}, {}, {}
    for q, question in enumerate(questions):
        count = len(question.options)
        for turn in range(1 if in_words else count):
            name = f"q{q}.{turn}"
            items.append(Item(name, name, question.id))
            scales[name] = Scale(name, tuple(map(float, range(count))))
            texts[name] = ItemText(None, (question.text,) * len(around.intro))
            options[name] = (question.options[turn:] + question.options[:turn],) * len(around.intro)
    wording = Wording("en", "as in the task", False, "", {}, texts, options, around)
    instrument = Instrument("task", "task", "", "", tuple(items), scales, (), (wording,))
    names = OPEN[: len(around.intro)] if in_words else [LABELLED]
    asked = questionnaire(instrument, [parse_format(name) for name in names], balanced=False)
    return Sheet(asked, tuple(len(question.options) for question in questions), not in_words)
