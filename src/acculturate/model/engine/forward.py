"""Put embeddings through a causal language model, and read answers at the places where they stand.

Everything goes through public inputs of a Hugging Face model: embeddings, masks, and hooks on its output head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from acculturate.model.engine.packing import SlottedTokens


@dataclass(frozen=True, eq=False)
class Answers:
    """Hold log-probabilities renormalised over the options (-inf: no such option), and the log of their total mass."""

    logprobs: Float[np.ndarray, "candidates sequences options"]
    log_mass: Float[np.ndarray, "candidates sequences"]


def embedding_of(model: PreTrainedModel) -> torch.nn.Embedding:
    """Give the input-embedding module; the library's type says any module, or none."""
    return cast(torch.nn.Embedding, model.get_input_embeddings())


def input_device(model: PreTrainedModel) -> torch.device:
    """Tell on which device embeddings come out of the embedding module.

    A model that is spread over devices has others elsewhere, and an embedding that is kept in main memory or on disk
    comes in only while it is used.
    """
    embedding = embedding_of(model)
    if not embedding.weight.is_meta:
        return embedding.weight.device
    with torch.inference_mode():
        return embedding(torch.zeros(1, dtype=torch.long)).device


@contextmanager
def brought_in(module: torch.nn.Module) -> Iterator[None]:
    """Have a module's weights on its device in this context, where they are kept in main memory or on disk."""
    if not any(weights.is_meta for weights in module.parameters(recurse=False)):
        yield
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        yield


def whole_state(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and values of every tensor of a model, those included that are kept elsewhere, one at a time."""
    for name, weights in model.state_dict().items():
        owner, _, own = name.rpartition(".")
        module = model.get_submodule(owner)
        with brought_in(module):
            yield name, getattr(module, own) if weights.is_meta else weights


def head_of(model: PreTrainedModel) -> torch.nn.Linear:
    """Give the output head: hidden states to logits over the vocabulary."""
    return cast(torch.nn.Linear, model.get_output_embeddings())


def is_tied(model: PreTrainedModel) -> bool:
    """Tell whether the output head shares the embedding's rows."""
    return head_of(model).weight is embedding_of(model).weight


def embed(model: PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    """Embed tokens through the embedding *module*, which may scale them (Gemma): ``(len(tokens), hidden)``."""
    ids = torch.tensor(list(tokens), dtype=torch.long, device=input_device(model))
    return embedding_of(model)(ids)


def embed_around(model: PreTrainedModel, sequence: SlottedTokens, soft: Float[Tensor, "tokens hidden"]) -> Tensor:
    """Embed a question with a soft prompt in its slot: ``(tokens, hidden)``."""
    return torch.cat([embed(model, sequence.prefix), soft, embed(model, sequence.suffix)])


def virtual_tokens(model: PreTrainedModel, prompts: Float[np.ndarray, "*candidates tokens hidden"]) -> Tensor:
    """Give soft prompts as a tensor in the model's precision and on its device."""
    return torch.as_tensor(prompts, dtype=precision_of(model), device=input_device(model))


def precision_of(model: PreTrainedModel) -> torch.dtype:
    """Give the type that the model computes in: that of its embeddings as they come out of the module."""
    return embed(model, [0]).dtype


def precision_name(model: PreTrainedModel) -> str:
    """Name the type of a model's weights as settings and messages do, like ``bfloat16``."""
    return str(model.dtype).removeprefix("torch.")


def among_options(
    logits: Float[Tensor, "answers vocabulary"], options: Int[Tensor, "answers options variants"]
) -> tuple[Float[Tensor, "answers options"], Float[Tensor, "answers"]]:
    """Renormalise log-probabilities over the options; the logarithm of their summed exponentials comes second."""
    picked = torch.gather(logits, 1, options.flatten(1).clamp(min=0)).reshape(options.shape)
    picked = picked.masked_fill(options < 0, -torch.inf)
    chosen = picked[..., 0] if options.shape[-1] == 1 else torch.logsumexp(picked, dim=-1)
    among = torch.logsumexp(chosen, dim=-1)
    return chosen - among[:, None], among


_ROWS = 16_384
"""Rows of an output head that are widened at once."""


@contextmanager
def answers_only(model: PreTrainedModel, rows: Tensor, places: Tensor, options: Tensor) -> Iterator:
    """Let the output head see the answer positions alone in this context; yields a function that reads them.

    The option logits are computed in float32 whatever the model's precision, because a bfloat16 logit near 20
    is rounded to steps of 1/16. What the model does to logits after its head (soft-capping, scaling) applies.
    Layers that compute in float32 before a narrower head are being compared (``model.soundness``): all logits are
    float32 then, because answer mass depends on all of them.
    """
    head = head_of(model)
    kept: dict[str, Tensor] = {}

    def gather(module, args):
        kept["hidden"] = args[0][rows.to(args[0].device), places.to(args[0].device)].unsqueeze(0)
        dtype = module.weight.dtype
        return (kept["hidden"].to(dtype) if dtype.is_floating_point else kept["hidden"],)

    def sharpen(module, _args, out):
        out = out.float()
        if module.weight.dtype.is_floating_point and module.weight.dtype != torch.float32:
            hidden = kept["hidden"].to(out.device)
            compared = hidden.dtype == torch.float32
            rows = torch.arange(out.shape[-1]) if compared else torch.unique(options[options >= 0])
            with brought_in(module):
                for some in rows.to(out.device).split(_ROWS):
                    exact = hidden.float() @ module.weight[some].float().T
                    out[..., some] = exact if module.bias is None else exact + module.bias[some].float()
        return out

    def capture(_module, _args, _kwargs, output):
        kept["logits"] = output.logits[0]

    def read() -> tuple[Tensor, Tensor]:
        logits = kept["logits"].float()
        logprobs, among = among_options(logits, options.to(logits.device))
        return logprobs, (among - torch.logsumexp(logits, dim=-1)).clamp(max=0.0)

    hooks = [
        head.register_forward_pre_hook(gather),
        head.register_forward_hook(sharpen),
        model.register_forward_hook(capture, with_kwargs=True),
    ]
    try:
        yield read
    finally:
        for hook in hooks:
            hook.remove()


def ours(trace: TracebackType | None) -> bool:
    """Tell whether any frame of this traceback is code of this package."""
    package = __name__.partition(".")[0]
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            return True
        trace = trace.tb_next
    return False


def out_of_memory(error: Exception) -> bool:
    """Tell whether an accelerator or the machine ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
