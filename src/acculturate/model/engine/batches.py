"""Several texts in one forward pass: padded embeddings, and which texts may stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

import torch
from jaxtyping import Float, Int
from torch import Tensor


def padded(
    texts: Sequence[Float[Tensor, "_ hidden"]], *, in_front: bool = False
) -> tuple[Float[Tensor, "texts longest hidden"], Int[Tensor, "texts longest"]]:
    """Stack the embeddings of texts of different lengths.

    Parameters
    ----------
    texts
        Embeddings of each text, (tokens, hidden).
    in_front
        Pad in front, so that all texts end together. Otherwise padding stands behind.

    Returns
    -------
    tuple
        The embeddings, zero where there is padding, and the attention mask: 1 where there is text.
    """
    longest = max(len(text) for text in texts)
    embeds = texts[0].new_zeros(len(texts), longest, texts[0].shape[-1])
    mask = torch.zeros(embeds.shape[:2], dtype=torch.long, device=embeds.device)
    for row, text in enumerate(texts):
        place = slice(longest - len(text), longest) if in_front else slice(0, len(text))
        embeds[row, place], mask[row, place] = text, 1
    return embeds, mask


class Batching(Enum):
    """Name which texts an architecture may be given side by side without their changing each other."""

    PADDED = "of any length, padded in front"
    EQUAL = "of one length"
    ALONE = "none"


def batches(lengths: Sequence[int], most: int, may: Batching) -> Iterator[slice]:
    """Cut texts into consecutive batches of at most ``most`` that may stand side by side."""
    start = 0
    while start < len(lengths):
        stop = start + 1 if may is Batching.ALONE else min(start + most, len(lengths))
        if may is Batching.EQUAL:
            stop = next((k for k in range(start, stop) if lengths[k] != lengths[start]), stop)
        yield slice(start, stop)
        start = stop
