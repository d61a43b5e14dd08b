"""Chat templates that fill the slot of a soft prompt with tokens of its own.

The model's own template stays as it is. What is written before it hands it other messages; what is written behind it
follows the request for a reply. Both are plain enough for the template engines of other programs.
"""

from __future__ import annotations

import json

from acculturate.errors import ModelError
from acculturate.model.slot import Slot
from acculturate.model.template import Chat, Turn

_BARE = (
    "{% for m in messages %}{% if not loop.first %}{{ '\\n\\n' }}{% endif %}"
    "{% if m['role'] == 'assistant' %}{{ 'Answer:\\n' }}{% endif %}{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAnswer:\\n' }}{% endif %}"
)
_SYSTEM = (
    "{%- if messages and messages[0]['role'] == 'system' -%}"
    "{%- if messages[0]['content'] is string -%}"
    "{%- set messages = [{'role': 'system', 'content': messages[0]['content'] + TOKENS}] + messages[1:] -%}"
    "{%- else -%}"
    "{%- set messages = [{'role': 'system', 'content': messages[0]['content'] + [{'type': 'text', 'text': TOKENS}]}]"
    " + messages[1:] -%}"
    "{%- endif -%}"
    "{%- else -%}{%- set messages = [{'role': 'system', 'content': TOKENS}] + messages -%}{%- endif -%}"
)
_USER_END = (
    "{%- set acculturate = namespace(last=-1, messages=[]) -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'user' -%}{%- set acculturate.last = loop.index0 -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- for m in messages -%}"
    "{%- if loop.index0 != acculturate.last -%}{%- set acculturate.messages = acculturate.messages + [m] -%}"
    "{%- elif m['content'] is string -%}{%- set acculturate.messages = acculturate.messages"
    " + [{'role': 'user', 'content': m['content'] + TOKENS}] -%}"
    "{%- else -%}{%- set acculturate.messages = acculturate.messages"
    " + [{'role': 'user', 'content': m['content'] + [{'type': 'text', 'text': TOKENS}]}] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = acculturate.messages -%}"
)
# The run closed the thoughts that a template opens, whatever a program sets.
_NO_THOUGHTS = "{%- set enable_thinking = false -%}{%- set thinking = false -%}"
# Output of nothing: the engine takes a line break away behind a block, and white space before one, but not here.
_APART = "{{ '' }}"


def slotted_template(chat: Chat, slot: str, tokens: str) -> str:
    """Write a model's chat template so that ``tokens`` stand in the slot.

    Raises ``UserError`` where the model's template has no place for the slot.
    """
    chat.render(("user",), slot)  # says what is wrong with the slot
    plain = chat.template or _bare_template(chat)
    own = plain.removesuffix("\n")  # the engine leaves a last line break out, where it is the last
    literal = json.dumps(tokens, ensure_ascii=False)
    thoughts = _NO_THOUGHTS if "thinking" in own else ""
    if slot == Slot.BEFORE_BOS:
        return f"{thoughts}{{{{ {literal} }}}}" + _ended(chat, own, '""')
    if slot == Slot.RESPONSE_START:
        return thoughts + (_APART if thoughts else "") + _ended(chat, own, literal)
    lead = (_SYSTEM if slot == Slot.SYSTEM else _USER_END).replace("TOKENS", literal)
    return thoughts + lead + _APART + _ended(chat, own, '""')


def _bare_template(chat: Chat) -> str:
    """Write down how a base model, which brings no template, is asked."""
    return (f"{{{{ {json.dumps(chat.lead, ensure_ascii=False)} }}}}" if chat.lead else "") + _BARE


def _ended(chat: Chat, own: str, literal: str) -> str:
    """End a request for a reply as the run did: with what the template opens, before a space, and tokens behind it."""
    request, opening = chat.request
    if opening == request and literal == '""':
        return own
    if opening.startswith(request):
        more = json.dumps(opening[len(request) :], ensure_ascii=False)
        return f"{own}{{{{ ({more} + {literal}) if add_generation_prompt else '' }}}}"
    if not request.startswith(opening) or request[len(opening) :].strip(" "):
        raise ModelError(
            "This model's chat template begins a reply in a way that cannot be written as a template with the prompt "
            "in it; choose embeds or peft."
        )
    return (
        f"{{% set acculturate_text %}}{own}{{% endset %}}"
        f"{{{{ (acculturate_text.rstrip(' ') + {literal}) if add_generation_prompt else acculturate_text }}}}"
    )


def conversations(chat: Chat, texts: tuple[str, str]) -> list[list[Turn]]:
    """Give conversations to compare templates by: one question, a later one, and one after a system message."""
    first, second = texts
    whole = [[Turn("user", first)], [Turn("user", first), Turn("assistant", "B"), Turn("user", second)]]
    if chat.takes_system_message:
        whole.append([Turn("system", "Answer as you think."), Turn("user", second)])
    return whole
