"""Ways to present an item: labels, option order, layout, wording variant, language.

A *presentation* names everything but the order; a *format* has an order too. With order balance (the default)
every presentation is asked with its options ascending and descending, and the two make one view: a model that
answers by position then scores exactly neutral, so no search can exploit position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from acculturate.errors import UserError
from acculturate.survey.instruments import Instrument

# A label has to be one token. Many tokenizers cut 10 in two, so digits name nine options; scales of up to eleven (0 to
# 10) take the others.
LABELS: dict[str, tuple[str, ...]] = {
    "digits": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "letters": ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"),
    "lower": ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"),
    "roman": ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"),
    "symbols": ("#", "*", "+", "@", "%", "&", "~", "^", "=", "$", "?"),
}
# What the closing request calls labels that are not letters (Frame.ask); a frame without it says "letter".
_ASKED_AS = {"digits": "digits", "roman": "marks", "symbols": "marks"}
LAYOUTS = ("options-first", "question-first", "one-line")
ORDERS = ("ascending", "descending")


class Role(StrEnum):
    """What a run uses a format for: to search, to have a say in the winner, to judge."""

    TRAIN = "train"
    VALIDATION = "validation"
    HELDOUT = "heldout"

    @property
    def heading(self) -> str:
        """The role as a heading."""
        return {Role.TRAIN: "Trained", Role.VALIDATION: "Validation", Role.HELDOUT: "Held out"}[self]


ROLES = tuple(Role)


@dataclass(frozen=True)
class Format:
    """One way to present an item; ``order`` ascending shows a scale's options first to last."""

    labels: str = "letters"
    layout: str = "options-first"
    variant: int = 0
    language: str = "en"
    order: str = "ascending"

    @property
    def presentation(self) -> str:
        """Everything but the order: ``letters/options-first/0/en``."""
        return f"{self.labels}/{self.layout}/{self.variant}/{self.language}"

    @property
    def name(self) -> str:
        return f"{self.presentation}/{self.order}"


@dataclass(frozen=True)
class Question:
    """One item in one format: the message to the model, the labels as shown, and where each option went.

    ``shown[k]`` is the canonical index of the option that stands at place k under ``labels[k]``.
    """

    text: str
    labels: tuple[str, ...]
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Questionnaire:
    """An instrument crossed with formats; ``views`` are the format indices that are averaged before scoring."""

    instrument: Instrument
    formats: tuple[Format, ...]
    views: tuple[tuple[int, ...], ...]

    @property
    def view_names(self) -> tuple[str, ...]:
        return tuple(
            self.formats[view[0]].name if len(view) == 1 else self.formats[view[0]].presentation for view in self.views
        )

    def questions(self) -> list[Question]:
        """Every item in every format, formats outermost."""
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
        """Place at which each option of a question is shown, in the scale's own order; -1 where there is no option."""
        questions = self.questions()
        table = np.full((len(questions), max(len(question.shown) for question in questions)), -1)
        for row, question in zip(table, questions, strict=True):
            row[list(question.shown)] = np.arange(len(question.shown))
        return table


def parse_format(text: str) -> Format:
    """Read ``labels/layout/variant/language[/order]``; what is left out at the end keeps its default."""
    parts = text.strip().split("/")
    if not 1 <= len(parts) <= 5 or not parts[0]:
        raise UserError(
            f"Format '{text}' is not of the form labels/layout/variant/language, like letters/options-first/0/en."
        )
    default = Format()
    named = dict(zip(("labels", "layout", "variant", "language", "order"), parts, strict=False))
    for field, known in (("labels", tuple(LABELS)), ("layout", LAYOUTS), ("order", ORDERS)):
        if field in named and named[field] not in known:
            raise UserError(f"Format '{text}' has the {field} '{named[field]}'; expected one of {', '.join(known)}.")
    variant = named.pop("variant", "0")
    if not variant.isdigit():
        raise UserError(f"Format '{text}' has the wording variant '{variant}'; expected a whole number from 0.")
    return replace(default, variant=int(variant), **named)


def questionnaire(instrument: Instrument, presentations: Sequence[Format], *, balanced: bool = True) -> Questionnaire:
    """Cross an instrument with presentations; ``balanced`` asks each in both option orders as one view."""
    if not presentations:
        raise UserError("A questionnaire needs at least one format, like letters/options-first/0/en.")
    widest = max(len(instrument.scales[item.scale].values) for item in instrument.items)
    for form in presentations:
        instrument.question(instrument.item_ids[0], language=form.language, variant=form.variant)
        option_labels(form, widest)
    formats: list[Format] = []
    views: list[tuple[int, ...]] = []
    for form in dict.fromkeys(replace(p, order="ascending") if balanced else p for p in presentations):
        orders = ORDERS if balanced else (form.order,)
        views.append(tuple(range(len(formats), len(formats) + len(orders))))
        formats.extend(replace(form, order=order) for order in orders)
    return Questionnaire(instrument, tuple(formats), tuple(views))


def without(asked: Questionnaire, items: Sequence[str]) -> Questionnaire:
    """The same formats with some of the instrument's items left out: for asking only, not for scoring."""
    kept = tuple(item for item in asked.instrument.items if item.id not in set(items))
    return replace(asked, instrument=replace(asked.instrument, items=kept))


def option_labels(form: Format, count: int) -> tuple[str, ...]:
    """The labels of ``count`` options, first to last as shown."""
    labels = LABELS[form.labels]
    if count > len(labels):
        others = ", ".join(name for name, marks in LABELS.items() if len(marks) >= count)
        advice = f"choose formats with other labels ({others})" if others else "no labels name so many"
        raise UserError(f"The labels '{form.labels}' name {len(labels)} options, but a scale has {count}; {advice}.")
    return labels[:count]


def present(instrument: Instrument, item: str, form: Format) -> Question:
    """The message that puts one item to a respondent.

    Shared text comes first where the layout allows it (introduction, request, options, stem), because the
    engine computes common beginnings once.
    """
    frame = instrument.wording(form.language).frame
    options = instrument.options(item, language=form.language, variant=form.variant)
    question = instrument.question(item, language=form.language, variant=form.variant)
    labels = option_labels(form, len(options))
    shown = tuple(range(len(options))) if form.order == "ascending" else tuple(reversed(range(len(options))))
    ask = frame.ask.get(_ASKED_AS.get(form.labels, "letters"), frame.ask["letters"])
    ask = ask.replace("{labels}", ", ".join(labels))
    intro = frame.intro[form.variant % len(frame.intro)]
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
