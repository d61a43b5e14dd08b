"""A soft prompt as ordinary tokens: their ids and names, and a chat template that writes them into the slot."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from acculturate.errors import ModelError
from acculturate.export.slot_template import conversations, slotted_template
from acculturate.export.subject import Subject
from acculturate.model.template import Turn
from acculturate.model.template_date import TEMPLATE_DATE, dated


def name_of(k: int) -> str:
    """Name the k-th token of a prompt, from 0."""
    return f"<|acculturate_{k}|>"


@dataclass(frozen=True, eq=False)
class VirtualTokens:
    """Hold the tokens that stand for a soft prompt.

    Parameters
    ----------
    ids, names
        Their ids, and what a tokenizer calls them, in the prompt's order.
    new_tokens
        The names that the base model's tokenizer lacks, in the order in which it has to be given them.
    tokenizer
        A tokenizer with all of them, and with ``template``.
    template, dated_template
        The chat template that writes them into the slot; the same with the date of the run, where it prints one.
    conversations, conversations_ids
        Conversations to compare templates by, as messages, and their token ids by the run's own way.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    new_tokens: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase
    template: str
    dated_template: str | None
    template_options: dict[str, str]
    conversations: list[list[dict[str, str]]]
    conversations_ids: list[list[int]]


def extended(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> tuple[PreTrainedTokenizerBase, list[int]]:
    """Copy a tokenizer with special tokens added to it; the ids that they get come second.

    Raises ``UserError`` where the tokenizer has such tokens already: two prompts do not go into one model.
    """
    own = cast(Any, deepcopy(tokenizer))  # the library's types know one token at a time
    there = own.get_vocab()
    if taken := [name for name in names if name in there]:
        raise ModelError(
            f"The tokenizer has a token '{taken[0]}' already: this model holds an exported prompt; export from the run "
            "of its base model."
        )
    added = [AddedToken(name, special=True, normalized=False, lstrip=False, rstrip=False) for name in names]
    own.add_tokens(added, special_tokens=True)
    return own, [int(i) for i in own.convert_tokens_to_ids(list(names))]


def virtual_tokens(
    subject: Subject, names: Sequence[str], new_tokens: Sequence[str], expected: Sequence[int] | None = None
) -> VirtualTokens:
    """Have tokens stand for a prompt.

    Parameters
    ----------
    subject
        What is exported.
    names, new_tokens
        As in ``VirtualTokens``.
    expected
        The ids that the tokens have to get; None for whatever ids the tokenizer gives.

    Raises
    ------
    UserError
        Where tokenizer or template cannot put the prompt where the run had it.
    """
    chat, slot = subject.respondent.chat, subject.prompt.slot
    tokenizer, _ = extended(chat.tokenizer, new_tokens)
    ids = tuple(int(i) for i in cast(Any, tokenizer).convert_tokens_to_ids(list(names)))
    if expected is not None and list(ids) != list(expected):
        raise ModelError(
            "This model's tokenizer gives added tokens other ids than its free ones; choose `to='tokens'`."
        )
    template = slotted_template(chat, slot, "".join(names))
    tokenizer.chat_template = template
    turns = conversations(chat, _texts(subject))
    options = {"date_string": TEMPLATE_DATE.strftime("%d %b %Y")} if chat.prints_the_date else {}
    tokens = VirtualTokens(
        ids,
        tuple(names),
        tuple(new_tokens),
        tokenizer,
        template,
        dated(template, TEMPLATE_DATE) if chat.prints_the_date else None,
        options,
        [[{"role": turn.role, "content": turn.text} for turn in one] for one in turns],
        [_ids_of(subject, one, ids) for one in turns],
    )
    _check(tokens)
    return tokens


def _texts(subject: Subject) -> tuple[str, str]:
    questions = subject.questionnaire.questions()
    return questions[0].text, questions[-1].text


def _ids_of(subject: Subject, turns: Sequence[Turn], ids: Sequence[int]) -> list[int]:
    """Encode a conversation as the run does, with the prompt's ids in the slot."""
    around = subject.respondent.chat.encode(turns, subject.prompt.slot)
    return [*around.prefix, *ids, *around.suffix]


def _check(tokens: VirtualTokens) -> None:
    """Refuse a tokenizer that reads the template otherwise than the run did."""
    for messages, expected in zip(tokens.conversations, tokens.conversations_ids, strict=True):
        try:
            more: dict[str, Any] = {} if tokens.dated_template is None else {"chat_template": tokens.dated_template}
            ids = cast(Any, tokens.tokenizer).apply_chat_template(
                messages,
                tokenize=True,
                add_generation_prompt=True,
                return_dict=False,
                **more,
                **tokens.template_options,
            )
        except Exception as error:
            raise ModelError(
                f"This model's chat template cannot be given a place for the prompt ({type(error).__name__}); choose "
                "`to='safetensors'` or another slot."
            ) from error
        if list(ids) != expected:
            raise ModelError(
                "This model's tokenizer encodes text beside an added token otherwise than without one, so the prompt "
                "would not stand where the run had it; choose `to='embeds'` or another slot."
            )
