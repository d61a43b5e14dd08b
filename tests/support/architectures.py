"""Tiny random models of many architectures, saved as loadable directories: nothing is downloaded."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import Questionnaire, present, questionnaire

START, END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML

HIDDEN, VOCABULARY, WINDOW = 32, 400, 24
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 3,
    "tie_word_embeddings": False,
}
_SLIDING = {
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
}
_CAPPED = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 10.0}
# Per name here: the config class, and what it gets beyond COMMON.
ARCHITECTURES: dict[str, tuple[str, dict]] = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "gemma3": ("Gemma3TextConfig", _SLIDING),
    "gpt_neox": ("GPTNeoXConfig", {"num_key_value_heads": 4}),
    "phi": ("PhiConfig", {"num_key_value_heads": 4}),
    "mistral": ("MistralConfig", {"sliding_window": WINDOW}),
    "gemma2": ("Gemma2Config", _SLIDING | _CAPPED),
    "starcoder2": ("Starcoder2Config", {"sliding_window": WINDOW}),
    "gpt2": ("GPT2Config", {"n_positions": 1024}),
    "mamba": ("MambaConfig", {"state_size": 8}),
}
RECURRENT = {"mamba"}


@cache
def _tokenizer() -> Tokenizer:
    """Byte-level BPE: every character of ASCII, so every label of one character, is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", START, END, "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    asked = load_instrument("vsm2013")
    texts = [present(asked, item, Format()).text for item in asked.item_ids[::4]]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tiny_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A fast tokenizer with control tokens and a chat template (None: a base model's)."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_tokenizer().to_str()),
        bos_token="<s>",
        eos_token=END,
        pad_token="<pad>",
        additional_special_tokens=[START, END],
    )
    tokenizer.chat_template = template
    return tokenizer


_made: dict[tuple[str, str | None], Path] = {}


def tiny_model_dir(factory: pytest.TempPathFactory, architecture: str = "llama", template: str | None = CHATML) -> Path:
    """A directory with a random model of this architecture and its tokenizer; made once per test session."""
    key = (architecture, template)
    if key not in _made:
        name, extra = ARCHITECTURES[architecture]
        common = {k: v for k, v in COMMON.items() if architecture not in RECURRENT or "heads" not in k}
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(
            getattr(transformers, name)(**{**common, **extra}), dtype=torch.float32
        )
        with torch.no_grad():
            for parameter in model.parameters():
                # Wide enough that attention matters to the answers, whatever the architecture begins with.
                if parameter.ndim == 2:
                    parameter.copy_(torch.randn(parameter.shape) * parameter.shape[1] ** -0.5)
        folder = factory.mktemp(architecture)
        model.save_pretrained(folder)
        tiny_tokenizer(template).save_pretrained(folder)
        _made[key] = folder
    return _made[key]


def saved_model_dir(folder: Path, name: str, settings: dict) -> Path:
    """Save a random model of any configuration class, wide enough that everything in it matters to the answers."""
    torch.manual_seed(0)
    config = getattr(transformers, name)(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for key, values in model.named_parameters():
            if values.ndim == 2:
                values.copy_(torch.randn(values.shape) * values.shape[1] ** -0.5)
            if "correct_output_scale" in key:  # Gemma 3n begins with per-layer inputs of no effect
                values.fill_(1.0)
    model.save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return folder


def small_instrument(items: tuple[str, ...] = ("m01", "m15")) -> Instrument:
    """Some questions of the built-in instrument, without dimensions to score."""
    whole = load_instrument("vsm2013")
    return replace(whole, items=tuple(i for i in whole.items if i.id in items), dimensions=())


def small_questionnaire(*formats: Format, balanced: bool = True) -> Questionnaire:
    """Two questions in both orders, letters with the options first unless other formats are given."""
    return questionnaire(small_instrument(), formats or (Format(),), balanced=balanced)
