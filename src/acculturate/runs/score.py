"""Scores of a respondent, or of means from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from acculturate.errors import SettingError
from acculturate.files.record import Figure, Record, or_nan
from acculturate.judge.audit_verdict import MASS_LOW
from acculturate.judge.records import ModelIdentity
from acculturate.model.answer_kind import AnswerKind, answers_of
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.model.soft_prompt import SoftPrompt, check_fits, read_prompt
from acculturate.survey.instrument import Instrument
from acculturate.survey.item_means import read_item_means, score_item_means
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import Questionnaire, questionnaire
from acculturate.survey.targets import Target


class PromptSize(Record):
    """Hold how many virtual tokens a soft prompt has and where they stand."""

    tokens: int
    slot: str


class ViewScores(Record):
    """Hold the scores of one view (points), its item means (option values) and answer mass (0..1)."""

    view: str
    scores: dict[str, Figure]
    item_means: dict[str, Figure]
    answer_mass: Figure


class Distance(Record):
    """Hold the distance to a country over the ``dimensions`` that both have, in points: summed and per dimension."""

    country: str
    l1: float
    mae: float
    dimensions: int


class Scores(Record):
    """Hold what ``acculturate score`` finds out; what was not answered is None.

    Parameters
    ----------
    model, prompt, answers, answer_mass, by_view
        Only where a model was asked. ``answers``: one of ``answer_kind.ANSWERS``. ``answer_mass``: 0 to 1.
    constant
        Added to every dimension, in points.
    scores, item_means
        Points, and option values, averaged over formats.
    distance
        To a country's scores, where one was named (``with_distance``).
    """

    model: ModelIdentity | None = None
    prompt: PromptSize | None = None
    instrument: str
    answers: str | None = None
    constant: float
    scores: dict[str, Figure]
    item_means: dict[str, Figure]
    answer_mass: Figure = None
    by_view: tuple[ViewScores, ...] = ()
    notes: tuple[str, ...] = ()
    distance: Distance | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return the scores in points: a row for each dimension, columns ``score`` and one for each view."""
        columns = {"score": self.scores} | {one.view: one.scores for one in self.by_view}
        return pd.DataFrame(columns, dtype=float).rename_axis("dimension")

    def _repr_html_(self) -> str:
        mass = "" if self.answer_mass is None else f"; answer mass {self.answer_mass:.3f}"
        return f"<p><b>Scores in points{mass}</b></p>{self.to_frame()[['score']].to_html(float_format='%.1f')}"


@dataclass(frozen=True)
class Asking:
    """Describe how a questionnaire is put to a model. ``formats``: labels/layout/variant/language[/order].

    ``answers``: what an answer is, one of ``answer_kind.ANSWERS``.
    """

    formats: tuple[str, ...] = ("letters/options-first/0/en",)
    balanced: bool = True
    constant: float = 50.0
    mas25: bool = False
    system: str | None = None
    answers: str = "probabilities"

    def questionnaire(self, instrument: Instrument) -> Questionnaire:
        """Lay the questionnaire out; what cannot be asked or scored is refused before a model is loaded."""
        laid_out = questionnaire(instrument, answers_of(self.answers).formats(self.formats), balanced=self.balanced)
        instrument.constants(self.constant)
        return laid_out


class ScoreKeywords(TypedDict, total=False):
    """Name the keywords of ``api.score`` besides its model; ``api.Model.score`` says what each means."""

    instrument: str | Instrument
    prompt: SoftPrompt | str | Path | None
    formats: Sequence[str]
    balanced: bool
    answers: str
    system: str | None
    constant: float
    mas25: bool


def score_model(instrument: Instrument, choice: ModelChoice, asking: Asking, *, prompt: Path | None = None) -> Scores:
    """Put a questionnaire to a model and score its answers."""
    laid_out = asking.questionnaire(instrument)
    soft = read_prompt(prompt) if prompt is not None else None
    return score_respondent(Respondent(choice), laid_out, asking, soft)


def score_respondent(respondent: Respondent, asked: Questionnaire, asking: Asking, soft: SoftPrompt | None) -> Scores:
    """Put a questionnaire to a respondent and score its answers."""
    instrument, notes = asked.instrument, []
    if soft is not None:
        warning = check_fits(soft, respondent.identity, respondent.hidden)
        notes += [warning] if warning else []
    answered = ways.answered(asking.answers, respondent, asked, Context(system=asking.system), soft)
    response = answered.response
    notes += [answered.note] if answered.note else []
    target = np.full(len(instrument.dimensions), np.nan)
    weights = instrument.weights(mas25=asking.mas25)
    survey = Loss(instrument.values(), weights, instrument.constants(asking.constant), target, asked.views)
    scores = survey.scores(response.logprobs)
    means = survey.means(response.logprobs)
    if asking.answers in (AnswerKind.PROBABILITIES, AnswerKind.CALIBRATED) and response.mass.mean() < MASS_LOW:
        notes.append(
            f"Only {100 * response.mass.mean():.0f} % of the next token's probability is an option: it hardly answers."
        )
    dims, items = instrument.dimension_ids, instrument.item_ids
    return Scores(
        model=ModelIdentity(respondent.identity),
        prompt=None if soft is None else PromptSize(tokens=len(soft.vectors), slot=soft.slot),
        instrument=instrument.id,
        answers=asking.answers,
        constant=asking.constant,
        scores=dict(zip(dims, scores.mean(axis=0).tolist(), strict=True)),
        item_means=dict(zip(items, means.mean(axis=0).tolist(), strict=True)),
        answer_mass=float(response.mass.mean()),
        by_view=tuple(
            ViewScores(
                view=name,
                scores=dict(zip(dims, scores[v].tolist(), strict=True)),
                item_means=dict(zip(items, means[v].tolist(), strict=True)),
                answer_mass=float(response.mass[list(asked.views[v])].mean()),
            )
            for v, name in enumerate(asked.view_names)
        ),
        notes=tuple(notes),
    )


def score_means_file(instrument: Instrument, path: Path, *, constant: float, mas25: bool) -> Scores:
    """Score item means from a CSV with the columns item,mean; people included."""
    means = read_item_means(path)
    scores = score_item_means(instrument, means, constant=constant, mas25=mas25)
    lacking = [dimension.upper() for dimension, value in scores.items() if value is None]
    notes = [f"Missing items leave {', '.join(lacking)} without a score."] if lacking else []
    return Scores(
        instrument=instrument.id, constant=constant, scores=scores, item_means=dict(means), notes=tuple(notes)
    )


def with_distance(record: Scores, target: Target) -> Scores:
    """Add the L1 distance to a country's scores, over the dimensions that both have."""
    # As in a run's loss: the mean of the views' distances, not the distance of their mean.
    views = [view.scores for view in record.by_view] or [record.scores]
    wanted = {
        d: score
        for d, score in target.scores.items()
        if score is not None and all(scores.get(d) is not None for scores in views)
    }
    if not wanted:
        raise SettingError(
            f"There is no dimension that both these scores and {target.country} in '{target.target_set}' have."
        )
    l1 = float(np.mean([sum(abs(or_nan(scores[d]) - want) for d, want in wanted.items()) for scores in views]))
    distance = Distance(country=target.country, l1=l1, mae=l1 / len(wanted), dimensions=len(wanted))
    return record.model_copy(update={"distance": distance})
