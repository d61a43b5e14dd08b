"""Where a search begins: populations of soft prompts made of real tokens or of a text."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from acculturate.culture import culture_texts
from acculturate.datafile import user_path
from acculturate.errors import UserError
from acculturate.optimizers import generator
from acculturate.prompts import SoftPrompt, check_fits, read_prompt
from acculturate.respondent import Respondent
from acculturate.spec import RunSpec
from acculturate.targets import Target

# Generations count from 0, so these streams are never one of a search's own.
_START_STREAM = 2**32 - 1
_RANDOM_STREAM = 2**32 - 2

# Line breaks say nothing: a model answers after them as if they were not there, from where a search can lead it.
BLANK = "\n"


def vocabulary_rows(
    respondent: Respondent, tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Random ordinary tokens."""
    ids = rng.choice(respondent.vocabulary, size=count * tokens)
    return respondent.rows(ids).reshape(count, tokens, -1)


def gaussian_noise(
    respondent: Respondent, tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Independent normal coordinates with the embeddings' standard deviation."""
    return (respondent.unit * rng.standard_normal((count, tokens, respondent.hidden))).astype(np.float32)


def text_rows(respondent: Respondent, text: str, tokens: int) -> Float[np.ndarray, "tokens hidden"]:
    """The embeddings of a text, repeated or cut to ``tokens`` tokens."""
    ids = respondent.chat.plain(text)
    if not ids:
        raise UserError("The text to start from is empty for this model's tokenizer; give some words.")
    return respondent.rows([ids[i % len(ids)] for i in range(tokens)])


def around_text(
    respondent: Respondent, text: str, tokens: int, count: int, *, rng: np.random.Generator, spread: float
) -> Float[np.ndarray, "n tokens hidden"]:
    """The text itself, then copies with Gaussian offsets of ``spread`` embedding standard deviations."""
    offsets = spread * gaussian_noise(respondent, tokens, count, rng)
    offsets[0] = 0.0
    return text_rows(respondent, text, tokens) + offsets


def text_windows(
    respondent: Respondent, texts: list[str], tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Random windows of ``tokens`` tokens from many texts, each text as often as the others (give or take one)."""
    order = [texts[i] for i in rng.permutation(len(texts))]
    members = []
    for i in range(count):
        ids = respondent.chat.plain(order[i % len(order)])
        first = rng.integers(max(1, len(ids) - tokens + 1))
        members.append([ids[(first + k) % len(ids)] for k in range(tokens)])
    return respondent.rows(np.array(members).ravel()).reshape(count, tokens, -1)


def starting_prompts(respondent: Respondent, spec: RunSpec, target: Target) -> Float[np.ndarray, "pop tokens hidden"]:
    """The first population that a spec asks for; a warm start takes the place of its first member."""
    population = _drawn(respondent, spec, target, spec.population, generator(spec.seed, _START_STREAM))
    earlier = earlier_prompt(spec)
    if earlier is not None:
        if warning := check_fits(earlier, respondent.identity, respondent.hidden):
            warnings.warn(warning, stacklevel=2)
        population[0] = earlier.vectors
    return population


def earlier_prompt(spec: RunSpec) -> SoftPrompt | None:
    """The prompt of the warm start, if any; raises ``UserError`` unless it has the run's slot and number of tokens."""
    if spec.warm_start is None:
        return None
    earlier = read_prompt(user_path(spec.warm_start))
    if len(earlier.vectors) != spec.tokens:
        raise UserError(
            f"The prompt to start from has {len(earlier.vectors)} tokens, but this run has {spec.tokens}; "
            f"use --tokens {len(earlier.vectors)}."
        )
    if earlier.slot != spec.slot:
        raise UserError(
            f"The prompt to start from was found in the slot {earlier.slot}, where other tokens stand around it than "
            f"in this run's {spec.slot}; use --slot {earlier.slot}, or start from something else."
        )
    return earlier


def random_prompts(
    respondent: Respondent, spec: RunSpec, target: Target, count: int
) -> Float[np.ndarray, "n tokens hidden"]:
    """Prompts drawn as the first population is, from other random numbers, and none of them from an earlier run."""
    # One more than asked for: the first member around a text is the text itself, which is not random.
    return _drawn(respondent, spec, target, count + 1, generator(spec.seed, _RANDOM_STREAM))[1:]


def _drawn(
    respondent: Respondent, spec: RunSpec, target: Target, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    size = spec.tokens, count, rng
    match spec.begins:
        case "text" | "blank":  # only a start of text has one (spec)
            return around_text(respondent, spec.text or BLANK, spec.tokens, count, rng=rng, spread=spec.first_spread)
        case "noise":
            return gaussian_noise(respondent, *size)
        case "culture":
            return text_windows(respondent, culture_texts(target), *size)
        case _:
            return vocabulary_rows(respondent, *size)
