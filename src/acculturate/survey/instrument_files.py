"""Instrument and wording files, checked hard: what loads is complete in every language and variant.

docs/instruments.md describes the files for users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from acculturate.errors import FileError, SettingError
from acculturate.files.datafile import Node, nearest, read_data_file
from acculturate.survey.instrument import Dimension, Frame, Instrument, Item, ItemText, Scale, Wording

_DATA = Path(__file__).parent / "data" / "instruments"
_LABEL_KINDS = ("digits", "letters")
# For labels that are neither, such as roman numerals; without it they are asked for as letters.
_OPTIONAL_LABEL_KINDS = ("marks",)


def builtin_instruments() -> dict[str, str]:
    """List the built-in instruments: id -> one line about each."""
    files = sorted(path for path in _DATA.glob("*.toml") if "." not in path.stem)
    return {path.stem: _structure(read_data_file(path)).about for path in files}


def load_instrument(name_or_path: str | Path, *, wording: Path | None = None) -> Instrument:
    """Load a built-in instrument by id, or a user's own by its ``.toml``, ``.yaml`` or ``.yml`` file.

    ``wording``: a file with the text in one language, such as a user's copy of the official questionnaire; it
    replaces the wording of that language or adds one. Raises ``UserError`` naming file, place and what was
    expected.
    """
    name = str(name_or_path)
    if name.endswith((".toml", ".yaml", ".yml")):
        instrument = _structure(read_data_file(Path(name)))
    else:
        known = [path.stem for path in sorted(_DATA.glob("*.toml")) if "." not in path.stem]
        if name not in known:
            raise SettingError(
                f"There is no built-in instrument '{name}'{nearest(name, known)}; "
                "give one of these ids or the path of a .toml, .yaml or .yml file."
            )
        instrument = _structure(read_data_file(_DATA / f"{name}.toml"))
        # English first: it is the default language.
        for path in sorted(_DATA.glob(f"{name}.*.toml"), key=lambda path: (".en." not in path.name, path.name)):
            instrument = _with_wording(instrument, _wording(read_data_file(path), instrument, None))
    if wording is not None:
        instrument = _with_wording(instrument, _wording(read_data_file(Path(wording)), instrument, None))
    if not instrument.wordings:
        raise FileError(f"{name} has no wording; write at least one, such as [wording.en], or give a wording file.")
    return instrument


def _with_wording(instrument: Instrument, new: Wording) -> Instrument:
    kept = [new if old.language == new.language else old for old in instrument.wordings]
    if new.language not in instrument.languages:
        kept.append(new)
    return replace(instrument, wordings=tuple(kept))


def _structure(root: Node) -> Instrument:
    """Read the instrument that a file describes, with the wordings that stand in the file itself."""
    top = root.table("id name version citation about scales items dimensions", "wording")
    for key in ("scales", "items", "dimensions"):
        if not top[key].entries():
            top[key].fail("expected at least one entry, found none")
    scales = {key: _scale(key, node) for key, node in top["scales"].entries().items()}
    items = tuple(_parsed_item(key, node, scales) for key, node in top["items"].entries().items())
    known = [item.id for item in items]
    dimensions = tuple(_dimension(key, node, known) for key, node in top["dimensions"].entries().items())
    instrument = Instrument(
        top["id"].id(),
        *(top[key].text() for key in ("name", "version", "citation")),
        items=items,
        scales=scales,
        dimensions=dimensions,
        wordings=(),
        about=top["about"].text(),
    )
    if "wording" in top:
        for language, node in top["wording"].entries().items():
            instrument = _with_wording(instrument, _wording(node, instrument, language))
    return instrument


def _scale(key: str, node: Node) -> Scale:
    values = tuple(row.number() for row in node.rows())
    if len(set(values)) < 2:
        node.fail("a scale needs at least two options with different values")
    return Scale(key, values)


def _parsed_item(key: str, node: Node, scales: Mapping[str, Scale]) -> Item:
    fields = node.table("scale topic")
    return Item(key, _reference(fields["scale"], "scale", scales), fields["topic"].text())


def _reference(node: Node, kind: str, known: Iterable[str]) -> str:
    found, ids = node.text(), list(known)
    if found not in ids:
        node.fail(f"there is no {kind} '{found}'{nearest(found, ids)}")
    return found


def _dimension(key: str, node: Node, items: list[str]) -> Dimension:
    fields = node.table("name weights low high about", "offset mas25_weights")
    low, high = fields["low"].number(), fields["high"].number()
    if low >= high:
        node.fail(f"low ({low:g}) must be below high ({high:g})")
    return Dimension(
        key,
        fields["name"].text(),
        _weights(fields["weights"], items),
        low,
        high,
        fields["about"].text(),
        fields["offset"].number() if "offset" in fields else 0.0,
        _weights(fields["mas25_weights"], items) if "mas25_weights" in fields else None,
    )


def _weights(node: Node, items: list[str]) -> dict[str, float]:
    weights = {}
    for item_id, weight in node.entries().items():
        if item_id not in items:
            node.fail(f"there is no item '{item_id}'{nearest(item_id, items)}")
        weights[item_id] = weight.number()
    if not any(weights.values()):
        node.fail("a dimension needs at least one item with a weight other than 0")
    return weights


def _wording(node: Node, instrument: Instrument, language: str | None) -> Wording:
    """Read a wording from its own file (``language`` None: the file says it) or from within an instrument file."""
    required = "name official source items scales"
    fields = node.table(required if language else "language " + required, "stems frame")
    language = language or fields["language"].id()
    stems = {key: stem.texts() for key, stem in fields["stems"].entries().items()} if "stems" in fields else {}
    items = {key: _item_text(text, stems) for key, text in fields["items"].entries().items()}
    _same_ids(fields["items"], "item", items, instrument.item_ids)
    scales = {key: tuple(row.texts() for row in text.rows()) for key, text in fields["scales"].entries().items()}
    _same_ids(fields["scales"], "scale", scales, instrument.scales)
    wording = Wording(
        language,
        fields["name"].text(),
        fields["official"].flag(),
        fields["source"].text(),
        stems,
        {item_id: items[item_id] for item_id in instrument.item_ids},
        scales,
        _frame(fields["frame"]) if "frame" in fields else _default_frame(node, instrument, language),
    )
    _check_variants(node, wording)
    _check_options(fields["scales"], wording, instrument)
    return wording


def _item_text(node: Node, stems: Mapping[str, tuple[str, ...]]) -> ItemText:
    fields = node.table("text", "stem")
    stem = _reference(fields["stem"], "stem", stems) if "stem" in fields else None
    return ItemText(stem, fields["text"].texts())


def _same_ids(node: Node, kind: str, found: Iterable[str], expected: Iterable[str]) -> None:
    found, expected = list(found), list(expected)
    for key in found:
        if key not in expected:
            node.fail(f"the instrument has no {kind} '{key}'{nearest(key, expected)}")
    for key in expected:
        if key not in found:
            node.fail(f"the {kind} '{key}' has no text; write it in every language")


def _check_variants(node: Node, wording: Wording) -> None:
    counts = {f"items.{key}": len(words.text) for key, words in wording.items.items()}
    counts |= {f"stems.{key}": len(texts) for key, texts in wording.stems.items()}
    counts |= {f"scales.{key}": len(texts) for key, texts in wording.scales.items()}
    for place, count in counts.items():
        if count != wording.variants:
            first = next(iter(counts))
            node.fail(
                f"{place} has {count} variants and {first} has {wording.variants}; "
                "every item, stem and scale of a language needs the same number"
            )


def _check_options(node: Node, wording: Wording, instrument: Instrument) -> None:
    for key, texts in wording.scales.items():
        count = len(instrument.scales[key].values)
        for variant, options in enumerate(texts):
            if len(options) != count:
                node.fail(f"{key}[{variant}] has {len(options)} options where the scale has {count} values")
            if len(set(options)) != count:
                node.fail(f"{key}[{variant}] has the same text for two options")


def _frame(node: Node) -> Frame:
    fields = node.table("intro question options answer ask", "joiner")
    ask = fields["ask"].table(" ".join(_LABEL_KINDS), " ".join(_OPTIONAL_LABEL_KINDS))
    for text in ask.values():
        if text.text().count("{labels}") != 1:
            text.fail("expected the place of the labels once, written {labels}")
    joiner = fields["joiner"].value if "joiner" in fields else " "
    if not isinstance(joiner, str) or joiner.strip():
        fields["joiner"].fail("expected spaces or an empty text, put between stem and item text")
    return Frame(
        fields["intro"].texts(),
        *(fields[key].text() for key in ("question", "options", "answer")),
        ask={kind: text.text() for kind, text in ask.items()},
        joiner=joiner,
    )


def _default_frame(node: Node, instrument: Instrument, language: str) -> Frame:
    """Return the frame of the wording to be replaced, else our own frame of that language."""
    for wording in instrument.wordings:
        if wording.language == language:
            return wording.frame
    ours = {path.suffixes[0][1:]: path for path in sorted(_DATA.glob("vsm2013.*.toml"))}
    if language not in ours:
        node.fail(
            f"there is no built-in frame for the language '{language}' (only for {', '.join(ours)}); "
            "write a [frame] of your own"
        )
    return _frame(read_data_file(ours[language]).entries()["frame"])
