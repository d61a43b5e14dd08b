"""Answers from whole sequences, one padded batch after another.

For models that take no packed layout, and the reference that packed answers are checked against.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from acculturate.model.engine.batches import padded
from acculturate.model.engine.forward import Answers, answers_only, embed_around, input_device, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens


class PlainEngine:
    """Answer every question for soft prompts, one prompt after another, ``batch`` questions at a time.

    Parameters
    ----------
    model
        A causal language model.
    sequences
        Token ids of every question, with the slot in place.
    options
        Token ids in shown order, for each option all tokens that stand for it; -1 where there are no more.
    batch
        Questions per forward pass, padded behind.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        sequences: Sequence[SlottedTokens],
        options: Int[np.ndarray, "sequences options variants"],
        *,
        batch: int = 1,
    ) -> None:
        self.model, self._sequences, self._options, self._batch = model, sequences, options, batch

    @torch.inference_mode()
    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> Answers:
        """Answer every sequence for every prompt."""
        shape = (len(prompts), *self._options.shape[:2])
        logprobs, log_mass = np.empty(shape), np.empty(shape[:2])
        for c, prompt in enumerate(prompts):
            for start in range(0, len(self._sequences), self._batch):
                which = slice(start, start + self._batch)
                logprobs[c, which], log_mass[c, which] = (part.cpu().numpy() for part in self._run(prompt, which))
        return Answers(logprobs, log_mass)

    def _run(self, prompt: Float[np.ndarray, "tokens hidden"], which: slice) -> tuple[Tensor, Tensor]:
        model = self.model
        soft = virtual_tokens(model, prompt)
        texts = [embed_around(model, sequence, soft) for sequence in self._sequences[which]]
        embeds, mask = padded(texts)
        rows, last = torch.arange(len(texts)), torch.tensor([len(text) for text in texts]) - 1
        options = torch.as_tensor(self._options[which], device=input_device(model))
        with answers_only(model, rows, last, options) as read:
            model(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
        return read()
