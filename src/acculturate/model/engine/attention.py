"""Attention for packed trees: grouped queries share their keys without copying them.

Registered through the transformers library's public attention interface. With a mask, the library's own
``sdpa`` path repeats every key and value head once per query head, which for a questionnaire moves more memory
than the attention itself; here the query heads of one group are laid behind each other along the query axis.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "acculturate_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[Tensor, None]:
    """Compute attention under ``attention_mask``, (rows, 1, queries, keys); returns (rows, queries, heads, dim).

    Without a mask (plain causal text, as in generation), or with one of its own for every head (Doge), it is the
    library's own function.
    """
    if attention_mask is None or attention_mask.shape[1] != 1:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    rows, heads, queries, dim = query.shape
    groups = heads // key.shape[1]
    if groups > 1:
        query = query.reshape(rows, key.shape[1], groups * queries, dim)
        attention_mask = attention_mask.repeat(1, 1, groups, 1)
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(rows, heads, queries, value.shape[-1]).transpose(1, 2), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def supports(model: PreTrainedModel) -> bool:
    """Tell whether the model's attention is the plain one that ``grouped_attention`` computes.

    The library chooses ``sdpa`` for those alone; soft-capped scores (Gemma 2), attention sinks (gpt-oss) and
    recurrent layers are other functions, and such models keep their own.
    """
    return implementation_of(model) == "sdpa"


def implementation_of(model: PreTrainedModel) -> str:
    """Name the attention that a model uses; the library sets it publicly but tells it only here."""
    return str(getattr(model.config.get_text_config(), "_attn_implementation", None))
