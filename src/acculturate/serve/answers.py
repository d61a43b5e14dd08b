"""Answers in the shape of OpenAI's API: whole, and in chunks as they are written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from acculturate.model.reply import Ending
from acculturate.serve.answering import Begun, Ended, Event, Weighed, Written
from acculturate.serve.questions import Question


@dataclass
class _Choice:
    text: str = ""
    weighed: list[Weighed] = field(default_factory=list)
    ending: Ending = Ending.LENGTH


class Answer:
    """Collect the events of one answer, and write them as JSON.

    Parameters
    ----------
    question
        What was asked.
    chat
        Whether it is the reply to a conversation, rather than what follows a raw text.
    """

    def __init__(self, question: Question, *, chat: bool) -> None:
        self._question, self._chat = question, chat
        self._id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._choices = [_Choice() for _ in range(question.choices * len(question.texts))]
        self._prompt_tokens = self._reply_tokens = 0

    def add(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Begun(tokens):
                self._prompt_tokens = tokens
            case Written(choice, text, weighed):
                self._choices[choice].text += text
                if weighed is not None:
                    self._choices[choice].weighed.append(weighed)
            case Ended(choice, ending, tokens):
                self._choices[choice].ending = ending
                self._reply_tokens += tokens

    def whole(self) -> dict[str, Any]:
        """Return the whole answer."""
        choices = []
        for k, choice in enumerate(self._choices):
            said: dict[str, Any] = {"text": choice.text}
            if self._chat:
                said = {"message": {"role": "assistant", "content": choice.text, "refusal": None}}
            logprobs = self._logprobs(choice.weighed, 0)
            choices.append({"index": k, **said, "logprobs": logprobs, "finish_reason": choice.ending.value})
        return {**self._head("chat.completion"), "choices": choices, "usage": self._usage()}

    def opening(self) -> list[dict[str, Any]]:
        """Return the chunks with which a stream begins: who speaks, in every choice."""
        if not self._chat:
            return []
        return [self._chunk(k, {"role": "assistant", "content": ""}) for k in range(len(self._choices))]

    def chunks(self, event: Event) -> list[dict[str, Any]]:
        """Take an event in, and return the chunks that tell it."""
        before = sum(len(one.text) for one in self._choices[event.choice].weighed) if isinstance(event, Written) else 0
        self.add(event)
        match event:
            case Written(choice, text, weighed) if text or weighed is not None:
                logprobs = None if weighed is None else self._logprobs([weighed], before)
                return [self._chunk(choice, {"content": text} if self._chat else text, logprobs)]
            case Ended(choice, ending, _):
                return [self._chunk(choice, {} if self._chat else "", None, ending.value)]
        return []

    def closing(self) -> list[dict[str, Any]]:
        """Return the chunks with which a stream ends: the number of tokens, where it was asked for."""
        head = self._head("chat.completion.chunk")
        return [{**head, "choices": [], "usage": self._usage()}] if self._question.usage else []

    def _chunk(
        self, choice: int, said: dict[str, str] | str, logprobs: Any = None, ending: str | None = None
    ) -> dict[str, Any]:
        body = {"delta" if self._chat else "text": said}
        one = {"index": choice, **body, "logprobs": logprobs, "finish_reason": ending}
        return {**self._head("chat.completion.chunk"), "choices": [one]}

    def _head(self, kind: str) -> dict[str, Any]:
        name = kind if self._chat else "text_completion"
        return {"id": self._id, "object": name, "created": self._created, "model": self._question.model}

    def _usage(self) -> dict[str, int]:
        total = self._prompt_tokens + self._reply_tokens
        return {"prompt_tokens": self._prompt_tokens, "completion_tokens": self._reply_tokens, "total_tokens": total}

    def _logprobs(self, weighed: Sequence[Weighed], offset: int) -> dict[str, Any] | None:
        if self._question.decoding.alternatives is None:
            return None
        if self._chat:
            return {"content": [_entry(one) for one in weighed], "refusal": None}
        offsets = [offset + sum(len(one.text) for one in weighed[:k]) for k in range(len(weighed))]
        return {
            "tokens": [one.text for one in weighed],
            "token_logprobs": [one.logprob for one in weighed],
            # Parts of characters are written alike; the likeliest stands for them.
            "top_logprobs": [dict(reversed(one.alternatives)) for one in weighed],
            "text_offset": offsets,
        }


def _entry(one: Weighed) -> dict[str, Any]:
    listed = [_spelled(text, logprob) for text, logprob in one.alternatives]
    return {**_spelled(one.text, one.logprob), "top_logprobs": listed}


def _spelled(text: str, logprob: float) -> dict[str, Any]:
    # A part of a character is written as one that stands for what cannot be shown; its bytes are not that one's.
    whole = "\ufffd" not in text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}
