"""How large a model is: its weights, and what attention costs beside them."""

from __future__ import annotations

from transformers import PreTrainedModel

from acculturate.model.engine.forward import embedding_of, head_of
from acculturate.model.engine.packing import Cost


def weights_in_layers(model: PreTrainedModel) -> int:
    """Count the weights that every token is multiplied with: all but the embeddings and the output head."""
    outside = {id(embedding_of(model).weight), id(head_of(model).weight)}
    return sum(p.numel() for p in model.parameters() if id(p) not in outside)


def weight_bytes(model: PreTrainedModel) -> int:
    """Measure the memory of the weights, shared ones once, in bytes."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def attention_width(model: PreTrainedModel) -> int:
    """Multiply query heads, their width and the number of layers; 0 for a model without attention."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 0
    width = getattr(config, "head_dim", None) or embedding_of(model).weight.shape[1] // heads
    return heads * width * config.num_hidden_layers


def packing_cost(model: PreTrainedModel) -> Cost:
    """Estimate what attention costs relative to the weight products of one token."""
    # Attention runs at about a third of the rate of large matrix products, hence the factor.
    return Cost(pair=3 * 2 * attention_width(model) / weights_in_layers(model))
