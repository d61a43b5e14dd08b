"""The paper's way of asking: text is generated with a temperature, and a strict parser reads the option.

Option probabilities (interview.Interview) are exact and cheaper; this mode exists for fidelity and for
checking them. An answer that the parser cannot read is missing: it is counted and shown, and never becomes a
number.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor

from acculturate.errors import ModelError
from acculturate.model.drawing import draw_tokens
from acculturate.model.engine.batches import batches
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.generation import generate
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response


@dataclass(frozen=True)
class Sampling:
    """Describe how text is drawn.

    ``temperature`` divides the logits (above 0; 1 leaves them). ``top_p`` keeps the most probable tokens up
    to that total probability (0..1]. ``seeds``: one answer per question and seed. ``max_new_tokens``: where a
    reply is cut off. ``batch``: questions per forward pass; it changes nothing but time and memory.
    """

    temperature: float | int = 0.7
    top_p: float | int = 0.8
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    max_new_tokens: int = 6
    batch: int = 32

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not np.isfinite(self.temperature):
            raise ModelError(f"The temperature is {self.temperature}; expected a number above 0.")
        if not 0 < self.top_p <= 1:
            raise ModelError(f"top-p is {self.top_p}; expected a number above 0 and at most 1.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ModelError(f"The seeds are {list(self.seeds)}; expected different whole numbers from 0.")
        if self.max_new_tokens < 1 or self.batch < 1:
            raise ModelError("A reply needs at least one token and a batch at least one question.")


@dataclass(frozen=True)
class Unread:
    """Hold a reply that is no answer: where it came from and what it said."""

    format: str
    item: str
    seed: int
    text: str


@dataclass(frozen=True, eq=False)
class SampledAnswers:
    """Hold how often each option was chosen, in the scale's own order, and every reply that could not be read."""

    counts: Int[np.ndarray, "formats items options"]
    invalid: Int[np.ndarray, "formats items"]
    unread: tuple[Unread, ...]
    exists: np.ndarray
    """Which options an item has, (items, options)."""

    @property
    def invalid_share(self) -> float:
        """Compute the share of all replies, 0 to 1, that could not be read."""
        return float(self.invalid.sum() / (self.invalid.sum() + self.counts.sum()))

    def note(self, how: Sampling) -> str:
        """Say how the answers were drawn, how many of them are none, and what that leaves without a score."""
        silent = int((self.counts.sum(axis=-1) == 0).sum())
        lost = (
            f" No reply to {silent} of {self.invalid.size} questions could be read: they have no answer, and what "
            "needs them has no score."
        )
        return (
            f"Generated text: {len(how.seeds)} replies per question, temperature {how.temperature:g}, top-p "
            f"{how.top_p:g}. {self.invalid_share:.0%} of the replies could not be read.{lost if silent else ''}"
        )

    def response(self) -> Response:
        """Turn frequencies into a response: NaN where no reply could be read; the mass is the share that could."""
        valid = self.counts.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            logprobs = np.log(self.counts / valid[..., None])
        logprobs = np.where(self.exists, logprobs, -np.inf)
        return Response(logprobs, valid / (valid + self.invalid))


def sampled_responses(
    respondent: Respondent,
    questionnaire: Questionnaire,
    *,
    slot: str = Slot.RESPONSE_START,
    prompt: Float[np.ndarray, "tokens hidden"] | None = None,
    context: Context | None = None,
    sampling: Sampling | None = None,
) -> SampledAnswers:
    """Ask every question once per seed and read the replies.

    What is drawn for a question depends on its format, its item and the seed only, not on what else is asked.
    """
    how = sampling or Sampling()
    sequences = respondent.sequences(questionnaire, slot, context or Context())
    questions, items = questionnaire.questions(), questionnaire.instrument.item_ids
    names = [(form.name, item) for form in questionnaire.formats for item in items]
    jobs = [(row, seed) for row in range(len(questions)) for seed in how.seeds]
    # Similar lengths together: padding is computed too.
    jobs.sort(key=lambda job: len(sequences[job[0]]))
    counts = np.zeros((len(questions), questionnaire.instrument.values().shape[1]), dtype=np.int64)
    invalid = np.zeros(len(questions), dtype=np.int64)
    unread: dict[tuple[int, int], Unread] = {}
    soft = np.zeros((0, respondent.hidden), dtype=np.float32) if prompt is None else prompt
    respondent.check_window(sequences, len(soft) + how.max_new_tokens, "its soft prompt and a reply")
    lengths = [len(sequences[row]) for row, _ in jobs]
    for part in batches(lengths, how.batch, respondent.generated_side_by_side):
        chunk = jobs[part]
        draws = [stream(*names[row], seed) for row, seed in chunk]
        replies = _replies(respondent, [sequences[row] for row, _ in chunk], soft, draws, how)
        for (row, seed), text in zip(chunk, replies, strict=True):
            place = read_label(text, questions[row].labels)
            if place is None:
                invalid[row] += 1
                unread[row, how.seeds.index(seed)] = Unread(*names[row], seed, text)
            else:
                counts[row, questions[row].shown[place]] += 1
    shape = (len(questionnaire.formats), len(items))
    return SampledAnswers(
        counts.reshape(*shape, -1),
        invalid.reshape(shape),
        tuple(unread[key] for key in sorted(unread)),
        questionnaire.instrument.option_mask(),
    )


class SampledInterview:
    """Put one questionnaire to one respondent by generated text, after soft prompts of one size in one slot.

    Parameters
    ----------
    respondent, questionnaire, slot, n_tokens, context
        As in ``model.interview.Interview``.
    sampling
        How text is drawn; by default as the paper draws it.
    """

    rows = 1

    def __init__(
        self,
        respondent: Respondent,
        questionnaire: Questionnaire,
        *,
        slot: str = Slot.RESPONSE_START,
        n_tokens: int = 0,
        context: Context | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self.questionnaire, self.n_tokens, self.sampling = questionnaire, n_tokens, sampling or Sampling()
        self._respondent, self._slot, self._context = respondent, slot, context

    def texts(self, prompt: Float[np.ndarray, "tokens hidden"] | None) -> SampledAnswers:
        """Generate the replies after one soft prompt, or none, and read them."""
        return sampled_responses(
            self._respondent,
            self.questionnaire,
            slot=self._slot,
            prompt=prompt,
            context=self._context,
            sampling=self.sampling,
        )

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Return the response after every soft prompt; NaN where no reply to a question could be read."""
        return [self.texts(prompt).response() for prompt in prompts]

    def ask(self, prompt: Float[np.ndarray, "tokens hidden"] | None = None) -> Response:
        """Return the response after one soft prompt, or without."""
        return self.texts(prompt).response()

    @property
    def tokens(self) -> int:
        """Count the tokens that one candidate costs: every question with its soft prompt, once a seed."""
        sequences = self._respondent.sequences(self.questionnaire, self._slot, self._context or Context())
        return sum(len(one) + self.n_tokens for one in sequences) * len(self.sampling.seeds)


def stream(form: str, item: str, seed: int) -> np.random.Generator:
    """Open the random numbers of one reply."""
    return np.random.default_rng([seed, zlib.crc32(f"{form}/{item}".encode())])


def read_label(text: str, labels: Sequence[str]) -> int | None:
    """Find the place of the option that a reply names; None unless it begins with exactly one label.

    White space before it is ignored. After it the reply ends, or goes on with white space or punctuation
    ("B", "B.", "B) often", "B" and a new line). Not an answer: other words first, a longer word or number
    ("Both", "12", "1.5"), two labels ("1-2", "A or B"), and "A" or "I" as the first word of a sentence ("A
    person").
    """
    reply = text.strip()
    begun = [place for place, label in enumerate(labels) if reply.startswith(label)]
    if not begun:
        return None
    place = max(begun, key=lambda place: len(labels[place]))
    label, rest = labels[place], reply[len(labels[place]) :]
    if not rest:
        return place
    if _is_more_than(label, rest, labels):
        return None
    if label in ("A", "a", "I") and re.match(r"\s+[^\W\d_]*[a-z]", rest) and "\n" not in rest[:2]:
        return _word_or_label(rest, place)
    return place


def _is_more_than(label: str, rest: str, labels: Sequence[str]) -> bool:
    """Tell whether a reply says something else than the label it begins with: a longer word, a number, two labels."""
    if rest[0].isalnum() or rest[0] == "_" or rest.startswith(label[-1]):
        return True
    others = "|".join(re.escape(other) for other in sorted(labels, key=len, reverse=True))
    if re.match(rf"\s*(?:[,;/&+|~–—-]|\bor\b|\band\b|\bto\b)\s*(?:{others})(?!\w)", rest):
        return True
    return label.isdigit() and re.match(r"[.,/:-]\d", rest) is not None


def _word_or_label(rest: str, place: int) -> int | None:
    """Tell an article or pronoun (a small letter follows) from a label (an option's text begins with a capital)."""
    return place if rest.strip()[0].isupper() else None


class _Drawing(LogitsProcessor):
    """Leave one token per row: drawn with temperature and top-p from the row's own random numbers.

    The library's own sampling draws a whole batch from one global stream, so that an answer would depend on
    its neighbours; here the decoding is greedy and the draw is made before it.
    """

    def __init__(self, draws: Sequence[np.random.Generator], how: Sampling) -> None:
        self._draws, self._how = draws, how

    def __call__(self, _input_ids: Tensor, scores: Tensor) -> Tensor:
        how = self._how
        chosen = draw_tokens(scores, self._draws, temperature=how.temperature, top_p=how.top_p)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


def _replies(
    respondent: Respondent,
    sequences: Sequence[SlottedTokens],
    soft: Float[np.ndarray, "tokens hidden"],
    draws: Sequence[np.random.Generator],
    how: Sampling,
) -> list[str]:
    """Generate one reply per sequence."""
    return generated_replies(respondent, sequences, soft, how.max_new_tokens, [_Drawing(draws, how)])


def generated_replies(
    respondent: Respondent,
    sequences: Sequence[SlottedTokens],
    soft: Float[np.ndarray, "tokens hidden"],
    max_new_tokens: int,
    processors: Sequence[LogitsProcessor] = (),
) -> list[str]:
    """Generate a reply to every text, side by side, with a soft prompt in the slot; the likeliest tokens by default."""
    model = respondent.model
    virtual = virtual_tokens(model, soft)
    with torch.inference_mode():
        rows = [embed_around(model, sequence, virtual) for sequence in sequences]
    ends = respondent.ends
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
    )
    return [_text(respondent.tokenizer, row, ends) for row in generate(model, rows, settings, processors).tolist()]


def _text(tokenizer, ids: list[int], ends: Sequence[int]) -> str:
    stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
    return tokenizer.decode(ids[:stop], skip_special_tokens=True)
