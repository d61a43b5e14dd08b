"""Whatever stands in a file of somebody else's, it is read, or refused in one sentence; nothing else ever happens."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged
from parsers import Parser, parsers

from acculturate.errors import LONGEST, UserError

NAMES = (
    *("settings in YAML", "settings in TOML", "instrument", "wording", "targets", "item means", "item texts"),
    *("respondents", "questions", "questions in JSON lines", "benchmark", "prompt", "GGUF", "sweep"),
    *(
        "adapter: adapter_model.safetensors",
        "adapter: adapter_config.json",
        "run: align result.json",
        "run: align spec.json",
        "run: align journal.jsonl",
    ),
    *("run: align SHA256SUMS", "run: align prompt.safetensors", "run: align evaluations.parquet"),
    *("run: multitask multitask.json", "run: pareto front.json", "run: pareto front.safetensors"),
    *("run: steer steer.json", "run: steer directions.safetensors", "run to go on with"),
)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Parser]:
    return parsers(tmp_path_factory.mktemp("parsers"))


def read(parser: Parser, folder: Path, content: bytes) -> None:
    """Read a file with this content; whatever is wrong with it is one sentence."""
    (folder / parser.file).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parser.read(folder / parser.file)
        except UserError as error:
            said = str(error)
            assert 0 < len(said) <= LONGEST + 1 and "\n" not in said and said.endswith((".", "?", "…")), said


def test_every_parser_is_here(every) -> None:
    assert set(every) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(every, name, tmp_path) -> None:
    parser = every[name]
    parser.prepared(tmp_path)
    (tmp_path / parser.file).write_bytes(parser.whole)
    parser.read(tmp_path / parser.file)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_are_refused_in_a_sentence(every, name, tmp_path_factory, data) -> None:
    parser = every[name]
    folder = tmp_path_factory.getbasetemp() / f"damaged-{NAMES.index(name)}"
    if not folder.exists():
        folder.mkdir()
        parser.prepared(folder)
    read(parser, folder, data.draw(damaged(parser.whole)))
