"""One reply, token by token: as text that is whole characters, with log-probabilities, stopped when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, PreTrainedTokenizerBase, StoppingCriteria

from acculturate.errors import SettingError
from acculturate.legible import shown
from acculturate.model.drawing import draw_tokens
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.generation import generate
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt, vectors_of
from acculturate.model.template import Turn

ALTERNATIVES = 100
"""Likeliest tokens that can be listed beside each token, at most."""

_GREEDY = 1e-5
# What a decoder writes for bytes that are no whole character yet.
_PARTIAL = "\ufffd"


@dataclass(frozen=True)
class Decoding:
    """Describe how a reply is drawn and where it ends.

    Parameters
    ----------
    temperature
        Divides the logits, 0 to 2; at 0 the likeliest token is taken.
    top_p
        The most probable tokens up to this total probability are drawn from (0..1].
    max_tokens
        Where a reply is cut off.
    stop
        Texts that end a reply and do not belong to it.
    alternatives
        How many likeliest tokens are listed beside each token, 0 to 100; None for no log-probabilities at all.
    """

    temperature: float | int = 1.0
    top_p: float | int = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    alternatives: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise SettingError(f"The temperature is {shown(self.temperature)}; expected a number from 0 to 2.")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top-p is {shown(self.top_p)}; expected a number above 0 and at most 1.")
        if self.max_tokens < 1:
            raise SettingError(f"A reply has {shown(self.max_tokens)} tokens at most; expected 1 or more.")
        if not all(self.stop):
            raise SettingError("A text that ends a reply is empty; leave it out.")
        if not 0 <= (self.alternatives or 0) <= ALTERNATIVES:
            raise SettingError(
                f"{shown(self.alternatives)} likeliest tokens are to be listed; expected 0 to {ALTERNATIVES}."
            )


@dataclass(frozen=True)
class Token:
    """Hold one token of a reply, its log-probability, and the likeliest tokens in its place with theirs."""

    id: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """Hold what a reply grew by: text that is settled (it may be empty), and the token that was written."""

    text: str
    token: Token | None = None


class Ending(StrEnum):
    """Tell why a reply ended: by itself or by a stop text, at its greatest length, or because somebody left."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Reply:
    """Hold a whole reply. The token that ended it is the last of its tokens, and no part of its text."""

    text: str
    tokens: tuple[Token, ...]
    ending: Ending


def conversation(respondent: Respondent, turns: Sequence[Turn], prompt: SoftPrompt | None) -> SlottedTokens:
    """Encode a conversation up to where the reply begins, with a place for a prompt.

    The prompt stands in the latest message, or before its reply. Raises ``UserError`` where the model's template has
    no place for it.
    """
    return respondent.chat.encode(turns, Slot.RESPONSE_START if prompt is None else prompt.slot)


def at_an_end(ids: Sequence[int], slot: str) -> SlottedTokens | None:
    """Put the slot before or after the ids of a text of which nothing else is known; None where it is in between."""
    if slot == Slot.BEFORE_BOS:
        return SlottedTokens((), tuple(ids))
    return SlottedTokens(tuple(ids), ()) if slot == Slot.RESPONSE_START else None


def fitting(respondent: Respondent, sequence: SlottedTokens, prompt: SoftPrompt | None, how: Decoding) -> Decoding:
    """Cut the greatest length of a reply to what the model's window has room for, one token at least."""
    if respondent.window is None:
        return how
    room = respondent.window - len(sequence) - (0 if prompt is None else len(prompt.vectors))
    return replace(how, max_tokens=max(1, min(how.max_tokens, room)))


def check_reply(respondent: Respondent, sequence: SlottedTokens, prompt: SoftPrompt | None, how: Decoding) -> None:
    """Refuse a question that does not fit the model with its reply, or that is no text at all; raises ``UserError``."""
    respondent.check_ids(max((*sequence.prefix, *sequence.suffix), default=0))
    soft = 0 if prompt is None else len(prompt.vectors)
    respondent.check_window([sequence], soft + how.max_tokens, "its soft prompt and the longest reply")
    if not len(sequence) + soft:
        raise SettingError("There is no text to continue; give one token at least.")


def write_reply(
    respondent: Respondent,
    sequence: SlottedTokens,
    prompt: SoftPrompt | None,
    how: Decoding,
    draw: np.random.Generator,
    each: Callable[[Piece], bool] = lambda _: True,
) -> Reply:
    """Generate one reply and hand every piece of it on as it is written.

    Parameters
    ----------
    respondent
        The model.
    sequence
        What it is asked, with the slot.
    prompt
        The soft prompt; None for the untuned model.
    how
        How tokens are drawn.
    draw
        Random numbers, one a token.
    each
        Is given each piece; False stops the reply.

    Returns
    -------
    Reply
        Its text is that of all pieces together.

    Raises
    ------
    UserError
        Where the question and the reply do not fit the model's window, or its architecture generates nothing.
    """
    check_reply(respondent, sequence, prompt, how)
    vectors = vectors_of(prompt, respondent.hidden)
    with torch.inference_mode():
        row = embed_around(respondent.model, sequence, virtual_tokens(respondent.model, vectors))
    following = _Following(WrittenText(respondent.tokenizer, how.stop), how, draw, respondent.ends, each)
    settings = GenerationConfig(max_new_tokens=how.max_tokens, do_sample=False, eos_token_id=None, pad_token_id=0)
    generate(respondent.model, [row], settings, [following], [_Ended(following)])
    return following.reply()


class WrittenText:
    """Turn tokens into text that no later token changes: whole characters, and no part of a stop text.

    Parameters
    ----------
    tokenizer
        The model's.
    stop
        Texts that end the reply.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._ids: list[int] = []
        self.text, self.stopped = "", False

    def add(self, token: int) -> str:
        """Add a token; returns the text that is settled with it."""
        self._ids.append(token)
        whole = self._decoded()
        places = [place for place in (whole.find(one, 0) for one in self._stop) if place >= 0]
        if places:
            self.stopped = True
            return self._settle(whole[: min(places)])
        if whole.endswith(_PARTIAL):
            return ""
        return self._settle(whole[: len(whole) - self._held_back(whole)])

    def finish(self) -> str:
        """Return what was held back, now that no token follows."""
        return "" if self.stopped else self._settle(self._decoded())

    def _decoded(self) -> str:
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def _held_back(self, whole: str) -> int:
        """Measure the longest end of the text with which a stop text begins."""
        ends = (size for one in self._stop for size in range(1, len(one)) if whole.endswith(one[:size]))
        return max(ends, default=0)

    def _settle(self, text: str) -> str:
        new = text[len(self.text) :]
        self.text += new
        return new


class _Following(LogitsProcessor):
    """Choose every token itself, and leave no other: the library's greedy decoding then takes it."""

    def __init__(
        self,
        text: WrittenText,
        how: Decoding,
        draw: np.random.Generator,
        ends: Sequence[int],
        each: Callable[[Piece], bool],
    ) -> None:
        self._text, self._how, self._draw, self._ends, self._each = text, how, draw, frozenset(ends), each
        self._tokens: list[Token] = []
        self.ending: Ending | None = None

    def __call__(self, _input_ids: Int[Tensor, "rows _"], scores: Float[Tensor, "rows vocabulary"]) -> Tensor:
        if self._how.temperature < _GREEDY:
            chosen = scores.argmax(dim=-1, keepdim=True)
        else:
            how = self._how
            chosen = draw_tokens(scores, [self._draw], temperature=how.temperature, top_p=how.top_p)
        self._take(int(chosen), scores[0])
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)

    def _take(self, token: int, scores: Float[Tensor, "vocabulary"]) -> None:
        self._tokens.append(self._weighed(token, scores))
        ends = token in self._ends
        goes_on = self._each(Piece("" if ends else self._text.add(token), self._tokens[-1]))
        if not goes_on:
            self.ending = Ending.CANCELLED
        elif ends or self._text.stopped:
            self.ending = Ending.STOP

    def _weighed(self, token: int, scores: Float[Tensor, "vocabulary"]) -> Token:
        if self._how.alternatives is None:
            return Token(token)
        logprobs = torch.log_softmax(scores.float(), dim=-1)
        best, ids = torch.topk(logprobs, min(self._how.alternatives, len(logprobs)))
        return Token(token, float(logprobs[token]), tuple(zip(ids.tolist(), best.tolist(), strict=True)))

    def reply(self) -> Reply:
        """Return the reply, whose last piece is handed on first."""
        ending = self.ending or Ending.LENGTH
        if ending is not Ending.CANCELLED and (rest := self._text.finish()):
            self._each(Piece(rest))
        return Reply(self._text.text, tuple(self._tokens), ending)


class _Ended(StoppingCriteria):
    def __init__(self, following: _Following) -> None:
        self._following = following

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Any:  # noqa: ARG002
        ended = self._following.ending is not None
        return torch.full(input_ids.shape[:1], ended, device=input_ids.device, dtype=torch.bool)


def token_text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """Write one token as it stands behind other text, with the space that belongs to it."""
    lead = tokenizer.encode("x", add_special_tokens=False)
    before, after = (
        tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        for ids in (lead, [*lead, token])
    )
    assert isinstance(before, str)
    assert isinstance(after, str)
    return after[len(before) :] if after.startswith(before) else after
