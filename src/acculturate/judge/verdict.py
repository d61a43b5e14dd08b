"""The verdict on a run in plain words: is the model aligned, or fitted to a format?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from acculturate.judge.audit_verdict import MASS_LOW
from acculturate.survey.formats import ROLES

WORDS = {"train": "trained", "validation": "validation", "heldout": "held-out"}

# A change smaller than this share of the untuned loss is within what wording alone does to these models.
MATERIAL = 0.1
# What may be left of the untuned distance on unseen formats for the move to count as carried over.
CARRIED = 0.6
RIVALS = ("naive", "flat", "persona", "in-context", "best-random")


class VerdictKind(StrEnum):
    """Whether the move towards a country carries over to formats that the search never saw."""

    ALIGNED = "aligned"
    PARTLY = "partly"
    FITTED = "fitted-to-format"
    NOT_BETTER = "not-better"


@dataclass(frozen=True)
class Verdict:
    """Whether a prompt aligned the model, in a word, in a line, and with the figures behind it."""

    kind: VerdictKind
    headline: str
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"sentences": list(self.sentences)}


def verdict(
    rows: Sequence[Mapping[str, Any]], country: str, warning: str | None = None, remarks: Sequence[str] = ()
) -> Verdict:
    """Judge a prompt on formats that the search never saw.

    Parameters
    ----------
    rows
        The rows of the table (``table.Judge.row``), among them flat, naive and tuned.
    country
        Its name, for the sentences.
    warning
        What the audit says against tuning this model at all.
    remarks
        Further sentences to say; they decide nothing.
    """
    by_id = {row["id"]: row for row in rows}
    tuned, naive = by_id["tuned"], by_id["naive"]
    train, before = tuned["train"]["loss"], naive["train"]["loss"]
    little = _hardly_answers(tuned, naive)
    sentences = [
        f"On the formats it was trained on, the prompt leaves {train:.1f} points of distance to {country} "
        f"(untuned {before:.1f}, flat answers {by_id['flat']['train']['loss']:.1f}).",
        *remarks,
        *(said for said in (warning, little) if said is not None),
    ]
    learnt = train < (1 - MATERIAL) * before
    if tuned["heldout"] is None:
        sentences.append("No format was held out, so nothing here shows that the alignment carries over.")
        headline = "Nothing was held out: this result cannot tell alignment from fitting a format."
        return Verdict(VerdictKind.FITTED if learnt else VerdictKind.NOT_BETTER, headline, tuple(sentences))
    held, held_before = tuned["heldout"]["loss"], naive["heldout"]["loss"]
    rivals = [row for row in rows if row["id"] in RIVALS and np.isfinite(row["heldout"]["loss"])]
    rival = min(rivals, key=lambda row: row["heldout"]["loss"])
    best, name = rival["heldout"]["loss"], rival["label"].lower()
    sentences.append(
        f"On formats it never saw, {held:.1f} points remain (untuned {held_before:.1f}; best baseline: {name}, "
        f"{best:.1f})."
    )
    kind, headline = _decided(
        learnt,
        Distances(held, held_before, best),
        country=country,
        rival=name,
        reads_badly=warning is not None,
        hardly_answers=little is not None,
    )
    return Verdict(kind, headline, tuple(sentences))


@dataclass(frozen=True)
class Distances:
    """Points from the target on formats that the search never saw: tuned, untuned, and the best baseline."""

    tuned: float
    untuned: float
    rival: float


def _decided(
    learnt: bool, held: Distances, *, country: str, rival: str, reads_badly: bool, hardly_answers: bool
) -> tuple[VerdictKind, str]:
    """The kind of verdict and its headline: the first rule that holds decides."""
    rules = (
        (
            not learnt,
            VerdictKind.NOT_BETTER,
            "The search found no prompt that is materially better than the untuned model.",
        ),
        (
            held.tuned >= (1 - MATERIAL) * held.untuned,
            VerdictKind.FITTED,
            "The prompt fits the formats it was trained on; the model is not aligned.",
        ),
        (
            reads_badly,
            VerdictKind.FITTED,
            "The scores moved on unseen formats too, but this model does not clearly read the options: do not read "
            "this as alignment.",
        ),
        (
            hardly_answers,
            VerdictKind.FITTED,
            "The scores moved on unseen formats too, but with the prompt the model hardly answers any more: do not "
            "read this as alignment.",
        ),
        (
            held.tuned >= (1 - MATERIAL) * held.rival,
            VerdictKind.PARTLY,
            f"Part of the move towards {country} carries over to unseen formats, but a baseline comes as close: "
            f"{rival}.",
        ),
        (
            held.tuned < CARRIED * held.untuned,
            VerdictKind.ALIGNED,
            f"The answers moved towards {country} and the move carries over to unseen formats.",
        ),
        (
            True,
            VerdictKind.PARTLY,
            f"The answers moved towards {country}; part of the move carries over to unseen formats.",
        ),
    )
    return next((kind, headline) for holds, kind, headline in rules if holds)


def _hardly_answers(tuned: Mapping[str, Any], naive: Mapping[str, Any]) -> str | None:
    """A sentence where the tuned prompt leaves the options next to no probability; judged on its worst role."""
    asked = [role for role in ROLES if tuned.get(role) is not None]
    worst = min(asked, key=lambda role: tuned[role]["mass"])
    mass, before = tuned[worst]["mass"], naive[worst]["mass"]
    if mass >= MASS_LOW:
        return None
    return (
        f"With the prompt the model would hardly ever answer with an option: on its {WORDS[worst]} formats they hold "
        f"{100 * mass:.1f} % of the next token's probability (untuned {100 * before:.1f} %), and the scores describe "
        "only that."
    )


def search_sentences(search: Mapping[str, Any]) -> list[str]:
    """What is to be said of the search beside its result."""
    lost, sentences = search["without_numbers"], choice_sentences(search)
    if lost:
        sentences.append(
            f"{lost} of {search['evaluations']} candidates gave no numbers (the model's own overflowed in "
            f"{search['dtype']}); the search counted them as worst."
        )
    return sentences


def choice_sentences(search: Mapping[str, Any]) -> list[str]:
    """What is to be said where the validation formats decided against a prompt that fits much better.

    Nothing in a search for several countries, whose prompts are chosen together and not for how well one of them fits.
    """
    chosen = search["chosen"]
    if "together_with" in search or chosen is None or chosen["validation"] is None:
        return []
    if search["search_loss"] >= (1 - MATERIAL) * chosen["best"]:
        return []
    return [
        f"The prompt is the one with the lowest mean of trained and validation loss, found after "
        f"{chosen['evaluations']} of {search['evaluations']} evaluations, with {chosen['best']:.1f} points on the "
        f"trained formats. The search got down to {search['search_loss']:.1f} there, but the validation formats "
        "decided against that (these figures include the search's own prices)."
    ]


LIMITS = (
    "Published country scores are not comparable with new ones unless the samples are matched (VSM 2013 manual); "
    "a language model is not a sample of people at all.",
    "A distance of zero means that a few linear combinations of answers agree with as many published numbers, no more.",
    "Country scores are averages; they describe no person.",
)
