"""Small tokenizers as the families of models build them: byte-level, SentencePiece's two ways, unigram."""

from __future__ import annotations

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_WORDS = (
    "Think of a job that would suit you. How important would each of these be? Answer with one letter. Options: A. Of "
    "utmost importance B. Very C. Moderate D. Little E. None. user assistant system [INST] [/INST]"
)
LABELS = "ABCDEFGHIabcdefghi"


def byte_level(special: tuple[str, ...] = (), **names: str) -> PreTrainedTokenizerFast:
    """As GPT-2, Qwen, Llama 3 and most others: a space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=450, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([_WORDS, " ".join(f" {label}" for label in LABELS)] * 3, trainer)
    return _with(tokenizer, special, names)


def sentencepiece(special: tuple[str, ...] = (), *, legacy: bool, rstrip: bool = False, **names: str):
    """As Llama 2 (``legacy``: every stretch of text begins with a space mark) and as its converted successors."""
    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    letters = [chr(c) for c in range(33, 127)]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    pieces.train_from_iterator(
        [_WORDS],
        trainers.BpeTrainer(
            vocab_size=650,
            special_tokens=["<unk>", "<s>", "</s>", *bytes_],
            initial_alphabet=[*letters, "▁"],
            show_progress=False,
        ),
    )
    state = json.loads(pieces.to_str())["model"]
    vocabulary, merges = state["vocab"], [tuple(pair) for pair in state["merges"]]
    for label in LABELS:  # as in Llama 2, letters are tokens with and without the mark, digits without it only
        if f"▁{label}" not in vocabulary:
            vocabulary[f"▁{label}"] = len(vocabulary)
            merges.append(("▁", label))
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    kept = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _with(tokenizer, ("<s>", "</s>", *special), kept | names, rstrip=rstrip)


def unigram(special: tuple[str, ...] = (), **names: str) -> PreTrainedTokenizerFast:
    """As T5, Gemma-like and multilingual models, with few letters: what it lacks is unknown."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=150,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        initial_alphabet=[chr(c) for c in range(33, 127)],
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 5, trainer)
    kept = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _with(tokenizer, ("<s>", "</s>", *special), kept | names)


def _with(tokenizer: Tokenizer, special: tuple[str, ...], names: dict[str, str], *, rstrip: bool = False):
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False, rstrip=rstrip) for s in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
