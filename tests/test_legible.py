"""Text that is passed on names no folder of this machine."""

from __future__ import annotations

import pytest

from acculturate.legible import without_places


@pytest.mark.parametrize(
    "text, said",
    [
        ("/home/alice/models/tiny", "tiny"),
        ("~/models/tiny.gguf", "tiny.gguf"),
        ("culturalbench-hard=/data/alice/hard.csv", "culturalbench-hard=hard.csv"),
        ("one, /a/b/two; '/c/d/three' (/e/four)", "one, two; 'three' (four)"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("digits/options-first/0/en/ascending", "digits/options-first/0/en/ascending"),
        ("see https://example.org/a/b and/or 1 / 2", "see https://example.org/a/b and/or 1 / 2"),
        ("runs/sau", "runs/sau"),
        ("/home/alice/models/tiny/", "tiny"),
        ("//home/alice/tiny", "tiny"),
        ("/home/alice smith/models/x", "x"),
        ("~alice/models/x", "x"),
        ("see file:/home/alice/x", "see file:x"),
        ("[/home/alice/x] `/home/alice/y` a|/home/alice/z", "[x] `y` a|z"),
        ("", ""),
    ],
)
def test_absolute_paths_lose_their_folders(text, said) -> None:
    assert without_places(text) == said
