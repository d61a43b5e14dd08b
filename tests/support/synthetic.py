"""Respondents whose behaviour is known, to hold the measurement against.

Each is a callable from a questionnaire and a context to a response, as ``audit`` takes it; each answers place
by place as shown, so that whatever turns places back into options is under test too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from acculturate.model.respondent import Context
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

Ask = Callable[[Questionnaire, Context], Response]
TINY = 1e-9


def _respond(asked: Questionnaire, shown: np.ndarray, mass: float) -> Response:
    """``shown``: probabilities ``(sequences, options)`` by place; zero beyond a question's last."""
    with np.errstate(divide="ignore"):
        logprobs = asked.canonical(np.log(shown)[None])[0]
    return Response(logprobs, np.full(logprobs.shape[:2], mass))


def _table(asked: Questionnaire) -> np.ndarray:
    questions = asked.questions()
    return np.zeros((len(questions), max(len(q.shown) for q in questions)))


def always_first(mass: float = 0.9) -> Ask:
    """Picks the place on top, whatever stands there."""

    def ask(asked: Questionnaire, context: Context) -> Response:
        shown = _table(asked)
        shown[:, 0] = 1.0
        return _respond(asked, shown, mass)

    return ask


def by_place(seed: int = 0, mass: float = 0.9) -> Ask:
    """Has a favourite place for every question, whatever stands there: what the smallest models do."""

    def ask(asked: Questionnaire, context: Context) -> Response:
        shown, items = _table(asked), asked.instrument.item_ids
        favourite = np.random.default_rng(seed).uniform(0, 1, len(items))
        for row, question in enumerate(asked.questions()):
            n = len(question.shown)
            shown[row, :n] = two_options(favourite[row % len(items)] * (n - 1), n)
        return _respond(asked, shown, mass)

    return ask


def always_middle(mass: float = 0.9) -> Ask:
    """Picks the middle of the scale, in either order."""

    def ask(asked: Questionnaire, context: Context) -> Response:
        shown = _table(asked)
        for row, question in enumerate(asked.questions()):
            shown[row, : len(question.shown)] = two_options((len(question.shown) - 1) / 2, len(question.shown))
        return _respond(asked, shown, mass)

    return ask


def expert(
    means: np.ndarray,
    *,
    noise: float = 0.0,
    place_bias: float = 0.0,
    seed: int = 0,
    personas: Mapping[str, np.ndarray] | None = None,
    mass: float = 0.9,
) -> Ask:
    """Answers with given expected values (1 to 5), off by ``noise`` per question, ``place_bias`` of it on
    top.

    ``personas``: the expected values as a person from a country that the system message names.
    """

    def ask(asked: Questionnaire, context: Context) -> Response:
        own = means
        for country, theirs in (personas or {}).items():
            if context.system and country in context.system:
                own = theirs
        shown, items = _table(asked), asked.instrument.item_ids
        for row, question in enumerate(asked.questions()):
            form, item = asked.formats[row // len(items)], row % len(items)
            rng = np.random.default_rng([seed, zlib.crc32(f"{form.name}/{item}".encode())])
            n = len(question.shown)
            options = two_options(np.clip(own[item] - 1 + noise * rng.standard_normal(), 0, n - 1), n)
            shown[row, :n] = (1 - place_bias) * options[list(question.shown)]
            shown[row, 0] += place_bias
        return _respond(asked, shown, mass)

    return ask


def refuser(mass: float = 0.02) -> Ask:
    """Says something else; what is left on the options is random."""

    def ask(asked: Questionnaire, context: Context) -> Response:
        rng, shown = np.random.default_rng(0), _table(asked)
        for row, question in enumerate(asked.questions()):
            shown[row, : len(question.shown)] = rng.dirichlet(np.ones(len(question.shown)))
        return _respond(asked, shown, mass)

    return ask


def silent() -> Ask:
    """Gives no valid answer at all, as a strict parser sees it: every answer missing."""

    def ask(asked: Questionnaire, context: Context) -> Response:
        shape = (len(asked.formats), len(asked.instrument.items), _table(asked).shape[1])
        return Response(np.full(shape, np.nan), np.zeros(shape[:2]))

    return ask


def two_options(place: float, n: int) -> np.ndarray:
    """Probabilities over ``n`` options on the two next to ``place`` (from 0), with that expected place."""
    low = min(int(place), n - 2)
    out = np.zeros(n)
    out[low], out[low + 1] = 1 - (place - low), place - low
    return out
