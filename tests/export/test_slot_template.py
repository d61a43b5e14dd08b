"""Templates with a slot: every kind of tokenizer reads them as the run put its prompt, whatever the template does."""

from __future__ import annotations

import json

import pytest
from architectures import CHATML, NO_SYSTEM, tiny_tokenizer
from tokenizers_of_families import byte_level, sentencepiece

from acculturate.errors import UserError
from acculturate.export.slot_template import conversations, slotted_template
from acculturate.export.virtual_tokens import extended
from acculturate.model.slot import Slot
from acculturate.model.template import Chat
from acculturate.model.template_date import TEMPLATE_DATE, dated

NAMES = ["<|acculturate_0|>", "<|acculturate_1|>"]
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
OPENED = CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
SPACED = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} [/]{% endfor %}"
    "{% if add_generation_prompt %} > {% endif %}"
)
LINES = "\n{%- for m in messages %}\n<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{%- endfor %}\n"
CLOCK = "{{ strftime_now('%d %b %Y') }} " + CHATML
SENTENCEPIECE = "{% for m in messages %}{{ bos_token }}[INST] {{ m['content'] }} [/INST]{% endfor %}"


def same(tokenizer, slot: str, names: list[str] = NAMES) -> list[list[int]]:
    """The ids of conversations by the template with the slot, after they were found to be the run's."""
    chat = Chat(tokenizer)
    own, ids = extended(tokenizer, names)
    template = slotted_template(chat, slot, "".join(names))
    out = []
    for turns in conversations(chat, ("Why? <b>", "A. One\nB. Two")):
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        around = chat.encode(turns, slot)
        found = own.apply_chat_template(
            messages, chat_template=dated(template, TEMPLATE_DATE), add_generation_prompt=True, return_dict=False
        )
        assert found == [*around.prefix, *ids, *around.suffix]
        out.append(found)
    return out


@pytest.mark.parametrize("slot", list(Slot))
@pytest.mark.parametrize(
    "template",
    [CHATML, THINKING, OPENED, SPACED, LINES, CLOCK, None],
    ids=["chatml", "thinking", "opened", "spaced", "lines", "clock", "base"],
)
def test_the_slot_is_filled_where_the_run_had_it(slot, template):
    if template is None and slot == Slot.SYSTEM:
        pytest.skip("a base model's system message is text before the question")
    assert same(tiny_tokenizer(template), slot)


@pytest.mark.parametrize("slot", ["before_bos", "response_start"])
@pytest.mark.parametrize("legacy", [False, True])
def test_tokenizers_with_space_marks(slot, legacy):
    tokenizer = sentencepiece(legacy=legacy)
    tokenizer.chat_template = SENTENCEPIECE
    assert same(tokenizer, slot)


def test_a_slot_that_the_template_has_no_place_for():
    with pytest.raises(UserError, match="no system role"):
        slotted_template(Chat(tiny_tokenizer(NO_SYSTEM)), "system", "x")


def test_parts_and_every_user_message_but_the_last_stay_as_they_are():
    joined = "m['content'] if m['content'] is string else m['content'] | map(attribute='text') | join"
    tokenizer = tiny_tokenizer(CHATML.replace("m['content']", joined))
    own, _ = extended(tokenizer, NAMES)
    own.chat_template = slotted_template(Chat(tokenizer), "user_end", "".join(NAMES))
    parts = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    parts.append({"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": " now?"}]})
    said = own.apply_chat_template(parts, tokenize=False, add_generation_prompt=True)
    assert said.count(NAMES[0]) == 1 and f"And now?{''.join(NAMES)}<|im_end|>" in said
    assert "Why?<|im_end|>" in said


def test_a_conversation_that_is_over_ends_without_the_prompt():
    tokenizer = tiny_tokenizer()
    own, _ = extended(tokenizer, NAMES)
    own.chat_template = slotted_template(Chat(tokenizer), "response_start", "".join(NAMES))
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    assert NAMES[0] not in own.apply_chat_template(talk, tokenize=False)


def test_names_of_tokens_cannot_end_the_template():
    names = ['<|x"}}{{ 7 * 7 }}|>', "<|\\|>"]
    assert same(byte_level(("<|im_start|>", "<|im_end|>")), "response_start", names)
    assert json.dumps("".join(names)) in slotted_template(Chat(tiny_tokenizer()), "before_bos", "".join(names))


def test_a_tokenizer_that_has_such_tokens_already():
    own, _ = extended(tiny_tokenizer(), NAMES)
    with pytest.raises(UserError, match="holds an exported prompt"):
        extended(own, NAMES)
