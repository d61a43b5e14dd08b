"""Checks that a loaded model is what it is taken for, made before any of its numbers is believed.

A model has to give finite numbers, continue a text (no later token may change an earlier prediction), and say to
embeddings what it says to token ids: a soft prompt is embeddings without ids. Whether it may be packed is found
out in float32, one layer's weights at a time, because the noise of low precision hides mistakes as large as
itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from acculturate.errors import ModelError, first_line, setting
from acculturate.model.engine.forward import (
    Answers,
    embed,
    embedding_of,
    head_of,
    input_device,
    out_of_memory,
    precision_name,
    precision_of,
    whole_state,
)
from acculturate.model.engine.packed import PackedEngine, PackingError
from acculturate.model.engine.packing import Plan, SlottedTokens
from acculturate.model.engine.plain import PlainEngine

MASS_GAP = 1e-3
"""Nats of answer mass, packed or padded against alone in float32; twenty times the gap in probability."""
PACKED_GAP = 5e-5
"""Largest difference of an option's probability, packed against alone in float32, that counts as the same. The
135-million embedded model stays under 1e-5; the mildest of 13 that cannot be packed was 2.6e-4 off."""
# No embedding of a trained model comes near; one such row makes every prompt of that spread meaningless.
_HUGE = 1e6
_LOW = (torch.bfloat16, torch.float16)


@torch.inference_mode()
def check_model(model: PreTrainedModel, ids: Sequence[int]) -> None:
    """Refuse a model whose answers could not be measured. ``ids``: a short question. Raises ``UserError``."""
    kind = model.config.model_type
    try:
        logits = _logits(model, input_ids=torch.tensor([list(ids)], device=input_device(model)))
    except Exception as error:
        if out_of_memory(error):
            raise ModelError(
                "This model does not fit into memory with a single question; use a smaller one."
            ) from error
        raise ModelError(f"This model's own code ({kind}) fails on a short question: {first_line(error)}.") from error
    dtype = precision_name(model)
    # Elsewhere in the question a number may overflow without reaching the answer.
    if not torch.isfinite(logits[-1]).all():
        if any(torch.isnan(weights).any() for _, weights in whole_state(model)):
            dtype = "float32"  # no precision helps
        raise ModelError(not_finite(dtype, "its logits are NaN or infinite"))
    if float(logits[-1].max() - logits[-1].min()) == 0.0:
        raise ModelError(
            f"This model ({kind}) gives every token the same probability: its output head is empty, or its weights "
            "are zero; give a trained model."
        )
    noise = (1e-3 if model.dtype == torch.float32 else 2e-2) * float(logits[-1].std())
    if not _continues(model, ids, logits, 5 * noise):
        raise ModelError(
            f"This model ({kind}) lets later tokens change what it says at earlier ones: it fills gaps and does not "
            "continue a text; give a causal language model."
        )
    embeds = embed(model, ids)
    try:
        from_embeddings = _logits(model, inputs_embeds=embeds[None])
        # Some look the ids up by comparing embeddings, and fail on one that is no token's.
        _logits(model, inputs_embeds=torch.cat([embeds, embeds.mean(dim=0, keepdim=True)])[None])
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ModelError(_needs_ids(kind)) from error
    if not float((from_embeddings - logits)[-1].abs().max()) <= noise:
        raise ModelError(_needs_ids(kind))


def not_finite(dtype: str, what: str) -> str:
    """Write a sentence for a model that gives no numbers in this precision."""
    if dtype == "float32":
        return (
            f"This model gives no numbers ({what}): its weights are damaged, or too large for float32; "
            "give another copy of it."
        )
    return f"In {dtype} this model gives no numbers ({what}); use {_wider(dtype)}."


def _wider(dtype: str) -> str:
    wider = setting("dtype", "float32")
    return f"{setting('dtype', 'bfloat16')} or {wider}" if dtype == "float16" else wider


def _needs_ids(kind: str) -> str:
    return (
        f"This model ({kind}) looks its token ids up again behind the embeddings (per-layer embeddings or the like), "
        "so a soft prompt, which has no ids, cannot be put into it; choose another model."
    )


def _logits(model: PreTrainedModel, **inputs: Tensor) -> Float[Tensor, "tokens vocabulary"]:
    return model(**inputs, use_cache=False).logits[0].float()


def _continues(model: PreTrainedModel, ids: Sequence[int], logits: Tensor, noise: float) -> bool:
    """Tell whether another last token leaves what the model says at all other places as it was."""
    other = next(i for i in ids if i != ids[-1]) if len(set(ids)) > 1 else (ids[-1] + 1) % logits.shape[-1]
    changed = _logits(model, input_ids=torch.tensor([[*ids[:-1], other]], device=input_device(model)))
    gap = (changed - logits)[:-1].abs()
    return not bool((gap[torch.isfinite(gap)] > noise).any())


@torch.inference_mode()
def check_embeddings(model: PreTrainedModel, vocabulary: Int[np.ndarray, "tokens"]) -> None:
    """Refuse an embedding with rows that are no numbers or absurdly large. Raises ``UserError``."""
    for start in range(0, len(vocabulary), 8192):
        some = vocabulary[start : start + 8192]
        largest = embed(model, some.tolist()).float().abs().amax(dim=1)
        bad = ~(largest < _HUGE)
        if bad.any():
            place = int(bad.nonzero()[0])
            raise ModelError(
                f"The embedding of token number {some[place]} holds {float(largest[place]):.3g}, which is no embedding "
                f"of a trained model; give another copy of this one ({model.config.model_type})."
            )


def packed_engine(
    model: PreTrainedModel,
    plan: Plan,
    sequences: Sequence[SlottedTokens],
    options: Int[np.ndarray, "sequences options variants"],
    prompt: Float[np.ndarray, "1 tokens hidden"],
) -> PackedEngine | None:
    """Give the packed engine where its passes give the answers to one question at a time, in float32; else None.

    Some questions of the passes with the longest row, the fullest row and the longest question are compared. Local
    windows, chunks, recurrent states, positions counted along the row and positions scaled by the longest question all
    show there. Raises ``PackingError`` where the model's own code refuses the packed layout.
    """
    passes = _telling_passes(plan, sequences)
    some = replace(plan, passes=tuple(plan.passes[place] for place in passes))
    which = _telling(some, sequences)
    asked = sorted(int(i) for rows in some.passes for row in rows for i in row.sequences)
    # In float32 it is computed for good, what stands before the slot included.
    final = precision_of(model) == torch.float32
    if _cannot_widen(model):
        raise PackingError("in this precision it could not be compared while parts of it are kept elsewhere")
    with float32_layers(model):
        try:
            expected = PlainEngine(model, [sequences[i] for i in which], options[which])(prompt)
            engine = PackedEngine(model, plan if final else some, options)
            packed = engine(prompt, passes if final else None)
        except RuntimeError as error:  # no memory for wider layers, or weights that do not mix with float32
            raise PackingError(f"it could not be compared in float32: {first_line(error)}") from error
    places = np.searchsorted(asked, which)
    if not _agree(Answers(packed.logprobs[:, places], packed.log_mass[:, places]), expected):
        return None
    if final:
        return engine
    del engine
    return PackedEngine(model, plan, options)


def _telling_passes(plan: Plan, sequences: Sequence[SlottedTokens]) -> list[int]:
    """Choose the passes that are compared: with the longest row, the fullest one, and the longest question."""
    measures = (
        lambda row: len(row.static) + len(row.dynamic),
        lambda row: len(row.sequences),
        lambda row: max(len(sequences[int(i)]) for i in row.sequences),
    )
    most = [[max(map(measure, rows)) for rows in plan.passes] for measure in measures]
    return sorted({int(np.argmax(by_pass)) for by_pass in most})


def _telling(plan: Plan, sequences: Sequence[SlottedTokens]) -> list[int]:
    """Choose the questions where a wrong packing shows: ends of lengths in a pass, and of its fullest row."""
    chosen: set[int] = set()
    for rows in plan.passes:
        there = [int(i) for row in rows for i in row.sequences]
        fullest = max(rows, key=lambda row: (len(row.sequences), len(row.dynamic))).sequences
        chosen |= {min(there, key=lambda i: len(sequences[i])), max(there, key=lambda i: len(sequences[i]))}
        chosen |= {int(fullest[0]), int(fullest[-1])}
    return sorted(chosen)


def scales_positions(model: PreTrainedModel) -> bool:
    """Tell whether positions are scaled by the longest text of a pass (LongRoPE, dynamic NTK).

    What may share a pass then depends on every length, so each interview is compared anew.
    """
    kinds = [getattr(part, "rope_type", None) for part in model.modules()]
    named = [name for kind in kinds if kind for name in (kind.values() if isinstance(kind, dict) else [kind])]
    return any(name == "longrope" or "dynamic" in name for name in named)


def pads(
    model: PreTrainedModel,
    sequences: Sequence[SlottedTokens],
    options: Int[np.ndarray, "sequences options variants"],
    prompt: Float[np.ndarray, "1 tokens hidden"],
) -> bool:
    """Tell whether questions of different lengths may share a padded batch, in float32."""
    if scales_positions(model) or _cannot_widen(model):
        return False
    order = np.argsort([len(s) for s in sequences])
    which = sorted({int(order[0]), int(order[len(order) // 2]), int(order[-1])})
    some = [sequences[i] for i in which]
    with float32_layers(model):
        try:
            together = PlainEngine(model, some, options[which], batch=len(some))(prompt)
            alone = PlainEngine(model, some, options[which])(prompt)
        except RuntimeError:
            return False
    return _agree(together, alone)


def _agree(one: Answers, other: Answers) -> bool:
    """Tell whether two ways to compute the same answers agree, among the options and in the options' whole mass."""
    among = _gap(np.exp(one.logprobs), np.exp(other.logprobs))
    return among <= PACKED_GAP and _gap(one.log_mass, other.log_mass) <= MASS_GAP


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """Measure the largest difference; infinite where one is no number and the other is."""
    gap = np.where(np.isnan(one) & np.isnan(other), 0.0, np.abs(one - other))
    return float(np.inf if np.isnan(gap).any() else gap.max())


@contextmanager
def float32_layers(model: PreTrainedModel) -> Iterator[None]:
    """Let a model of low precision compute in float32 without a second copy of it.

    A layer's weights are widened while it runs and then put back, bit for bit; embeddings and the output head stay
    (answers_only widens the rows it needs). Quantised weights stay as they are.
    """
    layers = [layer for stack in _stacks(model) for layer in stack]
    inside = {id(part) for layer in layers for part in layer.modules()}
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    hooks = []
    try:
        for layer in layers:
            hooks.append(layer.register_forward_pre_hook(lambda module, _args: _widen(module, kept)))
            hooks.append(layer.register_forward_hook(lambda module, _args, _out: _restore(kept, module)))
        still = {id(embedding_of(model)), id(head_of(model))}
        for part in model.modules():
            if id(part) in inside or id(part) in still:
                continue
            _widen(part, kept, recurse=False)
        hooks.append(
            embedding_of(model).register_forward_hook(
                lambda _module, _args, out: out.float() if out.dtype in _LOW else out
            )
        )
        yield
    finally:
        for hook in hooks:
            hook.remove()
        _restore(kept)


def _cannot_widen(model: PreTrainedModel) -> bool:
    """Tell whether weights in low precision are kept in main memory or on disk, and come in only as they are."""
    return any(weights.is_meta and weights.dtype in _LOW for weights in model.parameters())


def _stacks(model: PreTrainedModel) -> list[torch.nn.ModuleList]:
    """List the outermost lists of layers."""
    lists = {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.ModuleList)}
    return [part for name, part in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]


def _widen(module: torch.nn.Module, kept: dict[int, tuple[Tensor, Tensor]], *, recurse: bool = True) -> None:
    with torch.inference_mode(False), torch.no_grad():
        for tensor in (*module.parameters(recurse), *module.buffers(recurse)):
            if tensor.dtype in _LOW and id(tensor) not in kept:
                kept[id(tensor)] = (tensor, tensor.data)
                tensor.data = tensor.data.float()


def _restore(kept: dict[int, tuple[Tensor, Tensor]], module: torch.nn.Module | None = None) -> None:
    """Put back the weights of a module, or all of them."""
    those = list(kept) if module is None else [id(t) for t in (*module.parameters(), *module.buffers())]
    with torch.inference_mode(False), torch.no_grad():
        for key in those:
            if key in kept:
                tensor, narrow = kept.pop(key)
                tensor.data = narrow
