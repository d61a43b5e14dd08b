"""Text generated from embeddings by the model's own ``generate``, and a check that it does this rightly.

Generation has code of its own per architecture: which positions it counts, what it keeps between tokens, whether it
takes embeddings at all. So it is compared once with the same texts put through the model whole, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from acculturate.errors import ModelError, UserError, first_line, setting
from acculturate.model.engine.batches import Batching, padded
from acculturate.model.engine.forward import embed, head_of, ours, out_of_memory
from acculturate.model.soundness import float32_layers, scales_positions

# Relative to the hidden state's own size; float32 stays near 1e-6, and what is wrong begins at some 1e-3.
_GAP = 1e-4
_STEPS = 3


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    rows: Sequence[Float[Tensor, "_ hidden"]],
    settings: GenerationConfig,
    processors: Sequence[LogitsProcessor] = (),
    stopping: Sequence[StoppingCriteria] = (),
) -> Int[Tensor, "rows tokens"]:
    """Generate the tokens that follow each text, padded at the end.

    Raises ``UserError`` where this architecture does not generate from embeddings.
    """
    embeds, mask = padded(rows, in_front=True)
    # Settings that come with a model (repetition penalty, top-k) would make it another experiment.
    kept, model.generation_config = model.generation_config, settings
    try:
        out = model.generate(  # type: ignore[operator]
            inputs_embeds=embeds,
            attention_mask=mask,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList(stopping),
        )
    except Exception as error:
        if out_of_memory(error) or ours(getattr(error.__traceback__, "tb_next", None)):
            raise
        raise _cannot(model, first_line(error)) from error
    finally:
        model.generation_config = kept
    assert isinstance(out, Tensor)
    return out


def _cannot(model: PreTrainedModel, why: str) -> UserError:
    return ModelError(
        f"This architecture ({model.config.model_type}) does not generate text from a soft prompt ({why}); ask it by "
        f"option probabilities ({setting('answers', 'probabilities')})."
    )


@torch.inference_mode()
def generation_batching(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> Batching:
    """Find out what may be generated side by side. ``texts``: token ids of a short text and a long one.

    Raises ``UserError`` where even a text alone goes wrong.
    """
    with float32_layers(model):
        if not all(_generates(model, [text]) for text in texts):
            raise _cannot(model, "its generated tokens follow from something other than the text before them")
        return _batching(model, texts)


def _batching(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> Batching:
    if scales_positions(model):
        return Batching.EQUAL
    short = list(texts[0])
    for may, those in ((Batching.PADDED, texts), (Batching.EQUAL, [short, short[::-1]])):
        try:
            if _generates(model, those):
                return may
        except (RuntimeError, UserError):
            continue
    return Batching.ALONE


def _generates(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> bool:
    """Tell whether every generated token follows from what its whole text, put through the model alone, gives."""
    rows = [embed(model, text) for text in texts]
    settings = GenerationConfig(max_new_tokens=_STEPS, do_sample=False, eos_token_id=None, pad_token_id=0)
    with _before_the_head(model) as steps:
        tokens = generate(model, rows, settings)
    return all(
        _same(step[i], _alone(model, [*text, *tokens[i, :k].tolist()]))
        for i, text in enumerate(texts)
        for k, step in enumerate(steps)
    )


def _alone(model: PreTrainedModel, text: Sequence[int]) -> Float[Tensor, "hidden"]:
    with _before_the_head(model) as states:
        model(inputs_embeds=embed(model, text)[None], use_cache=False)
    return states[0][0]


def _same(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= _GAP * other.norm())


@contextmanager
def _before_the_head(model: PreTrainedModel) -> Iterator[list[Float[Tensor, "rows hidden"]]]:
    """Collect the last place's hidden states of every pass, in float32 whatever the head computes in."""
    states: list[Tensor] = []
    head = head_of(model)

    def keep(module, args):
        states.append(args[0][:, -1].float())
        dtype = module.weight.dtype
        return (args[0].to(dtype) if dtype.is_floating_point else args[0],)

    hook = head.register_forward_pre_hook(keep)
    try:
        yield states
    finally:
        hook.remove()
