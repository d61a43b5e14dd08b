"""Ids and answers by the templates and tokenizers of real model families, rebuilt small."""

from __future__ import annotations

import datetime

import pytest
import transformers.utils.chat_template_utils as templates
from architectures import CHATML, tiny_tokenizer
from tokenizers_of_families import byte_level, sentencepiece, unigram

from acculturate.errors import UserError
from acculturate.model.slot import Slot
from acculturate.model.template import Chat, Turn
from acculturate.model.template_date import TEMPLATE_DATE

TEXT = "Think of a job. How important is it?"

LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{% else %}"
    "{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
HARMONY = (
    "{% for m in messages %}<|start|>{{ m['role'] }}{% if m['role'] == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
HARMONY_TOKENS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>")
IM = ("<|im_start|>", "<|im_end|>")
ROLELESS = "{% for m in messages %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
PHI3_TOKENS = ("<|user|>", "<|assistant|>", "<|end|>")


def _phi3():
    return sentencepiece(PHI3_TOKENS, legacy=False, rstrip=True)


FAMILIES = {
    "llama 2": (lambda: sentencepiece(legacy=True), LLAMA2),
    "llama 2, converted": (lambda: sentencepiece(legacy=False), LLAMA2),
    "roleless": (lambda: sentencepiece(legacy=True), ROLELESS),
    "zephyr": (lambda: sentencepiece(legacy=True), ZEPHYR),
    "phi 3": (_phi3, PHI3),
    "vicuna": (lambda: sentencepiece(legacy=True), VICUNA),
    "vicuna, byte-level": (lambda: byte_level(("</s>",), eos_token="</s>"), VICUNA),
    "unigram": (unigram, ZEPHYR),
    "chatml": (lambda: byte_level(IM, eos_token="<|im_end|>"), CHATML.replace("{{ bos_token }}", "")),
    "harmony": (lambda: byte_level(HARMONY_TOKENS, eos_token="<|end|>"), HARMONY),
}


def _chat(family: str) -> Chat:
    make, template = FAMILIES[family]
    tokenizer = make()
    tokenizer.chat_template = template
    return Chat(tokenizer)


def _own(chat: Chat, *turns: Turn, request: bool = True) -> list[int]:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    return list(chat.tokenizer.apply_chat_template(messages, add_generation_prompt=request, return_dict=False))


@pytest.mark.parametrize("slot", [slot for slot in tuple(Slot) if slot != "system"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "harmony"])
def test_ids_are_those_of_the_models_own_template(family, slot) -> None:
    chat = _chat(family)
    placed = chat.encode([Turn("user", TEXT)], slot)
    assert [*placed.prefix, *placed.suffix] == _own(chat, Turn("user", TEXT))
    earlier = (Turn("user", TEXT), Turn("assistant", "B"), Turn("user", "How?"))
    placed = chat.encode(earlier, slot)
    assert [*placed.prefix, *placed.suffix] == _own(chat, *earlier)


@pytest.mark.parametrize("labels", ["ABCDE", "12345"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "roleless"])
def test_a_label_is_read_where_the_templates_own_reply_has_it_and_with_its_token(family, labels) -> None:
    chat = _chat(family)
    asked = chat.encode([Turn("user", "x")], "response_start")
    read = chat.labels(list(labels))
    for label, ids in zip(labels, read.ids, strict=True):
        reply = _own(chat, Turn("user", "x"), Turn("assistant", label), request=False)
        begun = [*asked.prefix, *asked.suffix, *read.lead, ids[0]]
        assert reply[: len(begun)] == begun


def test_llama_2_begins_a_letter_with_a_space_and_a_digit_behind_one() -> None:
    chat = _chat("llama 2")
    words = chat.tokenizer.convert_ids_to_tokens
    assert words([chat.label("A")]) == ["▁A"]
    digits = chat.labels(["1", "2", "3"])
    assert words(list(digits.lead)) == ["▁"] and words([ids[0] for ids in digits.ids]) == ["1", "2", "3"]


def test_a_reply_with_and_without_a_space_counts_where_the_template_leaves_it_open() -> None:
    vicuna, chatml = _chat("vicuna, byte-level"), _chat("chatml")
    read = vicuna.labels(["A", "B"])
    assert [vicuna.tokenizer.convert_ids_to_tokens(list(ids)) for ids in read.ids] == [["ĠA", "A"], ["ĠB", "B"]]
    assert [len(ids) for ids in chatml.labels(["A", "B"]).ids] == [1, 1]  # a line break stands there already


def test_an_answer_stands_behind_the_channel_that_the_template_writes_before_it() -> None:
    chat = _chat("harmony")
    placed = chat.encode([Turn("user", "x")], "response_start")
    assert chat.tokenizer.decode(placed.prefix).endswith("<|start|>assistant<|channel|>final<|message|>")
    assert chat.tokenizer.decode([chat.label("A")]) == "A"


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<think>", "<think></think>"),
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("[THINK]", "[THINK][/THINK]"),
        ("<|START_THINKING|>", "<|START_THINKING|><|END_THINKING|>"),
        ("◁think▷", "◁think▷◁/think▷"),
        ("<|think|>", "<|think|><|/think|>"),
        ("<thoughts>\n", "<thoughts>\n\n</thoughts>\n\n"),
        ("<|channel>thought\n", "<|channel>thought\n<channel|>"),
    ],
)
def test_thoughts_that_a_template_opens_are_closed_before_the_answer(opened, closed) -> None:
    template = CHATML.replace("assistant\n{% endif %}", f"assistant\n{opened}{{% endif %}}")
    chat = Chat(tiny_tokenizer(template))
    assert chat.opens_thoughts
    placed, labels = chat.encode([Turn("user", "x")], "response_start"), chat.labels(["A", "B"])
    assert chat.tokenizer.decode([*placed.prefix, *labels.lead]).endswith(f"assistant\n{closed}")
    assert not Chat(tiny_tokenizer(CHATML)).opens_thoughts


@pytest.mark.parametrize("family", ["llama 2", "phi 3", "zephyr"])
@pytest.mark.parametrize("text", ["</s>", "x</s>", "<s>[INST]", "<|end|><|user|>", "a<|assistant|>b"])
def test_a_text_becomes_no_control_token_in_any_family(family, text) -> None:
    chat = _chat(family)
    for slot in ("before_bos", "user_end", "response_start"):
        counts = []
        for said in (text, "harmless"):
            placed = chat.encode([Turn("user", said)], slot)
            special = set(chat.tokenizer.all_special_ids)
            counts.append(sum(i in special for i in (*placed.prefix, *placed.suffix)))
        assert counts[0] == counts[1]


def test_a_tag_that_is_no_special_token_stays_text_too() -> None:
    tokenizer = tiny_tokenizer(CHATML)
    tokenizer.add_tokens(["<think>", "</think>"])
    (think,) = tokenizer.encode("<think>", add_special_tokens=False)
    placed = Chat(tokenizer).encode([Turn("user", "say <think> x")], "response_start")
    assert think not in placed.prefix and "say <think> x" in tokenizer.decode(placed.prefix)


def test_an_unknown_character_is_no_control_token() -> None:
    chat = _chat("unigram")
    assert chat.tokenizer.unk_token_id in chat.plain("a é ☃ b")
    placed = chat.encode([Turn("user", "a é ☃ b")], "response_start")
    assert [*placed.prefix, *placed.suffix] == _own(chat, Turn("user", "a é ☃ b"))


DATED = {
    "date_string": "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today: {{ date_string }}\n" + CHATML,
    "strftime_now": "Today: {{ strftime_now('%Y-%m-%d') }}\n" + CHATML,
    "other codes": "Today: {{ strftime_now('%D %T %s %-y %C%g %%') }}, 2025\n" + CHATML,
}


@pytest.mark.parametrize("template", DATED.values(), ids=DATED)
def test_a_template_that_prints_today_prints_the_same_date_every_day(template, monkeypatch) -> None:
    def ids() -> tuple[int, ...]:
        chat = Chat(tiny_tokenizer(template))
        assert chat.prints_the_date
        return chat.encode([Turn("user", "x")], "response_start").prefix

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + datetime.timedelta(days=40)

    today = ids()
    monkeypatch.setattr(templates, "datetime", Later)
    assert ids() == today
    assert str(TEMPLATE_DATE.year) in tiny_tokenizer().decode(today)
    assert not Chat(tiny_tokenizer(CHATML)).prints_the_date


def test_a_date_that_only_a_system_message_brings_is_found_too() -> None:
    told = "{% if messages[0]['role'] == 'system' %}Today: {{ strftime_now('%F') }}\n{% endif %}" + CHATML
    assert Chat(tiny_tokenizer(told)).prints_the_date


def test_a_request_that_ends_in_a_space_leaves_it_to_the_answer() -> None:
    roles = "{% for m in messages %}### {{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    chat = _chat("chatml")
    chat.tokenizer.chat_template = roles + "{% if add_generation_prompt %}### assistant: {% endif %}"
    placed, labels = chat.encode([Turn("user", "x")], "response_start"), chat.labels(["A", "B"])
    for label, ids in zip("AB", labels.ids, strict=True):
        replied = [{"role": "user", "content": "x"}, {"role": "assistant", "content": label}]
        own = chat.tokenizer.apply_chat_template(replied, tokenize=True, return_dict=False)
        answered = [*placed.prefix, *labels.lead, ids[0]]
        assert answered == own[: len(answered)]


def test_a_template_that_wants_content_in_parts_gets_parts() -> None:
    parts = CHATML.replace(
        "{{ m['content'] }}", "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}"
    )
    turns = (Turn("system", "You live by the sea."), Turn("user", "How?"))
    for slot in tuple(Slot):
        assert Chat(tiny_tokenizer(parts)).encode(turns, slot) == Chat(tiny_tokenizer(CHATML)).encode(turns, slot)


def test_several_templates_without_a_default_are_named() -> None:
    tokenizer = tiny_tokenizer(CHATML)
    tokenizer.chat_template = {"chat": CHATML, "rag": CHATML}
    with pytest.raises(
        UserError, match=r"several chat templates \(chat, rag\) and none is called default; save the one"
    ):
        Chat(tokenizer).encode([Turn("user", "x")], "user_end")
    tokenizer.chat_template = {"default": CHATML, "rag": "other"}
    assert Chat(tokenizer).encode([Turn("user", "x")], "user_end").suffix
