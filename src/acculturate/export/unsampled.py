"""Rows of an output head for tokens that a model reads and never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from acculturate.export.subject import Subject
from acculturate.knowledge.specimens import specimens
from acculturate.model.engine.forward import embed_around, head_of, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.template import Turn

BELOW = 100.0
"""Nats that the tokens' logits are to lie below the largest one: no temperature reaches them."""

LEAST = 0.25
"""The least share of the mean that hidden states apart from the fitted ones may have along the direction."""

_QUESTIONS = 48
"""Questions of the survey whose hidden states are looked at."""


@dataclass(frozen=True, eq=False)
class HeadRow:
    """Hold a row for tokens that are never to be written; ``sure``: its logit is far below others in any engine."""

    row: Float[np.ndarray, "hidden"]
    sure: bool


def unsampled_row(subject: Subject) -> HeadRow:
    """Find a row for the output head whose logit lies far below all others wherever the model may write."""
    return row_against(*_hidden_states(subject))


def row_against(hidden: Float[np.ndarray, "places hidden"], largest: Float[np.ndarray, "places"]) -> HeadRow:
    """Find a row far below the ``largest`` logit at every hidden state; a row of zeros where there is none.

    Hidden states of a language model have much in common: a direction along which all of them lie on the same side is
    fitted to half of them, and believed if it holds for the other half.
    """
    fitted, apart = hidden[::2], hidden[1::2]
    ridge = 1e-4 * np.trace(fitted.T @ fitted) / fitted.shape[1]
    direction = np.linalg.solve(fitted.T @ fitted + ridge * np.eye(fitted.shape[1]), fitted.sum(axis=0))
    least = float((apart @ direction).min())
    steep = (BELOW - min(float(largest.min()), 0.0)) / LEAST
    row = -steep * direction
    if not np.isfinite(row).all() or least < LEAST or np.abs(row).max() > np.finfo(np.float16).max:
        return HeadRow(np.zeros(hidden.shape[1], dtype=np.float32), sure=False)
    return HeadRow(row.astype(np.float32), sure=True)


@torch.inference_mode()
def _hidden_states(subject: Subject) -> tuple[Float[np.ndarray, "places hidden"], Float[np.ndarray, "places"]]:
    """Collect what the output head is given, and the largest logit, at every place of questions and of good replies."""
    model = subject.respondent.model
    soft = virtual_tokens(model, subject.prompt.vectors)
    states: list[np.ndarray] = []
    largest: list[np.ndarray] = []

    def note(_module: torch.nn.Module, args: tuple, out: torch.Tensor) -> None:
        states.append(args[0][0, 1:].double().cpu().numpy())
        largest.append(out[0, 1:].max(dim=-1).values.double().cpu().numpy())

    hook = head_of(model).register_forward_hook(note)
    try:
        for text in _texts(subject):
            model(inputs_embeds=embed_around(model, text, soft)[None], use_cache=False)
    finally:
        hook.remove()
    return np.concatenate(states), np.concatenate(largest)


def _texts(subject: Subject) -> Sequence[SlottedTokens]:
    chat, slot = subject.respondent.chat, subject.prompt.slot
    questions = list(subject.reading.sequences)
    texts = questions[:: max(1, len(questions) // _QUESTIONS)]
    for one in specimens():
        around = chat.encode([Turn("user", one.request)], slot)
        texts.append(SlottedTokens(around.prefix, around.suffix + tuple(chat.reply(one.text))))
    return texts
