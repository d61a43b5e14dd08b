"""A tokenizer that marks the place of a soft prompt: in conversations it encodes, and in texts that hold the mark."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken
from transformers import BatchEncoding, PreTrainedTokenizerBase

from acculturate.errors import SettingError
from acculturate.legible import shown
from acculturate.model.template import Chat, Turn

MARK = "<|soft_prompt|>"
"""Stands in a text where the soft prompt goes. Its token is replaced before the model sees it."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def turns_of(messages: object) -> list[Turn]:
    """Read messages as transformers and OpenAI write them: ``role`` and ``content``, a text or parts of text.

    Raises ``UserError`` for anything else than text, and for an order of roles that is no conversation.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise SettingError("A conversation is a list of messages, each with a role and a content.")
    turns = [_turn(message) for message in messages]
    roles = [turn.role for turn in turns]
    if "system" in roles[1:]:
        raise SettingError("A system message stands first, and there is one at most.")
    talk = roles[1:] if roles[0] == "system" else roles
    if talk != [("user", "assistant")[k % 2] for k in range(len(talk))] or not talk:
        raise SettingError("Messages of user and assistant take turns, and the user begins.")
    return turns


def _turn(message: object) -> Turn:
    if not isinstance(message, Mapping):
        raise SettingError("A message is a table with a role and a content.")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise SettingError(f"A message has the role {shown(role)}; expected system, user or assistant.")
    for name in ("tool_calls", "function_call"):
        if message.get(name):
            raise SettingError(f"A message has {name}; this model is given no tools.")
    if isinstance(content, Sequence) and not isinstance(content, str):
        content = "".join(_part(part) for part in content)
    if not isinstance(content, str):
        raise SettingError("A message has no text; its content is a text, or a list of parts of the type text.")
    return Turn(_ROLES[role], content)


def _part(part: object) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(text := part.get("text"), str):
        return text
    raise SettingError("A message has a part that is no text; this model reads text alone.")


class SlotTokenizer:
    """Encode conversations with a mark where the soft prompt goes; what ``slot_tokenizer`` adds to a tokenizer."""

    slot_chat: Chat
    slot_name: str
    slot_id: int

    def apply_chat_template(
        self,
        conversation: Any,
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tokenize: bool = True,
        padding: bool | str = False,
        return_tensors: str | None = None,
        return_dict: bool = True,
        **others: Any,
    ) -> Any:
        """Encode one conversation or several up to where the reply begins, with the mark in its slot.

        Parameters
        ----------
        conversation
            Messages, or a list of conversations.
        add_generation_prompt, continue_final_message
            Ask for a reply to the last message, or begin it with the text of a last message of the assistant.
        tokenize, padding, return_tensors, return_dict
            As every tokenizer takes them. Without ``tokenize`` the text is returned; encode it without special tokens.
        others
            What changes the encoding is refused.

        Raises
        ------
        UserError
            For messages that are no conversation, a template without a place for the prompt, and settings that a
            tuned prompt was not made with.
        """
        settings = others.pop("tokenizer_kwargs", None) or {}
        if foreign := [name for name, value in {**others, **settings}.items() if value not in (None, False, [], {})]:
            raise SettingError(
                f"The tokenizer of a tuned model takes no {foreign[0]}: it encodes conversations as its run did."
            )
        if not add_generation_prompt and not continue_final_message:
            raise SettingError(
                "The tokenizer of a tuned model encodes conversations up to where a reply begins; give "
                "add_generation_prompt=True."
            )
        messages = getattr(conversation, "messages", conversation)  # a pipeline wraps them
        several = isinstance(messages, Sequence) and bool(messages) and not isinstance(messages[0], Mapping)
        talks = [getattr(one, "messages", one) for one in messages] if several else [messages]
        if not tokenize:
            texts = [self._text(turns_of(talk), continue_final_message) for talk in talks]
            return texts if several else texts[0]
        rows = [self._marked(turns_of(talk), continue_final_message) for talk in talks]
        encoded = self._batch(rows, padding, return_tensors)
        out = encoded if several or return_tensors else BatchEncoding({k: v[0] for k, v in encoded.items()})
        return out if return_dict else out["input_ids"]

    def _batch(self, rows: list[list[int]], padding: bool | str, return_tensors: str | None) -> BatchEncoding:
        tokenizer: Any = self
        encoded = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
        if not padding:
            return BatchEncoding(encoded, tensor_type=return_tensors)
        return tokenizer.pad(encoded, padding=padding, return_tensors=return_tensors)

    def _marked(self, turns: list[Turn], continues: bool) -> list[int]:
        question, begun = _question_and_beginning(turns, continues)
        sequence = self.slot_chat.encode(question, self.slot_name)
        reply = [] if begun is None else self.slot_chat.reply(begun)
        return [*sequence.prefix, self.slot_id, *sequence.suffix, *reply]

    def _text(self, turns: list[Turn], continues: bool) -> str:
        if any(MARK in turn.text for turn in turns):
            raise SettingError(f"A message holds {MARK}, which marks the place of the prompt in a text: reword it.")
        question, begun = _question_and_beginning(turns, continues)
        before, after = self.slot_chat.texts(question, self.slot_name)
        return f"{before}{MARK}{after}{begun or ''}"


def _question_and_beginning(turns: list[Turn], continues: bool) -> tuple[list[Turn], str | None]:
    """Split a conversation into what is asked and how the reply begins; None where the model begins it."""
    begun = turns[-1].text if turns[-1].role == "assistant" else None
    if continues and begun is None:
        raise SettingError("There is no reply to continue: the last message is not of the assistant.")
    if begun is not None and not continues:
        raise SettingError("The last message is of the assistant; continue it, or add one of the user.")
    return (turns if begun is None else turns[:-1]), begun


def slot_tokenizer(chat: Chat, slot: str) -> Any:
    """Copy a tokenizer, as one that marks the slot of a soft prompt (``SlotTokenizer``); it pads in front."""
    marked: Any = copy.deepcopy(chat.tokenizer)
    marked.add_tokens([AddedToken(MARK, special=True, normalized=False)], special_tokens=True)
    kind: type[PreTrainedTokenizerBase] = type(marked)
    marked.__class__ = type(kind.__name__, (SlotTokenizer, kind), {})
    marked.slot_chat, marked.slot_name, marked.slot_id = chat, slot, marked.convert_tokens_to_ids(MARK)
    marked.padding_side = "left"
    if marked.pad_token_id is None:
        # Any token will do: the attention mask leaves padding out.
        marked.pad_token = marked.eos_token or marked.convert_ids_to_tokens(0)
    return marked
