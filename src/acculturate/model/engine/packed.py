"""One candidate's answers at the cost of the tokens that really depend on it.

The plan (packing.py) is laid out as tensors once: static tokens go through the model a single time and stay in
a key-value buffer; for every candidate only the dynamic tokens are computed, under a mask in which each token
sees its ancestors, and the output head is applied at answer positions alone. Everything goes through public
inputs of a Hugging Face causal model: embeddings, 4-D mask, position ids, cache, hooks on the output head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from acculturate.errors import first_line
from acculturate.model.engine.forward import (
    Answers,
    answers_only,
    embedding_of,
    input_device,
    ours,
    out_of_memory,
    precision_of,
    virtual_tokens,
)
from acculturate.model.engine.packing import Plan, Row


class PackingError(Exception):
    """Report that the model's own code refuses the packed layout: a 4-D mask, position ids or the cache."""


class PackedEngine:
    """Answer a questionnaire for soft prompts in the packed layout.

    ``options``: token ids in shown order, for each option all tokens that stand for it; -1 where there are no more.
    """

    def __init__(
        self, model: PreTrainedModel, plan: Plan, options: Int[np.ndarray, "sequences options variants"]
    ) -> None:
        self.model, self.plan = model, plan
        self._options = options
        self._passes = [_Pass(model, rows, options, reads_untuned=plan.reads_untuned) for rows in plan.passes]

    @torch.inference_mode()
    def __call__(
        self, prompts: Float[np.ndarray, "candidates tokens hidden"], passes: Sequence[int] | None = None
    ) -> Answers:
        """Answer every sequence for every prompt; all prompts go through the model side by side.

        ``passes``: makes those alone, by place, and answers their sequences alone, in their order.
        """
        found = self.tensors(virtual_tokens(self.model, prompts), passes=passes)
        return Answers(*(part.cpu().double().numpy() for part in found))

    def untuned(self) -> Answers | None:
        """Give the answers without a soft prompt; None where the plan does not read them."""
        if not self.plan.reads_untuned:
            return None
        found = self._in_order(self._passes, [one.untuned for one in self._passes])
        return Answers(*(part.cpu().double().numpy() for part in found))

    def tensors(
        self,
        soft: Float[Tensor, "candidates tokens hidden"],
        inputs: list[Tensor] | None = None,
        passes: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer as float32 tensors: ``Answers.logprobs`` and ``Answers.log_mass``.

        Outside of inference mode they can be differentiated with respect to ``soft``; or, where ``inputs`` are wanted,
        to the embeddings of every dynamic token of each pass, which are added to that list.
        """
        made = self._passes if passes is None else [self._passes[place] for place in passes]
        return self._in_order(made, [one(soft, inputs) for one in made])

    def _in_order(self, made: Sequence[_Pass], results: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Join what passes answered, in the order of the sequences; passes have one of their own."""
        order = np.argsort(np.concatenate([one.sequences for one in made]))
        order = torch.as_tensor(order, device=results[0][0].device)
        return tuple(torch.cat(parts, dim=1)[:, order] for parts in zip(*results, strict=True))  # type: ignore[return-value]

    @property
    def held_bytes(self) -> int:
        """Measure the memory that stays taken between calls: static keys and values, masks and embeddings."""
        return sum(one.held_bytes for one in self._passes)


def _forward(model: PreTrainedModel, **packed: Any) -> None:
    """Put packed inputs through the model; raises ``PackingError`` for what goes wrong in the model's own code.

    An error from code of ours that runs inside the model (attention, cache, hooks) is a mistake of ours, and a lack
    of memory says nothing about the layout: both stay as they are.
    """
    try:
        model(**packed)
    except Exception as error:
        if out_of_memory(error) or ours(getattr(error.__traceback__, "tb_next", None)):
            raise
        raise PackingError(first_line(error)) from error


class _Buffer(DynamicLayer):
    """Hold keys and values of the static tokens, with room behind them that every candidate overwrites.

    The library's growing cache copies all static keys for every candidate; this one copies none.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room, self.filled = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *_args, **_kwargs) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the static ones, and give all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = (_roomy(x, self._room) for x in (key_states, value_states))
        assert self.keys is not None
        assert self.values is not None
        if torch.is_grad_enabled():  # a gradient passes through a copy, not through a buffer that is written again
            before = (x[..., : self.filled, :] for x in (self.keys, self.values))
            both = zip(before, (key_states, value_states), strict=True)
            return tuple(torch.cat(pair, dim=-2) for pair in both)  # type: ignore[return-value]
        stop = self.filled + key_states.shape[-2]
        self.keys[..., self.filled : stop, :] = key_states
        self.values[..., self.filled : stop, :] = value_states
        return self.keys[..., :stop, :], self.values[..., :stop, :]

    def get_seq_length(self) -> int:
        """Count the static tokens."""
        return self.filled

    def copies(self, n: int) -> _Buffer:
        """Copy the static part for ``n`` candidates side by side."""
        twin = _Buffer(self._room)
        if self.is_initialized and self.keys is not None and self.values is not None:
            twin.lazy_initialization(self.keys, self.values)
            twin.keys, twin.values = self.keys.repeat(n, 1, 1, 1), self.values.repeat(n, 1, 1, 1)
        twin.filled = self.filled
        return twin


def _roomy(states: Tensor, room: int) -> Tensor:
    return states.new_zeros((*states.shape[:-2], room, states.shape[-1]))


class _Pass:
    """Hold one forward pass of the plan as tensors: rows padded to common sizes, static part already computed."""

    def __init__(
        self, model: PreTrainedModel, rows: tuple[Row, ...], options: np.ndarray, *, reads_untuned: bool = False
    ) -> None:
        self._model = model
        n_static, n_dynamic = max(len(r.static) for r in rows), max(len(r.dynamic) for r in rows)
        visible, depths = _layout(rows, n_static, n_dynamic)
        device = input_device(model)
        self._positions = torch.as_tensor(depths[:, n_static:], device=device)
        self._mask = _mask(model, visible[:, n_static:], depths, n_static)
        tokens = _padded([r.dynamic.tokens for r in rows], n_dynamic)
        self._soft = torch.as_tensor(np.maximum(-1 - tokens, 0), device=device)
        self._is_soft = torch.as_tensor(tokens < 0, device=device)[..., None]
        self._row = np.concatenate([np.full(len(r.answers), i) for i, r in enumerate(rows)])
        self._place = np.concatenate([r.answers for r in rows])
        self._options = torch.as_tensor(options[np.concatenate([r.sequences for r in rows])], device=device)
        self._n_rows = len(rows)
        self.sequences = np.concatenate([r.sequences for r in rows])
        leaves = np.concatenate([r.leaves for r in rows]) if reads_untuned else None
        with torch.inference_mode():
            self._embeds = embedding_of(model)(torch.as_tensor(np.maximum(tokens, 0), device=device))
            self._static, untuned = self._remember(rows, visible, depths, n_static, n_dynamic, leaves=leaves)
        self.untuned: tuple[Tensor, Tensor] = untuned
        self._caches: dict[int, list[_Buffer]] = {1: self._static}

    def _remember(
        self, rows, visible, depths, n_static: int, n_dynamic: int, *, leaves: np.ndarray | None
    ) -> tuple[list[_Buffer], tuple[Tensor, Tensor]]:
        """Compute the keys and values of what stands before the slot, once, and what is answered at its ``leaves``."""
        model = self._model
        none = torch.zeros(0, dtype=torch.long)
        where, places = (none, none) if leaves is None else map(torch.as_tensor, (self._row, leaves))
        options = none.reshape(0, 1, 1).to(input_device(model)) if leaves is None else self._options
        answered = (torch.zeros(0), torch.zeros(0))
        layers = [_Buffer(n_static + n_dynamic) for _ in range(model.config.get_text_config().num_hidden_layers)]
        if n_static:
            device = input_device(model)
            tokens = torch.as_tensor(_padded([r.static.tokens for r in rows], n_static), device=device)
            with answers_only(model, where, places, options) as read:
                _forward(
                    model,
                    inputs_embeds=embedding_of(model)(tokens),
                    attention_mask=_mask(model, visible[:, :n_static, :n_static], depths[:, :n_static], 0),
                    position_ids=torch.as_tensor(depths[:, :n_static], device=device),
                    past_key_values=Cache(layers=list(layers)),
                    use_cache=True,
                )
            if leaves is not None:
                logprobs, log_mass = read()
                answered = logprobs.unsqueeze(0), log_mass.unsqueeze(0)
        for layer in layers:
            layer.filled = n_static
        return layers, answered

    @property
    def held_bytes(self) -> int:
        masks = self._mask.values() if isinstance(self._mask, dict) else (self._mask,)
        buffers = {id(b): b for copies in self._caches.values() for b in copies}.values()
        states = [x for b in buffers for x in (b.keys, b.values) if x is not None]
        return sum(t.nbytes for t in (*masks, *states, self._embeds))

    def __call__(self, soft: Tensor, inputs: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        n, rows = len(soft), self._n_rows
        if n not in self._caches:
            self._caches = {1: self._static, n: [layer.copies(n) for layer in self._static]}
        if soft.shape[1]:
            embeds = torch.where(self._is_soft, soft[:, self._soft], self._embeds).flatten(0, 1)
        else:
            embeds = self._embeds.repeat(n, 1, 1)
        if inputs is not None:
            embeds = embeds.detach().clone().requires_grad_()
            inputs.append(embeds)
        where = torch.as_tensor((np.arange(n)[:, None] * rows + self._row).ravel())
        # Where nothing stands before the slot there is nothing to remember, and a buffer would only hold memory.
        cache = Cache(layers=list(self._caches[n])) if self._static[0].filled else None
        with answers_only(
            self._model, where, torch.as_tensor(np.tile(self._place, n)), self._options.repeat(n, 1, 1)
        ) as read:
            _forward(
                self._model,
                inputs_embeds=embeds,
                attention_mask=_repeated(self._mask, n),
                position_ids=self._positions.repeat(n, 1),
                past_key_values=cache,
                use_cache=cache is not None,
            )
        logprobs, log_mass = read()
        return logprobs.reshape(n, len(self.sequences), -1), log_mass.reshape(n, -1)


def _padded(columns: Sequence[Int[np.ndarray, "_"]], width: int) -> Int[np.ndarray, "rows width"]:
    return np.stack([np.pad(column, (0, width - len(column))) for column in columns])


def _layout(rows: tuple[Row, ...], n_static: int, n_dynamic: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay out who sees whom and position ids, with every row's static and dynamic nodes moved to common places."""
    width = n_static + n_dynamic
    visible = np.zeros((len(rows), width, width), dtype=bool)
    # Padding sees itself: a row of the mask without any key would make attention divide by zero.
    visible[:, np.arange(width), np.arange(width)] = True
    depths = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        places = np.concatenate([np.arange(len(row.static)), n_static + np.arange(len(row.dynamic))])
        visible[i, places[:, None], places[None, :]] = row.ancestors()
        depths[i, places] = row.depths()
    return visible, depths


def _mask(
    model: PreTrainedModel, visible: np.ndarray, depths: np.ndarray, first_query: int
) -> Tensor | dict[str, Tensor]:
    """Build the additive attention mask (rows, 1, queries, keys), one per kind of layer where some slide a window."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    near = visible
    if window:
        apart = depths[:, first_query:, None] - depths[:, None, : visible.shape[2]]
        near = visible & (apart < window)
    if window and "sliding_attention" in kinds and "full_attention" in kinds:
        return {"full_attention": _additive(model, visible), "sliding_attention": _additive(model, near)}
    # Without kinds of layers, a window that is set holds in every layer (Mistral, Phi-3, StarCoder 2).
    slides = bool(window) and (not kinds or "sliding_attention" in kinds)
    return _additive(model, near if slides else visible)


def _additive(model: PreTrainedModel, visible: np.ndarray) -> Tensor:
    device = input_device(model)
    allowed = torch.as_tensor(visible[:, None], device=device)
    mask = torch.zeros(allowed.shape, dtype=precision_of(model), device=device)
    return mask.masked_fill_(~allowed, torch.finfo(mask.dtype).min)


def _repeated(mask: Tensor | dict[str, Tensor], n: int) -> Tensor | dict[str, Tensor]:
    if isinstance(mask, dict):
        return {kind: _repeated(one, n) for kind, one in mask.items()}  # type: ignore[misc]
    return mask.repeat(n, 1, 1, 1)
