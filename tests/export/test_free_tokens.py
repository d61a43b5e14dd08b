"""Token ids for a prompt: rows that nobody uses first, then tokens in reserve, and never one with a role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from architectures import tiny_tokenizer
from exports import COMMON, small_run
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from acculturate.errors import UserError


def model_with(folder: Path, *tokens: str, special: bool = True, rows: int = 0) -> str:
    """A tiny model whose tokenizer has more tokens, and whose embedding has ``rows`` beyond them."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(
        [AddedToken(token, special=special, normalized=False) for token in tokens], special_tokens=special
    )
    config = LlamaConfig(**COMMON | {"vocab_size": len(tokenizer) + rows, "tie_word_embeddings": False})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) == len(tokenizer)
    return str(folder)


def tokens_of(model: str, folder: Path) -> tuple[list[str], str]:
    exported = small_run(model, folder, "response_start").export("peft-tokens", verify=False).path
    return json.loads((exported / "acculturate.json").read_text())["token_names"], (exported / "README.md").read_text()


def test_unused_rows_come_first(tmp_path):
    names, card = tokens_of(model_with(tmp_path / "m", "<|reserved_special_token_0|>", rows=1), tmp_path / "run")
    assert names == ["<|acculturate_0|>", "<|reserved_special_token_0|>"]
    assert "own meaning" not in card


@pytest.mark.parametrize(
    "name", ["<|reserved_special_token_{}|>", "<unused{}>", "[unused{}]", "<|extra_{}|>", "<SPECIAL_{}>"]
)
def test_tokens_in_reserve(tmp_path, name):
    names, _ = tokens_of(model_with(tmp_path / "m", name.format(7), name.format(8)), tmp_path / "run")
    assert names == [name.format(7), name.format(8)]


def test_special_tokens_that_no_conversation_holds_are_the_last_resort_and_named(tmp_path):
    names, card = tokens_of(model_with(tmp_path / "m", "<filename>", "<issue_start>", "<unused1>"), tmp_path / "run")
    assert names == ["<unused1>", "<filename>"]
    assert r"lose their own meaning while the adapter is on: &lt;filename&gt;" in card


def test_ordinary_tokens_are_not_taken(tmp_path):
    with pytest.raises(UserError, match="has 0 token ids without a use"):
        tokens_of(model_with(tmp_path / "m", "word", "other", special=False), tmp_path / "run")


def test_a_token_named_after_a_role_is_not_taken(tmp_path):
    """A template may put it together from the role's name, where it cannot be found as a whole."""
    names, _ = tokens_of(model_with(tmp_path / "m", "<|system|>", "<filename>", "<issue_start>"), tmp_path / "run")
    assert names == ["<filename>", "<issue_start>"]


def test_a_token_that_only_a_conversation_shows_is_not_taken(tmp_path):
    """The template puts it together, and no name gives it away."""
    model = model_with(tmp_path / "m", "<|note|>", "<filename>", "<issue_start>")
    template = Path(model) / "chat_template.jinja"
    parts = "{% if m['role'] == 'tool' %}{{ '<|' + 'no' + 'te|>' }}{% endif %}{{ m['role'] + ': ' + m['content'] }}"
    template.write_text(
        "{% for m in messages %}" + parts + "{% endfor %}{# <|im_start|><|im_end|> #}{{ 'assistant: ' }}"
    )
    assert tokens_of(model, tmp_path / "run")[0] == ["<filename>", "<issue_start>"]
