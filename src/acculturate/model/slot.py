"""The places in a conversation where a soft prompt can stand."""

from __future__ import annotations

from enum import StrEnum


class Slot(StrEnum):
    """Name a place for a soft prompt: first of all, in the system message, after the question, or before the reply."""

    BEFORE_BOS = "before_bos"
    SYSTEM = "system"
    USER_END = "user_end"
    RESPONSE_START = "response_start"
