"""Conversations as token ids, with a slot for the soft prompt.

The chat template is the model's own, and so are the ids: the rendered conversation is encoded as a whole, as the
library's ``apply_chat_template`` does. Where a text would become a control token of the model, the parts are
encoded apart by a tokenizer that knows no added tokens: whatever an item says, it stays text.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from acculturate.errors import ModelError, UserError, first_line
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.slot import Slot
from acculturate.model.template_date import TEMPLATE_DATE, dated
from acculturate.model.thoughts import closing_of

# Private-use characters: templates pass them through, and no survey text holds them.
_MARK = re.compile("\ue000([a-z]+[0-9]*)\ue001")
_SLOT = "slot"


@dataclass(frozen=True)
class Turn:
    """Hold one message: ``role`` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True)
class Labels:
    """Hold how replies with one of some labels begin.

    ``lead``: ids between the conversation and the label, the same for all (a space mark). ``ids``: per label, in
    order, every token by which a reply may begin with it.
    """

    lead: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Chat:
    """Turn conversations into token ids with one tokenizer."""

    tokenizer: PreTrainedTokenizerBase

    def encode(self, turns: Sequence[Turn], slot: str) -> SlottedTokens:
        """Encode a conversation: token ids before and after the slot; the reply to the last user turn comes next.

        Where the template writes something before every reply (a channel, closed thoughts), it is part of them.
        Raises ``UserError`` where the model's template has no place for the slot or for a system message.
        """
        before, after = self._around(turns, slot)
        whole, head = self._ids([*before, *after]), self._ids(before)
        if whole[: len(head)] == head:
            return SlottedTokens(tuple(head), tuple(whole[len(head) :]))
        # A token would reach over the slot, where the soft prompt comes between.
        return SlottedTokens(tuple(head), tuple(self._continued(after)))

    def texts(self, turns: Sequence[Turn], slot: str) -> tuple[str, str]:
        """Write a conversation as text: what stands before the slot, and what behind it; raises as ``encode``."""
        before, after = self._around(turns, slot)
        return "".join(text for _, text in before), "".join(text for _, text in after)

    def _around(self, turns: Sequence[Turn], slot: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
        """Split a conversation at the slot, into parts that are marked as a text of ours or not."""
        if slot not in set(Slot):
            raise ModelError(f"Slot '{slot}' is unknown; expected one of {', '.join(Slot)}.")
        parts = _template_parts(self, tuple(turn.role for turn in turns), slot)
        texts = {f"t{i}": turn.text for i, turn in enumerate(turns)}
        here = next(i for i, (name, _) in enumerate(parts) if name == _SLOT)
        filled = [(name is not None, text if name is None else texts.get(name, "")) for name, text in parts]
        return filled[:here], filled[here + 1 :]

    def labels(self, labels: Sequence[str]) -> Labels:
        """Encode the labels as the model's own template begins a reply with each of them.

        Raises ``UserError`` where a label is not one token behind what all of them have in common.
        """
        replies = [self.reply(label) for label in labels]
        shared = _common(replies) if len(replies) > 1 else 0
        lead = replies[0][: min(shared, *(len(reply) - 1 for reply in replies))]
        chosen = []
        for label, reply in zip(labels, replies, strict=True):
            own = reply[len(lead) :]
            if len(own) != 1:
                raise ModelError(
                    f"The option label '{label}' is {len(own)} tokens for this model's tokenizer, but an answer is "
                    "read from one; choose formats with other labels, like letters."
                )
            chosen.append(tuple(dict.fromkeys([own[0], *self._variants(label, lead)])))
        return Labels(tuple(lead), tuple(chosen))

    def label(self, label: str) -> int:
        """Encode one label as the template's own reply begins with it; ``UserError`` if it is not one token."""
        return self.labels([label]).ids[0][0]

    def reply(self, text: str) -> list[int]:
        """Encode a reply's text as it follows a conversation."""
        request = [(False, self._question)]
        lead = self._ids(request)
        whole = self._ids([*request, (False, self._space), (True, text)])
        if whole[: len(lead)] == lead:
            return whole[len(lead) :]
        return self.plain(text)

    def plain(self, text: str) -> list[int]:
        """Encode a text so that nothing in it can become a control token."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return ids if self._control.isdisjoint(ids) else self._bare_ids(text)

    @cached_property
    def takes_system_message(self) -> bool:
        """Tell whether the model's chat template has a place for a system message."""
        try:
            self.render(("system", "user"), Slot.BEFORE_BOS)
        except UserError:
            return False
        return True

    @cached_property
    def prints_the_date(self) -> bool:
        """Tell whether the template writes a date into the conversation; it is then always ``TEMPLATE_DATE``."""
        other = TEMPLATE_DATE + datetime.timedelta(days=400)
        conversations = [[_user("x")]]
        if self.takes_system_message:
            conversations.append([{"role": "system", "content": "x"}, _user("x")])
        return any(self._apply(messages, date=other) != self._apply(messages) for messages in conversations)

    @cached_property
    def opens_thoughts(self) -> bool:
        """Tell whether the template begins every reply with thoughts; those are closed empty before the answer."""
        return closing_of(self._tail) is not None

    def _ids(self, parts: Sequence[tuple[bool, str]]) -> list[int]:
        """Encode parts, each marked as a text of ours or not, as one text, or apart where a text is control tokens."""
        text = "".join(part for _, part in parts)
        ids = self.tokenizer.encode(text, add_special_tokens=False) if text else []
        harmless = _encoded(self, "".join("x" if ours else part for ours, part in parts))
        if self._controls(ids) == self._controls(harmless):
            return ids
        out: list[int] = []
        for ours, part in parts:
            out += self._bare_ids(part) if ours else self.tokenizer.encode(part, add_special_tokens=False)
        return out

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [i for i in ids if i in self._control]

    def _continued(self, parts: Sequence[tuple[bool, str]]) -> list[int]:
        """Encode parts as they go on behind other text: without the mark that some tokenizers begin a text with."""
        for before in ("\n", ".", "x"):
            lead = self.tokenizer.encode(before, add_special_tokens=False)
            whole = self._ids([(False, before), *parts])
            if whole[: len(lead)] == lead:
                return whole[len(lead) :]
        return self._ids(parts)

    def _variants(self, label: str, lead: Sequence[int]) -> list[int]:
        """List other single tokens that a reply with this label may begin with: the label alone, or behind a space.

        Behind white space no reply begins with another space.
        """
        if self._question[-1:].isspace() or self._space.strip(" "):
            return []
        start = [*self._ids([(False, self._question)]), *lead]
        variants = []
        for text in (label, " " + label):
            whole = self._ids([(False, self._question), (True, text)])
            if len(whole) == len(start) + 1 and whole[:-1] == start:
                variants.append(whole[-1])
        return variants

    @cached_property
    def _control(self) -> frozenset[int]:
        """Collect the ids that steer a model: special tokens and tags. A word that a vocabulary lacks is none."""
        return frozenset(
            i
            for i, token in self.tokenizer.added_tokens_decoder.items()
            if i != self.tokenizer.unk_token_id and (token.special or _TAG.fullmatch(token.content))
        )

    def _bare_ids(self, text: str) -> list[int]:
        if self._bare is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        else:
            ids = self._bare.encode(text, add_special_tokens=False).ids
        if not self._control.isdisjoint(ids):
            raise ModelError(f"The text '{text[:60]}' contains a control token of this model; reword it.")
        return ids

    @cached_property
    def _bare(self) -> Tokenizer | None:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        description = json.loads(backend.to_str())
        description["added_tokens"] = []
        return Tokenizer.from_str(json.dumps(description))

    @cached_property
    def lead(self) -> str:
        """Give the beginning-of-text token where this tokenizer opens every text with one (templates bring it)."""
        bos = self.tokenizer.bos_token
        return str(bos) if bos and self.tokenizer.encode("a")[:1] == [self.tokenizer.bos_token_id] else ""

    @cached_property
    def _question(self) -> str:
        """Render a short conversation up to where the reply begins."""
        return self._requested(self._apply([_user("x")]))

    def _requested(self, conversation: str) -> str:
        """Cut a conversation to where the reply's first token begins.

        A space at the end of the request for a reply is part of that token, as it is in the model's training.
        """
        return (conversation + self._opening.rstrip()).rstrip(" ")

    @cached_property
    def _space(self) -> str:
        """Give the white space that the template puts before a reply's text; it is part of the reply's first token."""
        request = self._apply([_user("x")])
        return (request + self._opening)[len(self._requested(request)) :]

    @property
    def template(self) -> str | None:
        """Give the chat template that conversations are written with; None for a base model, which has none."""
        return self.tokenizer.get_chat_template() if self.tokenizer.chat_template else None

    @cached_property
    def request(self) -> tuple[str, str]:
        """Render a short conversation as the template ends it, and as it is put to the model, where a reply begins."""
        return self._apply([_user("x")]), self._question

    @cached_property
    def _tail(self) -> str:
        """Give what the template writes behind the last question to ask for a reply."""
        return _MARK.split(self._apply([_user(_mark("t0"))]))[-1]

    @cached_property
    def _opening(self) -> str:
        """Give what stands between the request for a reply and its text, by the template's own earlier replies.

        Thoughts that the request opens are closed at once; empty where the template writes nothing there.
        """
        closing = closing_of(self._tail)
        try:
            replied = self._reply_lead("assistant")
            # A template that knows no roles writes a reply as it writes a question.
            written = "" if replied == self._reply_lead("user") else replied
        except UserError:
            written = ""
        if written.startswith(self._tail):
            return written[len(self._tail) :]
        return closing or ""

    def _reply_lead(self, role: str) -> str:
        messages = [_user(_mark("t0")), {"role": role, "content": _mark("t1")}]
        try:
            parts = _MARK.split(self._apply(messages, request=False))
        except UserError:
            return ""  # roles have to alternate: this template knows them
        return parts[2] if parts[1:4:2] == ["t0", "t1"] else ""

    def render(self, shape: tuple[str, ...], slot: str) -> str:
        """Render the conversation as the template writes it, with marks where the texts and the slot go."""
        mark = {i: _mark(f"t{i}") for i in range(len(shape))}
        here = _mark(_SLOT)
        if slot == Slot.USER_END:
            mark[len(shape) - 1] += here
        messages = [{"role": role, "content": mark[i]} for i, role in enumerate(shape)]
        if slot == Slot.SYSTEM:
            if shape[0] == "system":
                messages[0]["content"] += here
            else:
                messages.insert(0, {"role": "system", "content": here})
        text = self._requested(self._apply(messages))
        text = here + text if slot == Slot.BEFORE_BOS else text + here if slot == Slot.RESPONSE_START else text
        marks = _MARK.findall(text)
        expected = [m for message in messages for m in _MARK.findall(message["content"])]
        if slot in (Slot.BEFORE_BOS, Slot.RESPONSE_START):
            expected.insert(0 if slot == Slot.BEFORE_BOS else len(expected), _SLOT)
        if marks != expected:
            place = "a system message" if slot == Slot.SYSTEM or "system" in shape else f"the slot {slot}"
            raise ModelError(f"This model's chat template has no place for {place}; choose another slot or model.")
        return text

    def _apply(
        self, messages: Sequence[dict[str, str]], *, request: bool = True, date: datetime.date = TEMPLATE_DATE
    ) -> str:
        """Apply the template; ``request``: with what asks for a reply at its end."""
        if not self.tokenizer.chat_template:
            # A base model: the texts one after the other, and an invitation to answer.
            lines = [m["content"] if m["role"] != "assistant" else f"Answer:\n{m['content']}" for m in messages]
            return self.lead + "\n\n".join([*lines, *(["Answer:\n"] if request else [])])
        text = self._templated(messages, request, date)
        if not all(m["content"] in text for m in messages):
            in_parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
            try:
                other = self._templated(in_parts, request, date)
            except UserError:
                return text
            return other if all(m["content"] in other for m in messages) else text
        return text

    def _templated(self, messages: Sequence[dict[str, Any]], request: bool, date: datetime.date) -> str:
        stored = self.tokenizer.chat_template
        if isinstance(stored, dict) and "default" not in stored:
            raise ModelError(
                f"This model has several chat templates ({', '.join(stored)}) and none is called default; save the one "
                "to use as chat_template.jinja in a copy of the model's directory."
            )
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages),
                chat_template=dated(self.tokenizer.get_chat_template(), date),
                tokenize=False,
                add_generation_prompt=request,
                enable_thinking=False,
                thinking=False,
                date_string=date.strftime("%d %b %Y"),
            )
        except Exception as error:
            raise ModelError(
                f"This model's chat template refuses the conversation ({first_line(error)}); "
                "choose another slot or leave the system message out."
            ) from error
        assert isinstance(text, str)
        return text


# Tags that models are trained on without being declared special, like <think> or [TOOL_CALLS].
_TAG = re.compile(r"[<\[]\S*[>\]]|<\|.*\|>")


def _mark(name: str) -> str:
    return f"\ue000{name}\ue001"


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _common(rows: Sequence[Sequence[int]]) -> int:
    """Measure the length of the common beginning of all rows."""
    return next(
        (k for k, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1), min(len(row) for row in rows)
    )


@lru_cache(maxsize=256)
def _encoded(chat: Chat, text: str) -> tuple[int, ...]:
    return tuple(chat.tokenizer.encode(text, add_special_tokens=False))


@lru_cache(maxsize=256)
def _template_parts(chat: Chat, shape: tuple[str, ...], slot: str) -> list[tuple[str | None, str]]:
    """Split the rendered conversation: names of marks, and the template's own text between them, in order."""
    pieces = _MARK.split(chat.render(shape, slot))
    return [(piece, "") if i % 2 else (None, piece) for i, piece in enumerate(pieces) if i % 2 or piece]
