"""Survey instruments: items, scales, dimensions and the words in which a respondent is asked.

An instrument says what is measured (items with scales, dimensions as linear combinations of item means); a
wording says it in one language, in one or more variants. Both are data: the built-in ones stand in
``data/instruments``, a user's own in one TOML or YAML file (docs/instruments.md).
"""

from acculturate.survey.instrument import Dimension, Frame, Instrument, Item, ItemText, Scale, Wording
from acculturate.survey.item_means import (
    anchored_constants,
    canonical_item,
    read_item_means,
    score_item_means,
)
from acculturate.survey.reading import builtin_instruments, load_instrument

__all__ = [
    "Dimension",
    "Frame",
    "Instrument",
    "Item",
    "ItemText",
    "Scale",
    "Wording",
    "anchored_constants",
    "builtin_instruments",
    "canonical_item",
    "load_instrument",
    "read_item_means",
    "score_item_means",
]
