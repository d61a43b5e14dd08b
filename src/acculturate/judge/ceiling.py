"""How far texts move a model: the best of many system messages, chosen on some formats and measured on others.

What no text can do, a soft prompt cannot be expected to do by meaning. A method is judged on a model only beside this
ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from acculturate.errors import UserError
from acculturate.judge.audit_records import CeilingRecord, TextLoss
from acculturate.judge.texts import Text, texts_towards
from acculturate.model.answers.ways import Ask
from acculturate.model.respondent import Context
from acculturate.search.problem import survey_of
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire, part_of
from acculturate.survey.response import Response
from acculturate.survey.targets import Target

CHOOSING = 2
"""Trained views on which a text is chosen, at most."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Hold the text that came nearest on the formats that it was chosen on, with all losses there, in points."""

    text: Text
    losses: tuple[TextLoss, ...]
    views: tuple[str, ...]

    def record(self, country: str) -> CeilingRecord:
        """Collect what was tried; nothing is measured yet on other formats."""
        return CeilingRecord(
            country=country,
            text=self.text.name,
            words=self.text.system,
            tried=self.losses,
            chosen_on=self.views,
        )


def choose_text(
    ask: Ask,
    train: Questionnaire,
    survey: Loss,
    country: str,
    *,
    most: int | None = None,
    watch: Callable[[str], None] = lambda _stage: None,
) -> Chosen:
    """Choose the system message that brings the answers nearest to the target on some trained formats.

    Parameters
    ----------
    ask
        Puts a questionnaire in a context and gives the response.
    train, survey
        The questionnaire to choose on, of which the first few views are asked, and its loss.
    country
        English name of the target's country.
    most
        Texts to try, the most promising first; None for all.

    Raises
    ------
    UserError
        Where the model cannot be asked with a system message.
    """
    few = part_of(train, range(min(CHOOSING, len(train.views))))
    loss = replace(survey, views=few.views)
    before = ask(few, Context())
    language = train.formats[0].language
    scores = loss.scores(before.logprobs).mean(axis=0)
    texts = texts_towards(train.instrument, country, loss.scoring.target, scores, language)[:most]
    losses = np.zeros(len(texts))
    # The longest first: what it shows of the packed engine (``model.soundness``) then holds for all others.
    for n, place in enumerate(sorted(range(len(texts)), key=lambda k: -len(texts[k].system)), start=1):
        watch(f"texts, {n} of {len(texts)}")
        losses[place] = _loss(loss, ask(few, Context(system=texts[place].system)))
    best = int(np.argmin(losses))
    tried = tuple(TextLoss(name=text.name, loss=float(one)) for text, one in zip(texts, losses, strict=True))
    return Chosen(texts[best], tried, few.view_names)


def _loss(survey: Loss, response: Response) -> float:
    return float(survey.losses(survey.scores(response.logprobs)).mean())


def ceiling(
    ask: Ask,
    train: Questionnaire,
    heldout: Questionnaire,
    target: Target,
    *,
    most: int | None = None,
) -> CeilingRecord:
    """Measure how near the best text brings a model to a country's scores on formats that it was not chosen on."""
    name = target.country
    try:
        chosen = choose_text(ask, train, survey_of(train, target), name, most=most)
    except UserError as error:
        return CeilingRecord(country=name, why=str(error))
    survey = survey_of(heldout, target)
    after, before = (_loss(survey, ask(heldout, Context(system=s))) for s in (chosen.text.system, None))
    measured = {"measured_on": heldout.view_names, "untuned": before, "best": after}
    return chosen.record(name).model_copy(update=measured)


def ceiling_sentence(record: CeilingRecord) -> str:
    """Say in one sentence how far texts move a model towards a country."""
    if record.untuned is None or record.best is None:
        return f"{record.country}: texts were not tried: {record.why}"
    n, left = len(record.tried), record.best / record.untuned if record.untuned else 1.0
    where = f"{record.untuned:.1f} points away in ways of asking that no text was chosen on"
    if left >= 1.0:
        return f"{record.country}: {where}; the best of {n} texts brings this model no nearer ({record.best:.1f})."
    return (
        f"{record.country}: {where}; the best of {n} texts ({record.text}) leaves {record.best:.1f}: no text tried "
        f"moves this model by more than {1 - left:.0%}."
    )
