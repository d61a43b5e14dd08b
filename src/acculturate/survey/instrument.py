"""What an instrument is: items, scales, dimensions and the words in which a respondent is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Bool, Float

from acculturate.errors import UserError
from acculturate.files.datafile import BOUNDS, LARGEST, nearest, shown


@dataclass(frozen=True)
class Scale:
    """Ordered answer options: the numeric value of each, first to last as the questionnaire lists them."""

    id: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Item:
    """One survey question; ``topic`` is a short neutral English label for tables."""

    id: str
    scale: str
    topic: str


@dataclass(frozen=True)
class Dimension:
    """A named linear combination of item means, in points.

    Score = sum of ``weights`` times item means + ``offset`` + C, where C is the constant a study chooses.
    ``offset`` lets C mean the same for every instrument: in the built-in ones, mid-scale answers to all items
    score C. A file of a user's own states it or leaves it at 0.
    ``low``..``high`` is the nominal range in points, not a bound. ``mas25_weights`` replace the weights in
    the legacy mode; None where the instrument has no such mode or the dimension does not differ.
    """

    id: str
    name: str
    weights: Mapping[str, float]
    low: float
    high: float
    about: str
    offset: float = 0.0
    mas25_weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class ItemText:
    """The words of one item: the id of the opening it shares with others, if any, and a text per variant."""

    stem: str | None
    text: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """The words around an item in one language.

    ``intro``: one or more ways to introduce the survey. ``question``, ``options``, ``answer``: the bare words
    of the headings. ``ask``: the closing request per kind of label ("digits", "letters"), where a literal
    ``{labels}`` holds the place of the labels (put in with ``str.replace``, never ``str.format``). ``joiner``
    stands between the stem and the item text.
    """

    intro: tuple[str, ...]
    question: str
    options: str
    answer: str
    ask: Mapping[str, str]
    joiner: str = " "


@dataclass(frozen=True)
class Wording:
    """An instrument in one language: every list runs over the same number of variants.

    ``official`` says whether this is the instrument's official text, ``source`` where the words come from;
    reports print both. ``scales`` holds, per scale, variants x options, in the order of the scale's values.
    """

    language: str
    name: str
    official: bool
    source: str
    stems: Mapping[str, tuple[str, ...]]
    items: Mapping[str, ItemText]
    scales: Mapping[str, tuple[tuple[str, ...], ...]]
    frame: Frame

    @property
    def variants(self) -> int:
        """How many variants every item, stem and scale has."""
        return len(next(iter(self.items.values())).text)


@dataclass(frozen=True)
class Instrument:
    """Items, scales and dimensions with their wordings; consistent when it comes from ``load_instrument``."""

    id: str
    name: str
    version: str
    citation: str
    items: tuple[Item, ...]
    scales: Mapping[str, Scale]
    dimensions: tuple[Dimension, ...]
    wordings: tuple[Wording, ...]
    about: str = ""

    @property
    def item_ids(self) -> tuple[str, ...]:
        return tuple(item.id for item in self.items)

    @property
    def dimension_ids(self) -> tuple[str, ...]:
        return tuple(dimension.id for dimension in self.dimensions)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(wording.language for wording in self.wordings)

    def values(self) -> Float[np.ndarray, "items options"]:
        """Option values in canonical order, 0 where an item has fewer options than the widest."""
        widest = max(len(self.scales[item.scale].values) for item in self.items)
        table = np.zeros((len(self.items), widest))
        for row, item in zip(table, self.items, strict=True):
            values = self.scales[item.scale].values
            row[: len(values)] = values
        return table

    def option_mask(self) -> Bool[np.ndarray, "items options"]:
        """True where an item has an option."""
        counts = np.array([len(self.scales[item.scale].values) for item in self.items])
        return np.arange(counts.max()) < counts[:, None]

    def weights(self, *, mas25: bool = False) -> Float[np.ndarray, "dims items"]:
        """Points per unit of item mean. ``mas25``: the legacy weights (VSM 2013: 25 for the second MAS term).

        Raises ``UserError`` when ``mas25`` is asked of an instrument that defines no legacy weights.
        """
        if mas25 and all(dimension.mas25_weights is None for dimension in self.dimensions):
            raise UserError(
                f"Instrument '{self.id}' has no legacy mode mas25 (no dimension has mas25_weights); leave mas25 out."
            )
        columns = {item_id: column for column, item_id in enumerate(self.item_ids)}
        table = np.zeros((len(self.dimensions), len(self.items)))
        for row, dimension in zip(table, self.dimensions, strict=True):
            legacy = dimension.mas25_weights if mas25 else None
            for item_id, weight in (dimension.weights if legacy is None else legacy).items():
                row[columns[item_id]] = weight
        return table

    def constants(self, constant: float | int | Mapping[str, float | int] = 50.0) -> Float[np.ndarray, " dims"]:
        """What is added to each dimension, in points: its own offset plus ``constant``.

        ``constant``: one number for all, or one per dimension id, for all of them; else ``UserError``.
        """
        if isinstance(constant, Mapping):
            for given in constant:
                if given not in self.dimension_ids:
                    raise UserError(
                        f"Instrument '{self.id}' has no dimension '{given}'"
                        f"{nearest(given, self.dimension_ids)}; "
                        "name its constants by dimension id."
                    )
            lacking = [known for known in self.dimension_ids if known not in constant]
            if lacking:
                raise UserError(
                    f"No constant for dimension '{lacking[0]}' of instrument '{self.id}'; "
                    "give one per dimension or a single number for all."
                )
            chosen = [constant[known] for known in self.dimension_ids]
        else:
            chosen = [constant] * len(self.dimensions)
        for value in chosen:
            if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) <= LARGEST:
                raise UserError(
                    f"The constants of instrument '{self.id}' must be finite numbers {BOUNDS}, not {shown(value)}."
                )
        return np.array(chosen, dtype=float) + np.array([dimension.offset for dimension in self.dimensions])

    def wording(self, language: str) -> Wording:
        """The wording in one language; raises ``UserError`` when there is none."""
        for wording in self.wordings:
            if wording.language == language:
                return wording
        raise UserError(
            f"Instrument '{self.id}' has no wording in language '{language}' "
            f"(it has {', '.join(self.languages)}); choose one of these or give a wording file."
        )

    def variants(self, language: str) -> int:
        """How many wording variants there are in this language; every item has all of them."""
        return self.wording(language).variants

    def question(self, item_id: str, *, language: str = "en", variant: int = 0) -> str:
        """Stem and item text as one readable question; raises ``UserError`` for what does not exist."""
        wording = self._wording(language, variant)
        words = wording.items[self._item(item_id).id]
        text = words.text[variant]
        return text if words.stem is None else wording.stems[words.stem][variant] + wording.frame.joiner + text

    def options(self, item_id: str, *, language: str = "en", variant: int = 0) -> tuple[str, ...]:
        """Option texts in canonical order; raises ``UserError`` for what does not exist."""
        return self._wording(language, variant).scales[self._item(item_id).scale][variant]

    def _item(self, item_id: str) -> Item:
        for item in self.items:
            if item.id == item_id:
                return item
        raise UserError(
            f"Instrument '{self.id}' has no item '{item_id}'{nearest(item_id, self.item_ids)}; use an id of its own."
        )

    def _wording(self, language: str, variant: int) -> Wording:
        wording = self.wording(language)
        if not 0 <= variant < wording.variants:
            raise UserError(
                f"Instrument '{self.id}' has wording variants 0 to {wording.variants - 1} "
                f"in language '{language}', not {variant}; choose one of these."
            )
        return wording
