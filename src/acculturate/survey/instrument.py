"""Survey instruments: items, scales, dimensions and the words in which a respondent is asked.

An instrument says what is measured (items with scales, dimensions as linear combinations of item means); a
wording says it in one language, in one or more variants. Both are data: the built-in ones stand in
``data/instruments``, a user's own in one TOML or YAML file (docs/instruments.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Bool, Float

from acculturate.errors import SettingError
from acculturate.files.datafile import BOUNDS, LARGEST, nearest
from acculturate.legible import shown


@dataclass(frozen=True)
class Scale:
    """Describe ordered answer options: the numeric value of each, first to last as the questionnaire lists them."""

    id: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Item:
    """Describe one survey question; ``topic`` is a short neutral English label for tables."""

    id: str
    scale: str
    topic: str


@dataclass(frozen=True)
class Dimension:
    """Describe a dimension: a linear combination of item means, in points.

    Score = sum of ``weights`` times item means + ``offset`` + C, where C is the constant a study chooses.

    Parameters
    ----------
    id, name, about
        The id in tables and files, the name to show, and what high and low mean.
    weights
        Item id to points per unit of the item's mean.
    low, high
        The nominal range in points, which is no bound.
    offset
        Lets C mean the same for every instrument: in the built-in ones, mid-scale answers to all items score C. A
        file of a user's own states it or leaves it at 0.
    mas25_weights
        The weights in the legacy mode; None where the instrument has no such mode or the dimension does not differ.
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
    """Hold the words of one item: the id of the opening it shares with others, if any, and a text per variant."""

    stem: str | None
    text: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """Hold the words around an item in one language.

    Parameters
    ----------
    intro
        One or more ways to introduce the survey.
    question, options, answer
        The bare words of the headings.
    ask
        The closing request per kind of label ("digits", "letters"), where a literal ``{labels}`` holds the place of
        the labels (put in with ``str.replace``, never ``str.format``).
    joiner
        Stands between the stem and the item text.
    """

    intro: tuple[str, ...]
    question: str
    options: str
    answer: str
    ask: Mapping[str, str]
    joiner: str = " "


@dataclass(frozen=True)
class Wording:
    """Hold an instrument's words in one language; every list runs over the same number of variants.

    Parameters
    ----------
    language, name
        The code of the language, and its name.
    official, source
        Whether this is the instrument's official text, and where the words come from; reports print both.
    stems, items
        The openings that items share, and the items' texts.
    scales
        Per scale, variants x options, in the order of the scale's values.
    frame
        The words around an item.
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
        """Count the variants that every item, stem and scale has."""
        return len(next(iter(self.items.values())).text)


@dataclass(frozen=True)
class Instrument:
    """Describe a questionnaire with its scoring; consistent when it comes from ``load_instrument``."""

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
        """List the ids of the items, in the order in which they are asked."""
        return tuple(item.id for item in self.items)

    @property
    def dimension_ids(self) -> tuple[str, ...]:
        """List the ids of the dimensions."""
        return tuple(dimension.id for dimension in self.dimensions)

    @property
    def languages(self) -> tuple[str, ...]:
        """List the languages that have a wording."""
        return tuple(wording.language for wording in self.wordings)

    def values(self) -> Float[np.ndarray, "items options"]:
        """Tabulate option values in canonical order, 0 where an item has fewer options than the widest."""
        widest = max(len(self.scales[item.scale].values) for item in self.items)
        table = np.zeros((len(self.items), widest))
        for row, item in zip(table, self.items, strict=True):
            values = self.scales[item.scale].values
            row[: len(values)] = values
        return table

    def option_mask(self) -> Bool[np.ndarray, "items options"]:
        """Tell where an item has an option."""
        counts = np.array([len(self.scales[item.scale].values) for item in self.items])
        return np.arange(counts.max()) < counts[:, None]

    def scale_averages(self) -> Float[np.ndarray, "items items"]:
        """Return the matrix that replaces every item's value by the mean over the items on its scale."""
        scales = np.array([item.scale for item in self.items])
        alike = (scales[:, None] == scales).astype(float)
        return alike / alike.sum(axis=1, keepdims=True)

    def weights(self, *, mas25: bool = False) -> Float[np.ndarray, "dims items"]:
        """Tabulate points per unit of item mean.

        ``mas25``: the legacy weights, which in the VSM 2013 are 25 in the second term of Masculinity.
        Raises ``UserError`` when ``mas25`` is asked of an instrument that defines no legacy weights.
        """
        if mas25 and all(dimension.mas25_weights is None for dimension in self.dimensions):
            raise SettingError(
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
        """Compute what is added to each dimension, in points: its own offset plus ``constant``.

        ``constant``: one number for all, or one per dimension id, for all of them; else ``UserError``.
        """
        if isinstance(constant, Mapping):
            for name in constant:
                if name not in self.dimension_ids:
                    raise SettingError(
                        f"Instrument '{self.id}' has no dimension '{name}'"
                        f"{nearest(name, self.dimension_ids)}; "
                        "name its constants by dimension id."
                    )
            lacking = [name for name in self.dimension_ids if name not in constant]
            if lacking:
                raise SettingError(
                    f"No constant for dimension '{lacking[0]}' of instrument '{self.id}'; "
                    "give one per dimension or a single number for all."
                )
            chosen = [constant[name] for name in self.dimension_ids]
        else:
            chosen = [constant] * len(self.dimensions)
        for value in chosen:
            if isinstance(value, bool) or not isinstance(value, Real) or not abs(value) <= LARGEST:
                raise SettingError(
                    f"The constants of instrument '{self.id}' must be finite numbers {BOUNDS}, not {shown(value)}."
                )
        return np.array(chosen, dtype=float) + np.array([dimension.offset for dimension in self.dimensions])

    def wording(self, language: str) -> Wording:
        """Return the wording in one language; raises ``UserError`` when there is none."""
        for wording in self.wordings:
            if wording.language == language:
                return wording
        raise SettingError(
            f"Instrument '{self.id}' has no wording in language '{language}' "
            f"(it has {', '.join(self.languages)}); choose one of these or give a wording file."
        )

    def variants(self, language: str) -> int:
        """Count the wording variants in a language; every item has all of them."""
        return self.wording(language).variants

    def question(self, item_id: str, *, language: str = "en", variant: int = 0) -> str:
        """Join stem and item text to one readable question; raises ``UserError`` for what does not exist."""
        wording = self._wording(language, variant)
        words = wording.items[self._item(item_id).id]
        text = words.text[variant]
        return text if words.stem is None else wording.stems[words.stem][variant] + wording.frame.joiner + text

    def options(self, item_id: str, *, language: str = "en", variant: int = 0) -> tuple[str, ...]:
        """List option texts in canonical order; raises ``UserError`` for what does not exist."""
        return self._wording(language, variant).scales[self._item(item_id).scale][variant]

    def _item(self, item_id: str) -> Item:
        for item in self.items:
            if item.id == item_id:
                return item
        raise SettingError(
            f"Instrument '{self.id}' has no item '{item_id}'{nearest(item_id, self.item_ids)}; use an id of its own."
        )

    def _wording(self, language: str, variant: int) -> Wording:
        wording = self.wording(language)
        if not 0 <= variant < wording.variants:
            raise SettingError(
                f"Instrument '{self.id}' has wording variants 0 to {wording.variants - 1} "
                f"in language '{language}', not {variant}; choose one of these."
            )
        return wording
