"""Draw the next token of a text with temperature and top-p, from random numbers of the text's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw_tokens(
    scores: Float[Tensor, "rows vocabulary"],
    draws: Sequence[np.random.Generator],
    *,
    temperature: float,
    top_p: float,
) -> Int[Tensor, "rows 1"]:
    """Draw one token per row by nucleus sampling.

    Parameters
    ----------
    scores
        Logits.
    draws
        Random numbers of each row, of which one is taken.
    temperature
        Divides the logits; above 0.
    top_p
        The most probable tokens up to this total probability are kept (0..1].
    """
    probabilities = torch.softmax(scores.float() / temperature, dim=-1)
    ordered, ids = torch.sort(probabilities, dim=-1, descending=True, stable=True)
    total = torch.cumsum(ordered.double(), dim=-1)
    # The token that crosses top-p is kept, so at least one always is.
    kept = (total - ordered < top_p).sum(dim=-1, keepdim=True)
    reach = torch.gather(total, 1, kept - 1)
    uniform = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64)
    place = torch.searchsorted(total, uniform.to(total.device) * reach, right=True)
    return torch.gather(ids, 1, torch.minimum(place, kept - 1))
