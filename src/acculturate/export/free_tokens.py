"""Token ids of a model that stand for nothing: rows that no token uses, and tokens that wait for a use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from acculturate.errors import ModelError
from acculturate.export.subject import Subject
from acculturate.export.virtual_tokens import extended, name_of
from acculturate.model.engine.forward import embedding_of

# <|reserved_special_token_7|>, <unused12>, [unused3], <|extra_0|>, <SPECIAL_21>, <|placeholder1|>, <reserved_4>, ...
_WAITING = re.compile(
    r"[<\[]\|?_*(reserved|unused|extra|special|placeholder|dummy|blank)\w*?_?\d+_*\|?[>\]]", re.IGNORECASE
)

_ROLES = ("system", "user", "assistant", "developer", "tool")


@dataclass(frozen=True)
class FreeTokens:
    """Hold token ids for a prompt: their names, in order.

    ``new``: those of them that the tokenizer has to be given, on rows that it does not use. ``meaning``: those that had
    a meaning of their own in the model's training.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    new: tuple[str, ...]
    meaning: tuple[str, ...]


def free_tokens(subject: Subject) -> FreeTokens:
    """Find as many free token ids as the prompt has vectors; ``UserError`` where there are not so many.

    First rows that the tokenizer does not use, then tokens that it reserves, then special tokens that the chat template
    does not write.
    """
    wanted = len(subject.prompt.vectors)
    tokenizer = subject.respondent.tokenizer
    new = _beyond(tokenizer, embedding_of(subject.respondent.model).weight.shape[0], wanted)
    reserved, meaning = _special(subject)
    pairs = [*new, *reserved, *meaning][:wanted]
    if len(pairs) < wanted:
        raise ModelError(
            f"This model has {len(pairs)} token ids without a use, and the prompt needs {wanted}; choose "
            "`to='tokens'`, which adds tokens to a copy of the model, or a prompt of fewer tokens."
        )
    taken = {i for i, _ in pairs}
    return FreeTokens(
        tuple(i for i, _ in pairs),
        tuple(name for _, name in pairs),
        tuple(name for i, name in new if i in taken),
        tuple(name for i, name in meaning if i in taken),
    )


def _beyond(tokenizer: PreTrainedTokenizerBase, rows: int, wanted: int) -> list[tuple[int, str]]:
    """Name rows of the embedding that the tokenizer does not use, as it would give them out."""
    names = [name_of(k) for k in range(wanted)]
    _, ids = extended(tokenizer, names)
    used = set(tokenizer.get_vocab().values())
    return [(i, name) for i, name in zip(ids, names, strict=True) if i < rows and i not in used]


def _special(subject: Subject) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """List the tokenizer's special tokens without a use: those in reserve, and others that no conversation holds."""
    tokenizer = subject.respondent.tokenizer
    rows = embedding_of(subject.respondent.model).weight.shape[0]
    roles = {*_ids_with_a_role(subject, tokenizer), *_written(tokenizer)}
    template = subject.respondent.chat.template or ""
    free = [
        (int(i), token.content)
        for i, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special
        and i < rows
        and i not in roles
        and token.content not in template
        and not _names_a_role(token.content)
    ]
    # Reserved tokens may stand in the vocabulary without being marked as special.
    marked = {i for i, _ in free}
    plain = [
        (int(i), token)
        for token, i in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
        if i < rows and i not in marked | roles and _WAITING.fullmatch(token) and _is_one(tokenizer, token, int(i))
    ]
    reserved = sorted([*(pair for pair in free if _WAITING.fullmatch(pair[1])), *plain])
    return reserved, [pair for pair in free if not _WAITING.fullmatch(pair[1])]


def _written(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Collect the ids that the chat template writes around messages of every role that it takes."""
    ids: set[int] = set()
    if not tokenizer.chat_template:
        return ids
    for role in _ROLES:
        for before in ([], ["user"], ["user", "assistant"]):
            talk = [{"role": one, "content": "x"} for one in (*before, role)]
            with suppress(Exception):  # a template raises what it likes for a role that it does not take
                text: Any = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
                ids |= set(tokenizer.encode(text, add_special_tokens=False))
    return ids


def _names_a_role(name: str) -> bool:
    """Tell whether a token is named after a role: a template may put it together from the role's name."""
    return re.sub(r"[^a-z]", "", name.lower()) in _ROLES


def _is_one(tokenizer: PreTrainedTokenizerBase, token: str, ident: int) -> bool:
    """Tell whether a text is read as this one token."""
    return tokenizer.encode(token, add_special_tokens=False) == [ident]


def _ids_with_a_role(subject: Subject, tokenizer: PreTrainedTokenizerBase) -> Sequence[int]:
    """List ids that a program may put in or wait for: begin, end, padding, unknown, and what ends a reply."""
    named = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id]
    config, generation = subject.respondent.model.config, subject.respondent.model.generation_config
    ids: list[Any] = []
    for value in (
        *named,
        *(getattr(owner, f"{role}_token_id", None) for owner in (config, generation) for role in ("bos", "eos", "pad")),
    ):
        ids += value if isinstance(value, list) else [] if value is None else [value]
    return ids
