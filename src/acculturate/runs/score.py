"""Scores of a respondent, or of means from elsewhere, as a plain record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acculturate.errors import UserError, setting
from acculturate.files.run_directory import plain
from acculturate.judge.audit import Audit, audit, default_targets
from acculturate.judge.cloze_audit import cloze_audit
from acculturate.model.answers.cloze import cloze_from, cloze_response
from acculturate.model.answers.sampled import Sampling, sampled_responses, sampling_from
from acculturate.model.answers.ways import probabilities_from
from acculturate.model.choice import ModelChoice
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.soft_prompt import SoftPrompt, check_fits, read_prompt
from acculturate.survey.formats import Questionnaire, parse_format, questionnaire
from acculturate.survey.instruments import Instrument, read_item_means, score_item_means
from acculturate.survey.scoring import Response, Survey
from acculturate.survey.targets import Target


@dataclass(frozen=True)
class Asking:
    """How a questionnaire is put to a model. ``formats``: labels/layout/variant/language[/order].

    ``answers``: what an answer is, one of ``ANSWERS``.
    """

    formats: tuple[str, ...] = ("letters/options-first/0/en",)
    balanced: bool = True
    constant: float = 50.0
    mas25: bool = False
    system: str | None = None
    answers: str = "probabilities"


ANSWERS = ("probabilities", "sampled", "cloze")
"""Probabilities of the option labels; generated text that is read; likelihood of the options' own words."""


def checked_answers(answers: str) -> str:
    """The name itself, or ``UserError``."""
    if answers not in ANSWERS:
        raise UserError(f"{setting('answers')} is '{answers}'; expected one of {', '.join(ANSWERS)}.")
    return answers


def asking_by(respondent: Respondent, answers: str) -> Callable[[Questionnaire, Context], Response]:
    """A loaded model, asked in one of ``ANSWERS``, as something to audit (audit.Ask)."""
    if checked_answers(answers) == "sampled":
        return sampling_from(respondent)
    return cloze_from(respondent) if answers == "cloze" else probabilities_from(respondent)


def audit_model(
    respondent: Respondent, instrument: Instrument, answers: str, *, personas: bool = True, short: bool = False
) -> Audit:
    """Audit a loaded model in one of ``ANSWERS``, each judged by what can judge it; ``short`` leaves personas out."""
    targets = default_targets(instrument) if personas and not short else ()
    ask = asking_by(respondent, answers)
    if answers == "cloze":
        return cloze_audit(ask, instrument, targets=targets, short=short)
    return audit(ask, instrument, targets=targets, short=short, answers=answers)


def score_model(
    instrument: Instrument, choice: ModelChoice, asking: Asking, *, prompt: Path | None = None
) -> dict[str, Any]:
    """Item means (option values), answer mass (0..1) and dimension scores (points), averaged over formats."""
    asked = questionnaire(instrument, [parse_format(f) for f in asking.formats], balanced=asking.balanced)
    soft = read_prompt(prompt) if prompt is not None else None
    checked_answers(asking.answers)
    instrument.constants(asking.constant)  # one that cannot be is refused before a model is loaded
    respondent = Respondent(choice)
    return score_respondent(respondent, asked, asking, soft)


def score_respondent(
    respondent: Respondent, asked: Questionnaire, asking: Asking, soft: SoftPrompt | None
) -> dict[str, Any]:
    """The same for a respondent that is already there."""
    instrument, notes = asked.instrument, []
    if soft is not None:
        warning = check_fits(soft, respondent.identity, respondent.hidden)
        notes += [warning] if warning else []
    response, remark = _response(respondent, asked, asking, soft)
    notes += [remark] if remark else []
    target = np.full(len(instrument.dimensions), np.nan)
    weights = instrument.weights(mas25=asking.mas25)
    survey = Survey(instrument.values(), weights, instrument.constants(asking.constant), target, asked.views)
    scores = survey.scores(response.logprobs)
    means = survey.means(response.logprobs)
    if asking.answers == "probabilities" and response.mass.mean() < 0.1:
        notes.append(
            f"Only {100 * response.mass.mean():.0f} % of the next token's probability is an option: it hardly answers."
        )
    dims = instrument.dimension_ids
    record = {
        "model": respondent.identity,
        "prompt": None if soft is None else {"tokens": len(soft.vectors), "slot": soft.slot},
        "instrument": instrument.id,
        "answers": asking.answers,
        "constant": asking.constant,
        "scores": dict(zip(dims, scores.mean(axis=0).tolist(), strict=True)),
        "item_means": dict(zip(instrument.item_ids, means.mean(axis=0).tolist(), strict=True)),
        "answer_mass": float(response.mass.mean()),
        "by_view": [
            {
                "view": name,
                "scores": dict(zip(dims, scores[v].tolist(), strict=True)),
                "item_means": dict(zip(instrument.item_ids, means[v].tolist(), strict=True)),
                "answer_mass": float(response.mass[list(asked.views[v])].mean()),
            }
            for v, name in enumerate(asked.view_names)
        ],
        "notes": notes,
    }
    return plain(record)  # what was not answered is None


def _response(
    respondent: Respondent, asked: Questionnaire, asking: Asking, soft: SoftPrompt | None
) -> tuple[Response, str | None]:
    """The answers in the way asked for, and what is to be said about them."""
    context = Context(system=asking.system)
    if asking.answers == "probabilities":
        if soft is None:
            return Interview(respondent, asked, context=context).ask(), None
        interview = Interview(respondent, asked, slot=soft.slot, n_tokens=len(soft.vectors), context=context)
        return interview(soft.vectors[None])[0], None
    slot, vectors = ("response_start", None) if soft is None else (soft.slot, soft.vectors)
    if asking.answers == "sampled":
        how = Sampling()
        found = sampled_responses(respondent, asked, slot=slot, prompt=vectors, context=context, sampling=how)
        return found.response(), found.note(how)
    note = "Likelihood of the options' own words per token; labels, layout and option order play no part."
    return cloze_response(respondent, asked, slot=slot, prompt=vectors, context=context), note


def score_means_file(instrument: Instrument, path: Path, *, constant: float, mas25: bool) -> dict[str, Any]:
    """Dimension scores of item means from a CSV with the columns item,mean; people included."""
    means = read_item_means(path)
    scores = score_item_means(instrument, means, constant=constant, mas25=mas25)
    lacking = [dimension.upper() for dimension, value in scores.items() if value is None]
    notes = [f"Missing items leave {', '.join(lacking)} without a score."] if lacking else []
    return {
        "instrument": instrument.id,
        "constant": constant,
        "scores": scores,
        "item_means": means,
        "notes": notes,
    }


def with_distance(record: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The record with its L1 distance to a country's scores, over the dimensions that both have."""
    # As in a run's loss: the mean of the views' distances, not the distance of their mean.
    views = [view["scores"] for view in record.get("by_view", [record])]
    wanted = {
        d: score
        for d, score in target.scores.items()
        if score is not None and all(scores.get(d) is not None for scores in views)
    }
    if not wanted:
        raise UserError(
            f"There is no dimension that both these scores and {target.country} in '{target.target_set}' have."
        )
    l1 = float(np.mean([sum(abs(scores[d] - want) for d, want in wanted.items()) for scores in views]))
    distance = {"country": target.country, "l1": l1, "mae": l1 / len(wanted), "dimensions": len(wanted)}
    return {**record, "distance": distance}
