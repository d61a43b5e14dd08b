"""A random model small enough for any test, with a byte tokenizer, saved where ``Respondent`` can load it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from acculturate.survey.instrument_files import load_instrument

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_tiny_model(folder: Path, *, chat: bool = True, seed: int = 0, **settings) -> str:
    """Two layers, width 32, 600 byte-level tokens; ``chat``: with a template like those of instruct models.

    ``settings``: further ones of the configuration.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # Trained on the survey's own words: with a token per byte, questions would be five times as long.
    instrument = load_instrument("vsm2013")
    words = [instrument.question(item, variant=v) for item in instrument.item_ids for v in range(4)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(words, BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    if chat:
        fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        **settings,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def save_answering_model(folder: Path) -> str:
    """The model of ``save_tiny_model``, but whatever it is asked it replies with one letter and ends there."""
    save_tiny_model(folder)
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    labels = [tokenizer.convert_tokens_to_ids(label) for label in "ABCDE"]
    # One coordinate of the residual stream says "now a letter", another "now the end"; no layer writes to them.
    speak, end = 0, 1
    with torch.no_grad():
        words, head = model.get_input_embeddings().weight, model.lm_head.weight
        words[:, [speak, end]] = torch.tensor([20.0, 0.0])
        words[labels, speak], words[labels, end] = 0.0, 20.0
        head[:, [speak, end]] = 0.0
        head[labels, speak], head[tokenizer.eos_token_id, end] = 6.0, 10.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[[speak, end]] = 0.0
            layer.mlp.down_proj.weight[[speak, end]] = 0.0
    model.save_pretrained(folder)
    return str(folder)


_GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def save_tiny_gguf(
    folder: str,
    files: Sequence[Path],
    *,
    split: bool | None = None,
    more: Callable[[gguf.GGUFWriter], None] = lambda _: None,
) -> None:
    """The model of ``save_tiny_model`` in one GGUF file, or its tensors dealt out to several.

    ``split``: whether the files say that they are parts (None: if there are several). ``more``: adds what else the
    first file holds.
    """
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tensors = _gguf_tensors(model)
    each = -(-len(tensors) // len(files))
    for number, file in enumerate(files):
        writer = gguf.GGUFWriter(str(file), "llama")
        if number == 0:
            _write_settings(writer, model.config, tokenizer)
            more(writer)
        if split or (split is None and len(files) > 1):
            writer.add_uint16("split.no", number)
            writer.add_uint16("split.count", len(files))
        for name, values in list(tensors.items())[number * each : (number + 1) * each]:
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _gguf_tensors(model: LlamaForCausalLM) -> dict[str, np.ndarray]:
    named = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for i in range(model.config.num_hidden_layers):
        named |= {f"model.layers.{i}.{here}": f"blk.{i}.{there}" for here, there in _GGUF_NAMES.items()}
    out = {}
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    for name, values in model.state_dict().items():
        there = named[name.removesuffix(".weight")]
        array = values.float().numpy()
        if there.split(".")[-1] in heads:  # GGUF has the halves of each head's rotation side by side
            n = heads[there.split(".")[-1]]
            array = array.reshape(n, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        out[f"{there}.weight"] = np.ascontiguousarray(array)
    return out


def _write_settings(writer: gguf.GGUFWriter, config: LlamaConfig, tokenizer: PreTrainedTokenizerFast) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    words = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word in tokenizer.all_special_tokens else 1 for word in words])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
