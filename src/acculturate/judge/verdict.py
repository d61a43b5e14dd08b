"""The verdict on a run in plain words: whether the model is aligned, or fitted to a format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from acculturate.files.record import or_nan
from acculturate.judge.audit_verdict import MASS_LOW
from acculturate.judge.effects import by_chance
from acculturate.judge.evaluation_records import written
from acculturate.judge.records import EffectRecord, Row, RowId, StyleRecord, Verdict, VerdictKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.search.history import SearchRecord, SelectionRecord
from acculturate.survey.formats import Role

# A change smaller than this share of the untuned loss is within what wording alone does to these models.
MATERIAL = 0.1
# What may be left of the untuned distance on unseen formats for the move to count as carried over.
CARRIED = 0.6
RIVALS = (RowId.UNTUNED, RowId.FLAT, RowId.PERSONA, RowId.IN_CONTEXT, RowId.BEST_TEXT, RowId.BEST_RANDOM)
# Times less often that a reply begins with an option's words, beyond which it has become an unlikely reply.
SELDOM = 10


def verdict(
    rows: Sequence[Row],
    country: str,
    warning: str | None = None,
    remarks: Sequence[str] = (),
    *,
    effects: Sequence[EffectRecord] = (),
    style: StyleRecord | None = None,
    answers: str = AnswerKind.PROBABILITIES,
) -> Verdict:
    """Judge a prompt on formats that the search never saw.

    Parameters
    ----------
    rows
        The rows of the table (``table.Judge.row``), among them flat, untuned and tuned.
    country
        Its name, for the sentences.
    warning
        What the audit says against tuning this model at all.
    remarks
        Further sentences to say; they decide nothing.
    effects
        What the prompt does beyond its rivals, with its tests (``effects.effect_of``).
    style
        How much of the gain is a way of answering (``response_style.style_of``).
    answers
        What counts as an answer, which decides what a small answer mass means.
    """
    by_id = {row.id: row for row in rows}
    tuned, untuned, flat = by_id[RowId.TUNED], by_id[RowId.UNTUNED], by_id[RowId.FLAT]
    train, before = or_nan(tuned.train.loss), or_nan(untuned.train.loss)
    little = _hardly_answers(tuned, untuned, AnswerKind(answers))
    sentences = [
        f"On the formats it was trained on, the prompt leaves {train:.1f} points of distance to {country} "
        f"(untuned {before:.1f}, flat answers {or_nan(flat.train.loss):.1f}).",
        *remarks,
        *(said for said in (warning, little and little.sentence) if said is not None),
    ]
    learnt = train < (1 - MATERIAL) * before
    if tuned.heldout is None:
        sentences.append("No format was held out, so nothing here shows that the alignment carries over.")
        headline = "Nothing was held out: this result cannot tell alignment from fitting a format."
        kind = VerdictKind.FITTED if learnt else VerdictKind.NOT_BETTER
        return Verdict(kind=kind, headline=_with_mass(headline, little), sentences=tuple(sentences))
    rival = min((row for row in rows if row.id in RIVALS and math.isfinite(_unseen(row))), key=_unseen)
    held = Distances(_unseen(tuned), _unseen(untuned), _unseen(rival))
    name = rival.label.lower()
    sentences.append(
        f"On formats it never saw, {held.tuned:.1f} points remain (untuned {held.untuned:.1f}; best baseline: {name}, "
        f"{held.rival:.1f})."
    )
    doubts = Doubts(
        by_chance(effects, RowId.UNTUNED), warning is not None, little is not None, style is not None and style.style
    )
    kind, headline = _decided(learnt, held, doubts, country=country, rival=name)
    return Verdict(kind=kind, headline=_with_mass(headline, little), sentences=tuple(sentences))


@dataclass(frozen=True)
class SmallMass:
    """Hold how little of its answers a tuned model leaves to the options: words for the headline, and a sentence."""

    clause: str
    sentence: str


def _with_mass(headline: str, little: SmallMass | None) -> str:
    """Say in the headline that the scores describe next to nothing of what the model would answer."""
    return headline if little is None else f"{headline} {little.clause}"


def _unseen(row: Row) -> float:
    """Return a row's loss on held-out formats, in points; NaN where there is none."""
    return math.nan if row.heldout is None else or_nan(row.heldout.loss)


@dataclass(frozen=True)
class Distances:
    """Hold points from the target on formats that the search never saw: tuned, untuned, and the best baseline."""

    tuned: float
    untuned: float
    rival: float


@dataclass(frozen=True)
class Doubts:
    """Hold what speaks against a move on unseen formats.

    Chance, a model that reads badly, one that hardly answers, a gain that is a way of answering.
    """

    chance: bool
    reads_badly: bool
    hardly_answers: bool
    a_style: bool


def _decided(learnt: bool, held: Distances, doubts: Doubts, *, country: str, rival: str) -> tuple[VerdictKind, str]:
    """Find the kind of verdict and its headline: the first rule that holds decides."""
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
            doubts.chance,
            VerdictKind.FITTED,
            "The prompt fits the formats it was trained on; what moved on unseen ones is within what chance gives.",
        ),
        (
            doubts.reads_badly,
            VerdictKind.FITTED,
            "The scores moved on unseen formats too, but this model does not clearly read the options: do not read "
            "this as alignment.",
        ),
        (
            doubts.hardly_answers,
            VerdictKind.FITTED,
            "The scores moved on unseen formats too, but do not read this as alignment.",
        ),
        (
            doubts.a_style,
            VerdictKind.STYLE,
            "The scores moved on unseen formats too, but by a way of answering that all items of a scale share: do not "
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


def _hardly_answers(tuned: Row, untuned: Row, answers: AnswerKind) -> SmallMass | None:
    """Say that the tuned prompt leaves the options next to no probability; judged on its worst role.

    The words of all options together are an unlikely reply to begin with, so there the untuned model is the measure.
    """
    masses = {role: or_nan(figures.mass) for role in Role if (figures := tuned.on(role)) is not None}
    before = {role: or_nan(figures.mass) for role in masses if (figures := untuned.on(role)) is not None}
    if answers.of_texts:
        worst = min(masses, key=lambda role: masses[role] / before[role])
        times = before[worst] / masses[worst] if masses[worst] else math.inf
        if times <= SELDOM:
            return None
        return SmallMass(
            f"With the prompt the model hardly answers any more: {times:,.0f} times less often in an option's words.",
            f"With the prompt a reply begins with an option's words {times:,.0f} times less often than without, on "
            f"its {worst.words} formats, and the scores describe only such replies.",
        )
    worst = min(masses, key=lambda role: masses[role])
    if masses[worst] >= MASS_LOW:
        return None
    of = "of the replies" if answers is AnswerKind.SAMPLED else "of the next token's probability"
    share = f"{100 * masses[worst]:.1f} % {of}"
    return SmallMass(
        f"With the prompt the model hardly answers any more: options hold {share}.",
        f"With the prompt the model would hardly ever answer with an option: on its {worst.words} formats they hold "
        f"{share} (untuned {100 * before.get(worst, math.nan):.1f} %), and the scores describe only that.",
    )


def search_sentences(search: SearchRecord) -> list[str]:
    """Say what there is to say of a search beside its result."""
    lost, sentences = search.without_numbers, choice_sentences(search)
    if search.averaged is not None:
        several = f"the mean of the last {search.averaged} centers of the search, the best in all formats that it saw"
        alone = "the last center of the search; no mean of several did better in the formats that it saw"
        sentences.append(f"The prompt is {several if search.averaged > 1 else alone}.")
    if search.selection is not None:
        sentences.append(selection_sentence(search.selection))
    if search.stopped_before is not None:
        sentences.append(
            f"A callback stopped the search after {search.evaluations} of {search.stopped_before} evaluations."
        )
    if lost:
        sentences.append(
            f"{lost} of {search.evaluations} candidates gave no numbers (the model's own overflowed in "
            f"{search.dtype}); the search counted them as worst."
        )
    return sentences


def selection_sentence(selection: SelectionRecord) -> str:
    """Say which of the best candidates a task picked, and what the one with the lowest loss had."""
    finalists = selection.finalists
    lowest, winner = finalists[0], finalists[selection.selected]

    def shown(figure: float | None) -> str:
        return written(or_nan(figure), selection.unit) + (" %" if selection.unit == "share" else "")

    if len(finalists) == 1:
        return f"No other candidate kept nine tenths of the gain, so {selection.title} had nothing to choose between."
    what = (
        f"{selection.title} ({selection.measure}) chose the prompt among {len(finalists)} that keep nine tenths of the "
        "gain"
    )
    untuned = f"the untuned model has {shown(selection.untuned)}"
    if selection.selected == 0:
        return f"{what}: the one with the lowest loss, with {shown(lowest.figure)}; {untuned}."
    return (
        f"{what}: one with {shown(winner.figure)} at {or_nan(winner.judged):.1f} points, where the lowest loss "
        f"({or_nan(lowest.judged):.1f}) has {shown(lowest.figure)}; {untuned}."
    )


def choice_sentences(search: SearchRecord) -> list[str]:
    """Say that the validation formats decided against a prompt that fits much better.

    Nothing in a search for several countries, whose prompts are chosen together and not for how well one of them fits.
    """
    chosen = search.chosen
    chosen_otherwise = (search.together_with, search.selection, search.averaged)
    if any(one is not None for one in chosen_otherwise) or chosen is None or chosen.validation is None:
        return []
    lowest, best = or_nan(search.search_loss), or_nan(chosen.best)
    if lowest >= (1 - MATERIAL) * best:
        return []
    return [
        f"The prompt is the one with the lowest mean of trained and validation loss, found after "
        f"{chosen.evaluations} of {search.evaluations} evaluations, with {best:.1f} points on the "
        f"trained formats. The search got down to {lowest:.1f} there, but the validation formats "
        "decided against that (these figures include the search's own prices)."
    ]


LIMITS = (
    "Published country scores are not comparable with new ones unless the samples are matched (VSM 2013 manual); "
    "a language model is not a sample of people at all.",
    "A distance of zero means that a few linear combinations of answers agree with as many published numbers, no more.",
    "Country scores are averages; they describe no person.",
)
