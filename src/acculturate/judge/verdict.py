"""From responses to the record of a run: the table against the baselines, and a verdict in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.judge.audit import MASS_LOW
from acculturate.survey.formats import ROLES, Questionnaire
from acculturate.survey.scoring import Response, Survey
from acculturate.survey.validity import mean_interval

WORDS = {"train": "trained", "validation": "validation", "heldout": "held-out"}


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores responses to the whole questionnaire by the role of each view."""

    asked: Questionnaire
    survey: Survey
    roles: Sequence[str]

    def row(self, ident: str, label: str, kind: str, response: Response, note: str | None = None) -> dict[str, Any]:
        """One row of the table: losses, scores and answer mass per role and per view.

        ``interval``: of the mean loss over formats, in points; None where there is one format or an answer is missing.
        """
        survey = self.survey
        scores, means = survey.scores(response.logprobs), survey.means(response.logprobs)
        losses = survey.losses(scores)
        views = []
        for v, name in enumerate(self.asked.view_names):
            mass = float(response.mass[list(survey.views[v])].mean())
            views.append({"view": name, "role": self.roles[v], **self._figures(losses[v], scores[v], mass),
                          "item_means": means[v].tolist()})  # fmt: skip
        row: dict[str, Any] = {"id": ident, "label": label, "kind": kind, "interval": {}}
        for role in ROLES:
            those = [v for v, r in enumerate(self.roles) if r == role]
            if not those:
                row[role] = None
                continue
            mass = float(np.mean([views[v]["mass"] for v in those]))
            row[role] = self._figures(losses[those].mean(), scores[those].mean(axis=0), mass)
            if kind != "flat":
                row["interval"][role] = mean_interval(losses[those], least=0.0)
        return {**row, "by_view": views, "note": note}

    def _figures(self, loss: float, scores: Float[np.ndarray, " dims"], mass: float) -> dict[str, Any]:
        present = int((~np.isnan(self.survey.target)).sum())
        named = dict(zip(self.asked.instrument.dimension_ids, scores.tolist(), strict=True))
        return {"loss": float(loss), "mae": float(loss) / present, "scores": named, "mass": mass}


def search_record(lines: Sequence[Mapping[str, Any]], *, optimizer: str, dtype: str, rows: int) -> dict[str, Any]:
    """What the journal says about the search, without the evaluations themselves.

    ``rows``: candidates per forward pass at the end; fewer than the spec says where memory ran out.
    """
    curve = [
        {
            "evaluations": line["evaluations"],
            "best": line["best"],
            "median": line["median"],
            "mass": _mean_of_numbers(line["mass"]),
            "validation": line["validation"],
        }
        for line in lines
    ]
    # The point whose prompt the search delivers; none if no candidate had a loss.
    chosen = [
        {key: point[key] for key in ("evaluations", "best", "validation")}
        for point in curve
        if point["evaluations"] == lines[-1]["winner_at"]
    ]
    return {
        "optimizer": optimizer,
        "evaluations": lines[-1]["evaluations"] if lines else 0,
        "without_numbers": sum(loss is None for line in lines for loss in line["losses"]),
        "generations": len(lines),
        "validations": sum(line["validation"] is not None for line in lines),
        "search_loss": lines[-1]["best"] if lines else None,
        "dtype": dtype,
        "rows": rows,
        "chosen": next(iter(chosen), None),
        "curve": curve,
    }


def _mean_of_numbers(values: Sequence[float | None]) -> float | None:
    """The mean of what is not None, as the journal has what was not finite; None where nothing is left."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


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


# A change smaller than this share of the untuned loss is within what wording alone does to these models.
MATERIAL = 0.1
# What may be left of the untuned distance on unseen formats for the move to count as carried over.
CARRIED = 0.6


RIVALS = ("naive", "flat", "persona", "in-context", "best-random")


def verdict(
    rows: Sequence[Mapping[str, Any]], country: str, warning: str | None = None, remarks: Sequence[str] = ()
) -> dict[str, Any]:
    """Did the prompt align the model, or fit it to a format? Judged on formats that the search never saw.

    ``warning``: what the audit says against tuning this model at all. ``remarks``: further sentences to say; they
    decide nothing.
    """
    by_id = {row["id"]: row for row in rows}
    tuned, naive = by_id["tuned"], by_id["naive"]
    train, before = tuned["train"]["loss"], naive["train"]["loss"]
    sentences = [
        f"On the formats it was trained on, the prompt leaves {train:.1f} points of distance to {country} "
        f"(untuned {before:.1f}, flat answers {by_id['flat']['train']['loss']:.1f})."
    ]
    sentences += remarks
    if warning is not None:
        sentences.append(warning)
    little = _hardly_answers(tuned, naive)
    if little is not None:
        sentences.append(little)
    if tuned["heldout"] is None:
        kind = "fitted-to-format" if train < (1 - MATERIAL) * before else "not-better"
        sentences.append("No format was held out, so nothing here shows that the alignment carries over.")
        headline = "Nothing was held out: this result cannot tell alignment from fitting a format."
        return {"kind": kind, "headline": headline, "sentences": sentences}
    held, held_before = tuned["heldout"]["loss"], naive["heldout"]["loss"]
    rivals = [row for row in rows if row["id"] in RIVALS and np.isfinite(row["heldout"]["loss"])]
    rival = min(rivals, key=lambda row: row["heldout"]["loss"])
    sentences.append(
        f"On formats it never saw, {held:.1f} points remain (untuned {held_before:.1f}; best baseline: "
        f"{rival['label'].lower()}, {rival['heldout']['loss']:.1f})."
    )
    learnt, carried = train < (1 - MATERIAL) * before, held < (1 - MATERIAL) * held_before
    if not learnt:
        kind, headline = "not-better", "The search found no prompt that is materially better than the untuned model."
    elif not carried:
        kind, headline = (
            "fitted-to-format",
            "The prompt fits the formats it was trained on; the model is not aligned.",
        )
    elif warning is not None:
        kind, headline = (
            "fitted-to-format",
            "The scores moved on unseen formats too, but this model does not clearly read the options: do not read "
            "this as alignment.",
        )
    elif little is not None:
        kind, headline = (
            "fitted-to-format",
            "The scores moved on unseen formats too, but with the prompt the model hardly answers any more: do not "
            "read this as alignment.",
        )
    elif held >= (1 - MATERIAL) * rival["heldout"]["loss"]:
        kind, headline = (
            "partly",
            f"Part of the move towards {country} carries over to unseen formats, but a baseline comes as close: "
            f"{rival['label'].lower()}.",
        )
    elif held < CARRIED * held_before:
        kind, headline = "aligned", f"The answers moved towards {country} and the move carries over to unseen formats."
    else:
        kind, headline = (
            "partly",
            f"The answers moved towards {country}; part of the move carries over to unseen formats.",
        )
    return {"kind": kind, "headline": headline, "sentences": sentences}


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


LIMITS = (
    "Published country scores are not comparable with new ones unless the samples are matched (VSM 2013 manual); "
    "a language model is not a sample of people at all.",
    "A distance of zero means that a few linear combinations of answers agree with as many published numbers, no more.",
    "Country scores are averages; they describe no person.",
)


def plain_tables(result: Mapping[str, Any], width: int = 80) -> list[list[list[str]]]:
    """Tables for a terminal of ``width`` columns, header first: the losses, then the scores on the trained formats.

    As many dimensions stand in one table as fit beside the labels.
    """
    rows, target = result["rows"], result["target"]["scores"]
    losses = [["Distance", "trained", "held out", "held out/dim.", "answer mass"]]
    for row in rows:
        train, held = row["train"], row["heldout"]
        mass = _number(None if row["kind"] == "flat" else train["mass"], 2)
        shown = [train["loss"], *((held["loss"], held["mae"]) if held is not None else (None, None))]
        losses.append([row["label"], *map(_number, shown), mass])
    room = width - max(len(row["label"]) for row in rows)
    tables, scores = [losses], [["Score, trained"], ["Target"], *([row["label"]] for row in rows)]
    for dim in (d["id"] for d in result["instrument"]["dimensions"]):
        column = [_number(target.get(dim)), *(_number(row["train"]["scores"][dim]) for row in rows)]
        taken = [len(name) + 2 for name in scores[0][1:]]
        if taken and sum(max(7, n) for n in taken) + max(7, len(dim) + 2) > room:
            tables.append(scores)
            scores = [line[:1] for line in scores]
        for line, cell in zip(scores, [dim.upper(), *column], strict=True):
            line.append(cell)
    return [*tables, scores]


def _number(value: int | float | None, digits: int = 1) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"
