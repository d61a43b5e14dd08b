"""Requests of OpenAI's API: checked, with every parameter that this server knows, and no other silently ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acculturate.errors import UserError
from acculturate.legible import shown
from acculturate.model.reply import ALTERNATIVES, Decoding
from acculturate.model.slot_tokenizer import turns_of
from acculturate.model.template import Turn
from acculturate.serve.request_error import RequestError

CHOICES = 16
"""Replies to one request, at most."""

TEXTS = 64
"""Raw texts of one request, at most."""

_WITHOUT_EFFECT = frozenset(
    ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls")
)
# Parameters that change a reply in ways that are not offered, with the values at which they change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}

_EXPECTED = {
    "model": "the name of a prompt",
    "messages": "a list of 1 to 1000 messages",
    "prompt": "a text, a list of texts, or token ids, also of several texts",
    "temperature": "a number from 0 to 2",
    "top_p": "a number above 0 and at most 1",
    "max_tokens": "a whole number from 1",
    "max_completion_tokens": "a whole number from 1",
    "n": f"a whole number from 1 to {CHOICES}",
    "seed": "a whole number of 64 bits",
    "stop": "a text, or 4 at most, none of them empty",
    "stream": "true or false",
    "stream_options": "a table with include_usage, true or false",
    "logprobs": f"true or false in a chat, and a whole number from 0 to {ALTERNATIVES} for raw texts",
    "top_logprobs": f"a whole number from 0 to {ALTERNATIVES}",
}
_Text = Annotated[str, Field(min_length=1)]
_Count = Annotated[int, Field(ge=1)]
_Alternatives = Annotated[int, Field(ge=0, le=ALTERNATIVES)]

Q = TypeVar("Q", bound="_Parameters")


@dataclass(frozen=True)
class Question:
    """Hold what a request asks for.

    Parameters
    ----------
    model
        The name of a prompt, or ``untuned``.
    texts
        Conversations, raw texts or token ids, each on its own.
    choices
        Replies to each.
    decoding
        How they are drawn; its ``max_tokens`` holds where ``limited``, else they may be shorter.
    limited
        Whether the request set a greatest length.
    seed
        What the draws follow from; None for fresh ones.
    stream, usage
        Whether the reply is sent as it is written, and its tokens counted at its end.
    """

    model: str
    texts: tuple[list[Turn] | str | list[int], ...]
    choices: int
    decoding: Decoding
    limited: bool
    seed: int | None
    stream: bool
    usage: bool

    @property
    def parameter(self) -> str:
        """The name of the parameter that holds the texts."""
        return "messages" if self.texts[0] and isinstance(self.texts[0][0], Turn) else "prompt"


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    include_usage: bool = False


class _Parameters(BaseModel):
    """Hold the parameters that both kinds of request have."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: _Count | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES)] = 1
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: _Text | Annotated[list[_Text], Field(max_length=4)] = Field(default_factory=list)
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()

    def question(
        self, texts: tuple[list[Turn] | str | list[int], ...], most: int | None, alternatives: int | None
    ) -> Question:
        """Put the question together."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        lengths = {} if most is None else {"max_tokens": most}
        decoding = Decoding(self.temperature, self.top_p, stop=stop, alternatives=alternatives, **lengths)
        usage = self.stream_options.include_usage
        return Question(
            self.model, texts, self.n, decoding, most is not None, self.seed, stream=self.stream, usage=usage
        )


class _ChatParameters(_Parameters):
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
    max_completion_tokens: _Count | None = None
    logprobs: bool = False
    top_logprobs: _Alternatives | None = None


class _TextParameters(_Parameters):
    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: _Alternatives | None = None


def chat_question(body: object) -> Question:
    """Read a request for the reply to a conversation; raises ``UserError`` where it is none."""
    parameters = _parsed(_ChatParameters, body)
    if parameters.top_logprobs is not None and not parameters.logprobs:
        raise RequestError("'top_logprobs' needs 'logprobs' to be true.", parameter="top_logprobs")
    try:
        turns = turns_of(parameters.messages)
    except UserError as error:
        raise RequestError(str(error), parameter="messages") from error
    if turns[-1].role != "user":
        raise RequestError("The last message is not of the user; there is nothing to reply to.", parameter="messages")
    most = parameters.max_tokens if parameters.max_completion_tokens is None else parameters.max_completion_tokens
    return parameters.question((turns,), most, (parameters.top_logprobs or 0) if parameters.logprobs else None)


def text_question(body: object) -> Question:
    """Read a request for what follows raw texts; raises ``UserError`` where it is none."""
    parameters = _parsed(_TextParameters, body)
    prompt: Any = parameters.prompt
    several = isinstance(prompt, list) and not (prompt and isinstance(prompt[0], int))
    texts = tuple(prompt) if several else (prompt,)
    if not 1 <= len(texts) <= TEXTS:
        raise RequestError(f"A request has 1 to {TEXTS} texts in 'prompt', not {len(texts)}.", parameter="prompt")
    for ids in texts:
        if not isinstance(ids, str) and not all(0 <= token < 2**31 for token in ids):
            raise RequestError("A token id in 'prompt' is no whole number from 0.", parameter="prompt")
    most = 16 if parameters.max_tokens is None else parameters.max_tokens  # as OpenAI has it
    return parameters.question(texts, most, parameters.logprobs)


def _parsed(kind: type[Q], body: object) -> Q:
    """Check the parameters of a request; those without effect are left out, as is what is null."""
    if not isinstance(body, Mapping):
        raise RequestError("The body is no table of parameters (a JSON object).")
    left: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in _WITHOUT_EFFECT:
            continue
        if name in _NEUTRAL:
            # As in JSON, where false is no number.
            if not any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in _NEUTRAL[name]):
                raise RequestError(
                    f"'{name}' cannot be {shown(value)}: this server does not offer it.",
                    code="unsupported_parameter",
                    parameter=name,
                )
            continue
        left[name] = value
    try:
        return kind.model_validate(left)
    except ValidationError as error:
        raise _complaint(error) from error


def _complaint(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    place = str(first["loc"][0]) if first["loc"] else "body"
    if first["type"] == "extra_forbidden":
        return RequestError(
            f"This server knows no parameter {shown(place)}; leave it out.", code="unknown_parameter", parameter=place
        )
    if first["type"] == "missing":
        return RequestError(f"'{place}' is missing.", code="missing_required_parameter", parameter=place)
    return RequestError(f"'{place}' cannot be {shown(first['input'])}; expected {_EXPECTED[place]}.", parameter=place)
