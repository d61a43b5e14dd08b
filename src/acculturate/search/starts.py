"""Where a search begins: populations of soft prompts made of real tokens or of a text."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, check_fits, read_prompt
from acculturate.search.culture import culture_texts
from acculturate.search.optimizers.protocol import generator
from acculturate.search.start_kind import StartKind
from acculturate.survey.targets import Target

# Generations count from 0, so these streams are never one of a search's own.
START_STREAM = 2**32 - 1
_RANDOM_STREAM = 2**32 - 2

# Newlines leave a model's answers almost unchanged, which makes them a neutral starting point.
BLANK = "\n"


@dataclass(frozen=True, eq=False)
class Start:
    """Describe the first population of a search.

    Parameters
    ----------
    kind
        Line breaks, random tokens, a text, windows of texts about the country, or Gaussian noise.
    tokens, count
        Virtual tokens of a prompt; prompts of the population.
    seed
        Decides everything that is random.
    text
        The text to start around, for ``StartKind.TEXT``.
    spread
        Length of the offsets around a text, in embedding standard deviations per coordinate.
    earlier
        A prompt that takes the place of the first member.
    """

    kind: StartKind
    tokens: int
    count: int
    seed: int
    text: str | None = None
    spread: float = 1.0
    earlier: SoftPrompt | None = None


def vocabulary_rows(
    respondent: Respondent, tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Draw the embeddings of random ordinary tokens."""
    ids = rng.choice(respondent.vocabulary, size=count * tokens)
    return respondent.rows(ids).reshape(count, tokens, -1)


def gaussian_noise(
    respondent: Respondent, tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Draw independent normal coordinates with the embeddings' standard deviation."""
    return (respondent.unit * rng.standard_normal((count, tokens, respondent.hidden))).astype(np.float32)


def text_rows(respondent: Respondent, text: str, tokens: int) -> Float[np.ndarray, "tokens hidden"]:
    """Embed a text, repeated or cut to ``tokens`` tokens."""
    ids = respondent.chat.plain(text)
    if not ids:
        raise SettingError("The text to start from is empty for this model's tokenizer; give some words.")
    return respondent.rows([ids[i % len(ids)] for i in range(tokens)])


def around_text(
    respondent: Respondent, text: str, tokens: int, count: int, *, rng: np.random.Generator, spread: float
) -> Float[np.ndarray, "n tokens hidden"]:
    """Return the text itself, then copies with Gaussian offsets of ``spread`` embedding standard deviations."""
    offsets = spread * gaussian_noise(respondent, tokens, count, rng)
    offsets[0] = 0.0
    return text_rows(respondent, text, tokens) + offsets


def text_windows(
    respondent: Respondent, texts: list[str], tokens: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    """Draw random windows of ``tokens`` tokens from texts, each text as often as the others (give or take one)."""
    order = [texts[i] for i in rng.permutation(len(texts))]
    members = []
    for i in range(count):
        ids = respondent.chat.plain(order[i % len(order)])
        first = rng.integers(max(1, len(ids) - tokens + 1))
        members.append([ids[(first + k) % len(ids)] for k in range(tokens)])
    return respondent.rows(np.array(members).ravel()).reshape(count, tokens, -1)


def starting_prompts(respondent: Respondent, start: Start, target: Target) -> Float[np.ndarray, "pop tokens hidden"]:
    """Draw the first population of a search; an earlier prompt takes the place of its first member."""
    population = _drawn(respondent, start, target, start.count, generator(start.seed, START_STREAM))
    if start.earlier is not None:
        if warning := check_fits(start.earlier, respondent.identity, respondent.hidden):
            warnings.warn(warning, stacklevel=2)
        population[0] = start.earlier.vectors
    return population


def earlier_prompt(path: Path, slot: str, tokens: int) -> SoftPrompt:
    """Read the prompt of a warm start; raises ``UserError`` unless it has the run's slot and number of tokens."""
    earlier = read_prompt(path)
    if len(earlier.vectors) != tokens:
        raise SettingError(
            f"The prompt to start from has {len(earlier.vectors)} tokens, but this run has {tokens}; "
            f"use {setting('tokens', len(earlier.vectors))}."
        )
    if earlier.slot != slot:
        raise SettingError(
            f"The prompt to start from was found in the slot {earlier.slot}, where other tokens stand around it than "
            f"in this run's {slot}; use {setting('slot', earlier.slot)}, or start from something else."
        )
    return earlier


def random_prompts(
    respondent: Respondent, start: Start, target: Target, count: int
) -> Float[np.ndarray, "n tokens hidden"]:
    """Draw prompts as the first population is drawn, from other random numbers, and none from an earlier run."""
    # One more than asked for: the first member around a text is the text itself, which is not random.
    return _drawn(respondent, start, target, count + 1, generator(start.seed, _RANDOM_STREAM))[1:]


def _drawn(
    respondent: Respondent, start: Start, target: Target, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n tokens hidden"]:
    size = start.tokens, count, rng
    match start.kind:
        case StartKind.TEXT | StartKind.BLANK:
            text = start.text or BLANK
            return around_text(respondent, text, start.tokens, count, rng=rng, spread=start.spread)
        case StartKind.NOISE:
            return gaussian_noise(respondent, *size)
        case StartKind.CULTURE:
            return text_windows(respondent, culture_texts(target), *size)
        case StartKind.VOCABULARY:
            return vocabulary_rows(respondent, *size)
