"""Answer a question with the model: what the one thread does that computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from acculturate.errors import UserError
from acculturate.legible import shown
from acculturate.model.engine.forward import embedding_of
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.reply import (
    Decoding,
    Ending,
    Piece,
    Token,
    at_an_end,
    check_reply,
    conversation,
    fitting,
    token_text,
    write_reply,
)
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.model.template import Turn
from acculturate.serve.questions import Question
from acculturate.serve.request_error import RequestError

_NEVER = -9999.0  # JSON has no infinity, and OpenAI writes this


@dataclass(frozen=True)
class Weighed:
    """Hold a token as text, its log-probability, and the likeliest ones in its place."""

    text: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Begun:
    """Tell how many tokens all texts of a request have, virtual ones among them."""

    tokens: int


@dataclass(frozen=True)
class Written:
    """Hold what a choice grew by; ``weighed`` where log-probabilities were asked for."""

    choice: int
    text: str
    weighed: Weighed | None


@dataclass(frozen=True)
class Ended:
    """Tell why a choice ended and how many tokens it has."""

    choice: int
    ending: Ending
    tokens: int


Event = Begun | Written | Ended


class Answering:
    """Answer questions with one model and any of its prompts.

    Parameters
    ----------
    respondent
        The model.
    prompts
        Soft prompts by name; None for the untuned model.
    """

    def __init__(self, respondent: Respondent, prompts: Mapping[str, SoftPrompt | None]) -> None:
        self._respondent, self._prompts = respondent, prompts
        self._spelled: Callable[[int], str] = lru_cache(maxsize=4096)(
            lambda token: token_text(respondent.tokenizer, token)
        )

    def check(self, question: Question) -> None:
        """Refuse a question to a model that is not here."""
        if question.model not in self._prompts:
            raise RequestError(
                f"There is no model {shown(question.model)}; choose one of {', '.join(self._prompts)}.",
                404,
                code="model_not_found",
                parameter="model",
            )

    def __call__(self, question: Question, tell: Callable[[Event], bool]) -> None:
        """Answer a question, choice after choice.

        ``tell`` is given every event, and stops everything by returning False. Raises ``UserError`` where the question
        does not fit the model.
        """
        prompt = self._prompts[question.model]
        soft = 0 if prompt is None else len(prompt.vectors)
        sequences = [self._encoded(text, prompt) for text in question.texts]
        decodings = [self._decoding(question, sequence, prompt) for sequence in sequences]
        if not tell(Begun(sum(len(sequence) + soft for sequence in sequences))):
            return
        for place, (sequence, how) in enumerate(zip(sequences, decodings, strict=True)):
            for choice in range(question.choices):
                # A seed may be negative, which no generator of NumPy takes.
                source = None if question.seed is None else [question.seed % 2**64, place, choice]
                each = self._telling(place * question.choices + choice, tell)
                reply = write_reply(self._respondent, sequence, prompt, how, np.random.default_rng(source), each)
                ended = Ended(place * question.choices + choice, reply.ending, len(reply.tokens))
                if not tell(ended) or reply.ending is Ending.CANCELLED:
                    return

    def _decoding(self, question: Question, sequence: SlottedTokens, prompt: SoftPrompt | None) -> Decoding:
        """Fit the length of replies to the window where the request leaves it open; raises ``UserError`` elsewhere."""
        how = question.decoding
        try:
            if not question.limited:
                how = fitting(self._respondent, sequence, prompt, how)
            check_reply(self._respondent, sequence, prompt, how)
        except UserError as error:
            raise RequestError(str(error), code="context_length_exceeded", parameter=question.parameter) from error
        return how

    def _telling(self, choice: int, tell: Callable[[Event], bool]) -> Callable[[Piece], bool]:
        return lambda piece: tell(Written(choice, piece.text, self._weighed(piece.token)))

    def _encoded(self, text: list[Turn] | str | list[int], prompt: SoftPrompt | None) -> SlottedTokens:
        if not isinstance(text, str) and (not text or isinstance(text[0], Turn)):
            turns: Any = text
            return conversation(self._respondent, turns, prompt) if turns else self._raw([], prompt)
        encoded: Any = self._respondent.tokenizer.encode(text) if isinstance(text, str) else text
        return self._raw(encoded, prompt)

    def _raw(self, ids: list[int], prompt: SoftPrompt | None) -> SlottedTokens:
        rows = embedding_of(self._respondent.model).weight.shape[0]
        if ids and max(ids) >= rows:
            raise RequestError(f"This model has no token {max(ids)}; its ids end at {rows - 1}.", parameter="prompt")
        slot = Slot.RESPONSE_START if prompt is None else prompt.slot
        if (sequence := at_an_end(ids, slot)) is not None:
            return sequence
        raise RequestError(
            f"The soft prompt of this model stands in the slot {slot}, and nothing in a raw text tells where that is; "
            "send messages to /v1/chat/completions.",
            parameter="prompt",
        )

    def _weighed(self, token: Token | None) -> Weighed | None:
        if token is None or token.logprob is None:
            return None
        listed = tuple((self._spelled(one), _finite(logprob)) for one, logprob in token.alternatives)
        return Weighed(self._spelled(token.id), _finite(token.logprob), listed)


def _finite(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else _NEVER
