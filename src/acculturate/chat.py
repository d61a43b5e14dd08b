"""Conversations as token ids, with a slot for the soft prompt.

The chat template is the model's own. Texts stand in it as placeholders while it is rendered, and are encoded
apart by a tokenizer that knows no added tokens: whatever an item says, it cannot become a control token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from acculturate.errors import UserError
from acculturate.packing import Sequence_

SLOTS = ("before_bos", "system", "user_end", "response_start")
# Private-use characters: templates pass them through, and no survey text holds them.
_MARK = re.compile("\ue000([a-z]+[0-9]*)\ue001")
_SLOT = "slot"


@dataclass(frozen=True)
class Turn:
    """One message: ``role`` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True)
class Chat:
    """Turns conversations into token ids with one tokenizer."""

    tokenizer: PreTrainedTokenizerBase

    def encode(self, turns: Sequence[Turn], slot: str) -> Sequence_:
        """Token ids before and after the slot; the reply to the last user turn comes next.

        Raises ``UserError`` where the model's template has no place for the slot or for a system message.
        """
        if slot not in SLOTS:
            raise UserError(f"Slot '{slot}' is unknown; expected one of {', '.join(SLOTS)}.")
        shape = tuple(turn.role for turn in turns)
        parts = _template_parts(self, shape, slot)
        texts = {f"t{i}": turn.text for i, turn in enumerate(turns)}
        before: list[int] = []
        after: list[int] = []
        side = before
        for part in parts:
            if part == _SLOT:
                side = after
            else:
                side.extend(self.plain(texts[part]) if isinstance(part, str) else part)
        return Sequence_(tuple(before), tuple(after))

    def label(self, label: str) -> int:
        """The one token that a reply beginning with ``label`` begins with; ``UserError`` if it is not one token."""
        tail = self._tail
        joined = self.tokenizer.encode(tail + label, add_special_tokens=False)
        alone = self.tokenizer.encode(tail, add_special_tokens=False)
        if joined[: len(alone)] == alone and len(joined) == len(alone) + 1:
            return joined[-1]
        ids = self.plain(label)
        if len(ids) == 1:
            return ids[0]
        raise UserError(
            f"The option label '{label}' is {len(ids)} tokens for this model's tokenizer, but an answer is read "
            "from one; choose formats with other labels, like letters."
        )

    def plain(self, text: str) -> list[int]:
        """Encode a text so that nothing in it can become a control token."""
        if self._bare is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        else:
            ids = self._bare.encode(text, add_special_tokens=False).ids
        if not self._control.isdisjoint(ids):
            raise UserError(f"The text '{text[:60]}' contains a control token of this model; reword it.")
        return ids

    @cached_property
    def takes_system_message(self) -> bool:
        """Whether the model's chat template has a place for a system message."""
        try:
            self._render(("system", "user"), "before_bos")
        except UserError:
            return False
        return True

    @cached_property
    def _control(self) -> frozenset[int]:
        return frozenset(i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special)

    @cached_property
    def _bare(self) -> Tokenizer | None:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        description = json.loads(backend.to_str())
        description["added_tokens"] = []
        return Tokenizer.from_str(json.dumps(description))

    @cached_property
    def _lead(self) -> str:
        """The beginning-of-text token, where this tokenizer opens every text with one (templates bring their own)."""
        bos = self.tokenizer.bos_token
        return str(bos) if bos and self.tokenizer.encode("a")[:1] == [self.tokenizer.bos_token_id] else ""

    @cached_property
    def _tail(self) -> str:
        return _MARK.split(self._render(("user",), "before_bos"))[-1]

    def _render(self, shape: tuple[str, ...], slot: str) -> str:
        """The conversation as the template writes it, with marks where the texts and the slot go."""
        mark = {i: f"\ue000t{i}\ue001" for i in range(len(shape))}
        here = f"\ue000{_SLOT}\ue001"
        if slot == "user_end":
            mark[len(shape) - 1] += here
        messages = [{"role": role, "content": mark[i]} for i, role in enumerate(shape)]
        if slot == "system":
            if shape[0] == "system":
                messages[0]["content"] += here
            else:
                messages.insert(0, {"role": "system", "content": here})
        text = self._apply(messages)
        text = here + text if slot == "before_bos" else text + here if slot == "response_start" else text
        found = _MARK.findall(text)
        expected = [m for message in messages for m in _MARK.findall(message["content"])]
        if slot in ("before_bos", "response_start"):
            expected.insert(0 if slot == "before_bos" else len(expected), _SLOT)
        if found != expected:
            place = "system message" if slot == "system" or "system" in shape else f"slot {slot}"
            raise UserError(f"This model's chat template has no place for a {place}; choose another slot or model.")
        return text

    def _apply(self, messages: list[dict[str, str]]) -> str:
        if not self.tokenizer.chat_template:
            # A base model: the texts one after the other, and an invitation to answer.
            lines = [m["content"] if m["role"] != "assistant" else f"Answer:\n{m['content']}" for m in messages]
            return self._lead + "\n\n".join([*lines, "Answer:\n"])
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except Exception as error:
            raise UserError(
                f"This model's chat template refuses the conversation ({str(error).splitlines()[0]}); "
                "choose another slot or leave the system message out."
            ) from error
        assert isinstance(text, str)
        return text


@lru_cache(maxsize=256)
def _template_parts(chat: Chat, shape: tuple[str, ...], slot: str) -> list[str | list[int]]:
    """The rendered conversation in order: names of marks, and token ids between them."""
    pieces = _MARK.split(chat._render(shape, slot))
    parts: list[str | list[int]] = []
    for i, piece in enumerate(pieces):
        if i % 2:
            parts.append(piece)
        elif piece:
            parts.append(chat.tokenizer.encode(piece, add_special_tokens=False))
    return parts
