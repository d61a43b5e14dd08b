"""A causal language model of transformers whose ``generate`` and ``forward`` apply a soft prompt in its slot."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GenerationConfig
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import ModelOutput

from acculturate.errors import ModelError, SettingError
from acculturate.model.engine.batches import Batching, batches, padded
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.reply import at_an_end
from acculturate.model.respondent import Respondent
from acculturate.model.slot_tokenizer import MARK, slot_tokenizer
from acculturate.model.soft_prompt import SoftPrompt, check_fits

# What replaces the text before the new tokens, or computes with token ids alone, which hold no virtual tokens.
_REFUSED = (
    *("inputs_embeds", "past_key_values", "position_ids", "assistant_model", "prompt_lookup_num_tokens"),
    *("negative_prompt_ids", "negative_prompt_attention_mask", "custom_generate", "guidance_scale", "token_healing"),
)


class TunedModel(torch.nn.Module):
    """Apply a soft prompt to a model of transformers, whose attributes and class it shows as its own.

    Token ids hold the mark of its ``tokenizer`` where the prompt goes. Ids without a mark are taken where the slot is
    at their beginning (``before_bos``) or their end (``response_start``), and refused elsewhere.

    Parameters
    ----------
    respondent
        The model. It stays as it is, and can be asked without the prompt.
    prompt
        The soft prompt.

    Raises
    ------
    UserError
        Where the prompt is of another width than the model's embeddings, or the model cannot generate from it.
    """

    def __init__(self, respondent: Respondent, prompt: SoftPrompt) -> None:
        super().__init__()
        if note := check_fits(prompt, respondent.identity, respondent.hidden):
            warnings.warn(note, stacklevel=2)
        self.model = respondent.model
        self.prompt = prompt
        self._respondent = respondent
        self._side_by_side = respondent.generated_side_by_side
        self.tokenizer: Any = slot_tokenizer(respondent.chat, prompt.slot)
        """The model's tokenizer, whose conversations hold a mark where the prompt goes."""
        self.generation_config: GenerationConfig = copy.deepcopy(self.model.generation_config) or GenerationConfig()
        if respondent.ends:
            self.generation_config.eos_token_id = respondent.ends
        if self.generation_config.pad_token_id is None:
            self.generation_config.pad_token_id = self.tokenizer.pad_token_id
        self.eval()

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        """Show the class of the model, by which libraries choose what to do with it."""
        return type(self._modules["model"]) if "_modules" in vars(self) and self._modules else TunedModel

    def __getattr__(self, name: str) -> Any:
        """Give what the model has: its configuration, device, precision."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def generate(
        self,
        inputs: Tensor | None = None,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        streamer: Any = None,
        **settings: Any,
    ) -> Any:
        """Generate what follows each row of token ids with the soft prompt in its slot.

        Parameters
        ----------
        inputs, input_ids
            Token ids, one or the other; at most one mark a row.
        attention_mask
            1 where there is text, on whichever side the padding stands. By default what is no padding token.
        generation_config, settings
            As for every model. ``max_length`` counts virtual tokens; penalties of repetition see new tokens only.
        streamer
            Is given the tokens as they are generated, those of the one row first.

        Returns
        -------
        Tensor or ModelOutput
            The ids of each row and, behind them, the new ones; rows that belong together follow each other.

        Raises
        ------
        UserError
            For ids without a place for the prompt, and for settings that would leave the prompt out.
        """
        config = copy.deepcopy(generation_config or self.generation_config)
        for name in _REFUSED:
            value = settings.get(name, getattr(config, name, None))
            given = value is not None and value is not False
            if given and not (name == "guidance_scale" and value == 1):
                raise SettingError(f"A tuned model takes no {name} in generate: the soft prompt would be left out.")
        ids = _one_of(inputs, input_ids)
        rows = self._rows(ids, attention_mask)
        if config.eos_token_id is None:
            settings.setdefault("eos_token_id", self.generation_config.eos_token_id)
        if config.pad_token_id is None:
            settings.setdefault("pad_token_id", self.generation_config.pad_token_id)
        settings = {name: value for name, value in settings.items() if name not in _REFUSED}
        if streamer is not None:
            settings["streamer"] = _PromptFirst(streamer, ids[ids != self.tokenizer.slot_id][None])
        return self._generated(ids, rows, {"generation_config": config, **settings})

    def _generated(self, ids: Tensor, rows: Sequence[SlottedTokens], settings: dict[str, Any]) -> Any:
        """Generate in as few batches as this architecture allows, and put the rows into their order again."""
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        parts = list(batches([len(rows[place]) for place in order], len(rows), self._side_by_side))
        if len(parts) == 1:
            order = list(range(len(rows)))
        results = [self._batch([rows[place] for place in order[part]], settings) for part in parts]
        if isinstance(results[0], ModelOutput):
            if len(results) > 1:
                raise ModelError(
                    f"This architecture ({self.config.model_type}) generates rows of different lengths one after the "
                    "other; give one row at a time, or leave return_dict_in_generate out."
                )
            results[0]["sequences"] = _after(ids, results[0]["sequences"])
            return results[0]
        each = len(results[0]) // len(range(*parts[0].indices(len(rows))))
        new = [row for part in results for row in part.split(each)]
        padding = settings["generation_config"].pad_token_id
        longest = max(row.shape[1] for row in new)
        full = [torch.nn.functional.pad(row, (0, longest - row.shape[1]), value=padding or 0) for row in new]
        back = sorted(range(len(order)), key=order.__getitem__)
        return _after(ids, torch.cat([full[place] for place in back]))

    def _batch(self, rows: Sequence[SlottedTokens], settings: dict[str, Any]) -> Any:
        with torch.no_grad():
            embeds, mask = padded(self._embedded(rows), in_front=True)
        generate: Any = self.model.generate
        return generate(inputs_embeds=embeds, attention_mask=mask, **settings)

    def forward(
        self,
        input_ids: Any,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Compute the logits behind every token id, with the soft prompt in its slot.

        Parameters
        ----------
        input_ids, attention_mask
            As for ``generate``.
        labels
            The ids to predict, at their own places; -100 where none is. The mark is never one.
        others
            What would change the answer is refused.

        Returns
        -------
        CausalLMOutputWithPast
            ``logits`` (rows, places, vocabulary), zero at padding. The mark's are those behind the whole prompt; so are
            the last id's where the prompt follows it. ``loss``: the mean cross-entropy of the labels, in nats.

        Raises
        ------
        UserError
            For ids without a place for the prompt, and for settings that a tuned model has not.
        """
        for name, value in others.items():
            if not (value is None or value is False or (name == "return_dict" and value is True)):
                raise SettingError(f"A tuned model takes no {name} in forward.")
        if labels is not None and labels.shape != input_ids.shape:
            raise SettingError("Labels have the two axes of the token ids: rows and places.")
        rows = self._rows(input_ids, attention_mask)
        mask = self._mask(input_ids, attention_mask)
        together = self._side_by_side is Batching.PADDED
        groups = [range(len(rows))] if together else [range(k, k + 1) for k in range(len(rows))]
        out: list[Tensor] = []
        for group in groups:
            embeds, there = padded(self._embedded([rows[k] for k in group]))
            logits = self.model(inputs_embeds=embeds, attention_mask=there, use_cache=False).logits
            for k, row in zip(group, logits, strict=True):
                out.append(row.new_zeros(input_ids.shape[1], row.shape[-1]))
                out[-1][mask[k]] = row[self._places(input_ids[k][mask[k]].tolist(), rows[k])]
        logits = torch.stack(out)
        loss = None if labels is None else self._loss(logits, labels)
        return CausalLMOutputWithPast(loss=loss, logits=logits)  # type: ignore[arg-type]

    def _loss(self, logits: Float[Tensor, "rows places vocabulary"], labels: Int[Tensor, "rows places"]) -> Tensor:
        """Compute the mean cross-entropy of every label at the place before it."""
        targets = labels.to(logits.device).masked_fill(labels.to(logits.device) == self.tokenizer.slot_id, -100)
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets[:, 1:].flatten())

    def _places(self, ids: list[int], row: SlottedTokens) -> list[int]:
        """Find, for each id of a row, the place among its embeddings whose logits follow it."""
        soft, before = len(self.prompt.vectors), len(row.prefix)
        marked = self.tokenizer.slot_id in ids
        head = list(range(before))
        tail = [before + soft + k for k in range(len(row.suffix))]
        if marked:
            return [*head, before + soft - 1, *tail]
        if head and not tail:
            head[-1] = before + soft - 1
        return [*head, *tail]

    def _embedded(self, rows: Sequence[SlottedTokens]) -> list[Float[Tensor, "_ hidden"]]:
        soft = virtual_tokens(self.model, self.prompt.vectors)
        return [embed_around(self.model, row, soft) for row in rows]

    def _rows(self, ids: Any, attention_mask: Tensor | None) -> list[SlottedTokens]:
        """Split every row at its slot, without padding."""
        mask = self._mask(ids, attention_mask)
        rows = [self._slotted(row[text].tolist()) for row, text in zip(ids, mask, strict=True)]
        self._respondent.check_ids(max((token for row in rows for token in (*row.prefix, *row.suffix)), default=0))
        return rows

    def _mask(self, ids: Any, attention_mask: Tensor | None) -> Tensor:
        if not isinstance(ids, Tensor):
            raise SettingError("Token ids are a tensor of rows and places; wrap a list of rows in torch.tensor.")
        if ids.ndim != 2 or (attention_mask is not None and attention_mask.shape != ids.shape):
            raise SettingError("Token ids and their attention mask have two axes of one size: rows and places.")
        if not len(ids):
            raise SettingError("There are no rows of token ids; give one at least.")
        if attention_mask is not None:
            return attention_mask.bool()
        # As the library does: padding can be told from text only where no text ends with it.
        padding = self.tokenizer.pad_token_id
        if padding is None or padding in self._respondent.ends:
            return torch.ones_like(ids, dtype=torch.bool)
        return ids != padding

    def _slotted(self, ids: list[int]) -> SlottedTokens:
        marks = ids.count(self.tokenizer.slot_id)
        if marks > 1:
            raise ModelError(f"A row of token ids has {marks} marks {MARK}; a soft prompt stands in one place.")
        if marks:
            here = ids.index(self.tokenizer.slot_id)
            return SlottedTokens(tuple(ids[:here]), tuple(ids[here + 1 :]))
        if (sequence := at_an_end(ids, self.prompt.slot)) is not None:
            return sequence
        raise ModelError(
            f"Nothing in these token ids tells where the soft prompt goes, whose slot is {self.prompt.slot}; encode "
            f"messages with the tuned model's own tokenizer (apply_chat_template), or put {MARK} into the text."
        )

    def pipeline(self) -> transformers.TextGenerationPipeline:
        """Make a text-generation pipeline of transformers: messages or a text in, text out."""
        pipeline: Any = transformers.pipeline
        return pipeline("text-generation", model=self, tokenizer=self.tokenizer)

    def save_pretrained(self, *_where: Any, **_how: Any) -> NoReturn:
        """Refuse to be saved: what transformers writes would be the model without its prompt."""
        raise SettingError(
            "A tuned model is its model and a soft prompt, which transformers cannot save together; the prompt stands "
            "in prompt.safetensors of its run."
        )

    push_to_hub = save_pretrained


class _PromptFirst:
    """Give a streamer the prompt's token ids first, as it expects them; from embeddings none are put."""

    def __init__(self, streamer: Any, ids: Tensor) -> None:
        self._streamer, self._ids = streamer, ids
        self._begun = False

    def put(self, value: Tensor) -> None:
        self._streamer.put(value if self._begun else self._ids.cpu())
        self._begun = True

    def end(self) -> None:
        self._streamer.end()


def _one_of(inputs: Tensor | None, input_ids: Tensor | None) -> Tensor:
    if (inputs is None) == (input_ids is None):
        raise SettingError("Give token ids, once: as the first argument of generate or as input_ids.")
    ids = inputs if input_ids is None else input_ids
    assert ids is not None
    return ids


def _after(ids: Tensor, new: Int[Tensor, "several tokens"]) -> Int[Tensor, "several _"]:
    """Put new ids behind those that they continue."""
    return torch.cat([ids.to(new.device).repeat_interleave(len(new) // len(ids), dim=0), new], dim=1)
