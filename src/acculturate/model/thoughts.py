"""Thoughts that a template's request for a reply opens, and what closes them."""

from __future__ import annotations

import re

# A generation prompt that ends inside the model's thoughts, and what closes them.
_THOUGHTS = re.compile(
    r"(?P<open><\|?|[\[◁])(?P<tag>(\w+:)?(think|thinking|thoughts?|reasoning))(?P<shut>\|?>|[\]▷])(?P<space>\s*)$", re.I
)
_THOUGHT_TOKENS = {
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel>thought": "<channel|>",
}


def closing_of(tail: str) -> str | None:
    """Close the thoughts that a generation prompt leaves open, spaced as it opens them; None if it opens none."""
    for opened, closed in _THOUGHT_TOKENS.items():
        if tail.rstrip().endswith(opened):
            return closed
    opening = _THOUGHTS.search(tail)
    if opening is None:
        return None
    closed = f"{opening['open']}/{opening['tag']}{opening['shut']}"
    return f"{opening['space']}{closed}\n\n" if opening["space"] else closed
