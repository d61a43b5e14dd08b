"""Formats, the ways to present an item: labels, option order, layout, wording variant, language.

A *presentation* names everything but the order; a *format* has an order too. With order balance (the default)
every presentation is asked with its options ascending and descending, and the two make one view: a model that
answers by position then scores exactly neutral, so no search can exploit position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from acculturate.errors import SettingError

# A label has to be one token. Many tokenizers cut 10 in two, so digits name nine options; scales of up to eleven (0 to
# 10) take the others.
LABELS: dict[str, tuple[str, ...]] = {
    "digits": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "letters": ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"),
    "lower": ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"),
    "roman": ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"),
    "symbols": ("#", "*", "+", "@", "%", "&", "~", "^", "=", "$", "?"),
}
LAYOUTS = ("options-first", "question-first", "one-line")
ORDERS = ("ascending", "descending")
WORDS, OPEN = "words", "open"
"""Labels and layout of a question without labelled options: the options' own words are the answers."""


class Role(StrEnum):
    """Name what a run uses a format for: to search, to have a say in the winner, to judge."""

    TRAIN = "train"
    VALIDATION = "validation"
    HELDOUT = "heldout"

    @property
    def heading(self) -> str:
        """Return the role as a heading."""
        return {Role.TRAIN: "Trained", Role.VALIDATION: "Validation", Role.HELDOUT: "Held out"}[self]

    @property
    def words(self) -> str:
        """Return the role as it stands before ``formats`` in a sentence."""
        return "held-out" if self is Role.HELDOUT else self.heading.lower()

    @property
    def formats_heading(self) -> str:
        """Return the heading over what its formats show."""
        return f"{self.words.capitalize()} formats"


ROLES = tuple(Role)


@dataclass(frozen=True)
class Format:
    """Describe one way to present an item; ``order`` ascending shows a scale's options first to last."""

    labels: str = "letters"
    layout: str = "options-first"
    variant: int = 0
    language: str = "en"
    order: str = "ascending"

    @property
    def presentation(self) -> str:
        """Name everything but the order: ``letters/options-first/0/en``."""
        return f"{self.labels}/{self.layout}/{self.variant}/{self.language}"

    @property
    def name(self) -> str:
        """Name the format: ``letters/options-first/0/en/ascending``; without options there is no order."""
        return self.presentation if self.in_words else f"{self.presentation}/{self.order}"

    @property
    def in_words(self) -> bool:
        """Tell whether the question has no labelled options."""
        return self.labels == WORDS

    @property
    def without_labels(self) -> Format:
        """Return the same wording without labelled options: ``words/open/0/en``."""
        return replace(self, labels=WORDS, layout=OPEN, order="ascending")


def parse_format(text: str) -> Format:
    """Read ``labels/layout/variant/language[/order]``; what is left out at the end keeps its default."""
    parts = text.strip().split("/")
    if not 1 <= len(parts) <= 5 or not parts[0]:
        raise SettingError(
            f"Format '{text}' is not of the form labels/layout/variant/language, like letters/options-first/0/en."
        )
    default = Format()
    fields = dict(zip(("labels", "layout", "variant", "language", "order"), parts, strict=False))
    words = fields["labels"] == WORDS
    if words and (fields.setdefault("layout", OPEN) != OPEN or "order" in fields):
        raise SettingError(f"Format '{text}' has no labels, so neither layout nor order; write words/open/0/en.")
    layouts = (OPEN,) if words else LAYOUTS
    for field, choices in (("labels", (*LABELS, WORDS)), ("layout", layouts), ("order", ORDERS)):
        if field in fields and fields[field] not in choices:
            raise SettingError(
                f"Format '{text}' has the {field} '{fields[field]}'; expected one of {', '.join(choices)}."
            )
    variant = fields.pop("variant", "0")
    if not variant.isdigit():
        raise SettingError(f"Format '{text}' has the wording variant '{variant}'; expected a whole number from 0.")
    return replace(default, variant=int(variant), **fields)


def option_labels(form: Format, count: int) -> tuple[str, ...]:
    """Return the labels of ``count`` options, first to last as shown."""
    labels = LABELS[form.labels]
    if count > len(labels):
        others = ", ".join(name for name, marks in LABELS.items() if len(marks) >= count)
        advice = f"choose formats with other labels ({others})" if others else "no labels name so many"
        raise SettingError(f"The labels '{form.labels}' name {len(labels)} options, but a scale has {count}; {advice}.")
    return labels[:count]
