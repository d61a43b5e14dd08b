"""Protocols: the formats that a run asks in where the user names none, by role."""

from __future__ import annotations

_LABELS, _LAYOUTS = ("letters", "digits", "lower", "roman"), ("options-first", "question-first", "one-line")
_TRAINED_WORDINGS, _UNSEEN_WORDINGS = (0, 1, 4, 5, 6, 7, 8, 10), (2, 3, 9, 11)


def _crossed(wordings: tuple[int, ...], shift: int) -> tuple[str, ...]:
    """Cross wordings with presentations: two each, in other labels and another layout, all of them about as often."""
    return tuple(
        f"{_LABELS[(k + 2 * second) % 4]}/{_LAYOUTS[(k + shift + second) % 3]}/{wording}/en"
        for k, wording in enumerate(wordings)
        for second in (0, 1)
    )


# The paper's: one format in one order. The balanced one: many different presentations in both orders to train on, since
# variety is what carries over (docs/validity.md), one to select the winner by, others to judge by. The crossed one:
# eight wordings in two presentations each, a few in every generation, judged in four wordings that it never saw.
PROTOCOLS: dict[str, dict[str, tuple[str, ...]]] = {
    "paper": {
        "train": ("digits/question-first/0/en/ascending",),
        "validation": (),
        "heldout": ("letters/question-first/1/en/ascending", "digits/options-first/2/en/descending"),
    },
    "balanced": {
        "train": (
            "letters/options-first/0/en",
            "digits/question-first/1/en",
            "letters/question-first/1/en",
            "digits/options-first/0/en",
            "lower/one-line/0/en",
            "symbols/options-first/1/en",
        ),
        "validation": ("digits/options-first/3/en",),
        "heldout": ("letters/question-first/2/en", "digits/options-first/2/en"),
    },
    "crossed": {
        "train": _crossed(_TRAINED_WORDINGS, 0),
        "validation": (),
        "heldout": _crossed(_UNSEEN_WORDINGS, 1),
    },
}
# Where the options' own words are the answers only wordings differ: (protocol, role) to their numbers.
_WORDINGS = {
    "paper": {"train": (0,), "validation": (), "heldout": (1, 2)},
    "balanced": {"train": _TRAINED_WORDINGS, "validation": (3,), "heldout": (2, 9, 11)},
    "crossed": {"train": _TRAINED_WORDINGS, "validation": (), "heldout": _UNSEEN_WORDINGS},
}


def protocol_formats(protocol: str, role: str, *, in_words: bool = False) -> tuple[str, ...]:
    """List the names of a protocol's formats for one role.

    Parameters
    ----------
    protocol, role
        ``paper``, ``balanced`` or ``crossed``; ``train``, ``validation`` or ``heldout``.
    in_words
        Formats without labelled options, for answers by option text.
    """
    if in_words:
        return tuple(f"words/open/{variant}/en" for variant in _WORDINGS[protocol][role])
    return PROTOCOLS[protocol][role]
