"""Questionnaires: an instrument crossed with formats, and the words that put each item to a respondent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from acculturate.errors import SettingError
from acculturate.survey.formats import ORDERS, Format, option_labels
from acculturate.survey.instrument import Instrument
from acculturate.survey.views import views_alone

# What the closing request calls labels that are not letters (Frame.ask); a frame without it says "letter".
_ASKED_AS = {"digits": "digits", "roman": "marks", "symbols": "marks"}


@dataclass(frozen=True)
class Question:
    """Hold one item in one format.

    Parameters
    ----------
    text
        The message to the model.
    labels
        The labels, first to last as they are shown.
    shown
        ``shown[k]`` is the canonical index of the option that stands at place k under ``labels[k]``.
    """

    text: str
    labels: tuple[str, ...]
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Questionnaire:
    """Cross an instrument with formats; ``views`` are the format indices that are averaged before scoring."""

    instrument: Instrument
    formats: tuple[Format, ...]
    views: tuple[tuple[int, ...], ...]

    @property
    def view_names(self) -> tuple[str, ...]:
        """Name every view: its presentation, with the order where it has a single one."""
        return tuple(
            self.formats[view[0]].name if len(view) == 1 else self.formats[view[0]].presentation for view in self.views
        )

    def questions(self) -> list[Question]:
        """Word every item in every format, formats outermost."""
        return [present(self.instrument, item, form) for form in self.formats for item in self.instrument.item_ids]

    def canonical(
        self, shown: Float[np.ndarray, "candidates sequences options"]
    ) -> Float[np.ndarray, "candidates formats items options"]:
        """Bring values in shown order, one row per question, back into each scale's own order; -inf: no such option."""
        out = np.take_along_axis(shown, np.maximum(self.places, 0)[None], axis=-1)
        out = np.where(self.places < 0, -np.inf, out)
        return out.reshape(len(shown), len(self.formats), len(self.instrument.items), shown.shape[-1])

    @cached_property
    def places(self) -> Int[np.ndarray, "sequences options"]:
        """Index the place where each option of a question is shown, in the scale's own order; -1: no such option."""
        questions = self.questions()
        table = np.full((len(questions), max(len(question.shown) for question in questions)), -1)
        for row, question in zip(table, questions, strict=True):
            row[list(question.shown)] = np.arange(len(question.shown))
        return table


def questionnaire(instrument: Instrument, presentations: Sequence[Format], *, balanced: bool = True) -> Questionnaire:
    """Cross an instrument with presentations; ``balanced`` asks each in both option orders as one view.

    Presentations without labelled options have no order: each is a view of one format.
    """
    if not presentations:
        raise SettingError("A questionnaire needs at least one format, like letters/options-first/0/en.")
    widest = max(len(instrument.scales[item.scale].values) for item in instrument.items)
    for form in presentations:
        instrument.question(instrument.item_ids[0], language=form.language, variant=form.variant)
        if not form.in_words:
            option_labels(form, widest)
    formats: list[Format] = []
    views: list[tuple[int, ...]] = []
    for form in dict.fromkeys(replace(p, order="ascending") if balanced else p for p in presentations):
        orders = ORDERS if balanced and not form.in_words else (form.order,)
        views.append(tuple(range(len(formats), len(formats) + len(orders))))
        formats.extend(replace(form, order=order) for order in orders)
    return Questionnaire(instrument, tuple(formats), tuple(views))


def part_of(whole: Questionnaire, views: Iterable[int]) -> Questionnaire:
    """Keep some of a questionnaire's views, by their places."""
    formats, renumbered = views_alone(whole.views, views)
    return replace(whole, formats=tuple(whole.formats[form] for form in formats), views=renumbered)


def without(whole: Questionnaire, items: Sequence[str]) -> Questionnaire:
    """Leave out some of the instrument's items, in the same formats: for asking only, not for scoring."""
    rest = tuple(item for item in whole.instrument.items if item.id not in set(items))
    return replace(whole, instrument=replace(whole.instrument, items=rest))


NOTHING = "..."
"""Stands for the item where a question is put without one."""


def present(instrument: Instrument, item: str, form: Format, *, bare: bool = False) -> Question:
    """Word the message that puts one item to a respondent; ``bare`` leaves the item out, not its options.

    Without labelled options (``words/open``) it is the introduction and the question; bare, the introduction alone.

    Shared text comes first where the layout allows it (introduction, request, options, stem), because the
    engine computes common beginnings once.
    """
    frame = instrument.wording(form.language).frame
    options = instrument.options(item, language=form.language, variant=form.variant)
    question = NOTHING if bare else instrument.question(item, language=form.language, variant=form.variant)
    intro = frame.intro[form.variant % len(frame.intro)]
    if form.in_words:
        text = intro if bare else f"{intro}\n\n{frame.question}: {question}"
        return Question(text, (), tuple(range(len(options))))
    labels = option_labels(form, len(options))
    shown = tuple(range(len(options))) if form.order == "ascending" else tuple(reversed(range(len(options))))
    ask = frame.ask.get(_ASKED_AS.get(form.labels, "letters"), frame.ask["letters"])
    ask = ask.replace("{labels}", ", ".join(labels))
    if form.layout == "one-line":
        listed = ", ".join(f"{label} = {options[o]}" for label, o in zip(labels, shown, strict=True))
        text = f"{intro} {ask}\n\n{question} ({listed})"
    else:
        listed = "\n".join(f"{label}. {options[o]}" for label, o in zip(labels, shown, strict=True))
        if form.layout == "options-first":
            text = f"{intro} {ask}\n\n{frame.options}:\n{listed}\n\n{frame.question}: {question}"
        else:
            text = f"{intro}\n\n{frame.question}: {question}\n{frame.options}:\n{listed}\n\n{ask}"
    return Question(text, labels, shown)
