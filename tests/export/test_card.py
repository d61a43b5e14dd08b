"""Model cards: text of unknown origin stays text, and what identifies a model names no place."""

from __future__ import annotations

import re

import pytest
import yaml
from exports import roomy_model, small_run

from acculturate.export.markdown import literal
from acculturate.export.subject import public_identity

HOSTILE = (
    "<script>alert(1)</script> [x](http://evil.example) ![](http://evil.example/a.png) `rm` **bold** | cell | "
    "www.evil.example # head {{ 7*7 }} $x$ \x1b[31m &lt;b&gt;"
)


def test_nothing_in_a_text_is_markup():
    line = literal(HOSTILE)
    assert "<" not in line and not re.search(r"(?<!\\)[\[\]|`*#{$!]", line.replace("&#", ""))
    assert "://" not in line and "www." not in line and "\x1b" not in line and "&amp;lt;b&amp;gt;" in line
    assert literal("a\n\n# b\n- c") == r"a \# b - c"
    assert (literal("- x"), literal("1. x"), literal("+x"), literal("plain, text.")) == (
        r"\- x",
        r"1\. x",
        r"\+x",
        "plain, text.",
    )
    assert len(literal("x" * 10**6)) <= 2000


@pytest.mark.parametrize(
    "identity, name",
    [
        ({"model": "/home/me/secret/model", "files_sha256": "0"}, "model"),
        ({"model": "./a/b.gguf", "file": "b.gguf", "sha256": "0"}, "b.gguf"),
        ({"model": "embedded", "file": "b.gguf", "sha256": "0"}, "embedded"),
        ({"model": "org/name", "revision": "0"}, "org/name"),
    ],
)
def test_a_model_is_named_without_its_place(identity, name):
    assert public_identity(identity) == {**identity, "model": name}


def test_a_hostile_country_is_text_in_every_part(tmp_path):
    targets = tmp_path / "targets.csv"
    name = "Land <img src=x onerror=alert(1)> [a](http://b.example)"
    targets.write_text(f'code,country,pdi,idv,mas,uai,lto,ivr,provenance\nSAU,"{name}",95,25,60,80,36,52,"{name}"\n')
    model = roomy_model(tmp_path / "model: {evil}", "llama")
    run = small_run(model, tmp_path / "run", "response_start", targets=str(targets))
    card = (run.export("safetensors", verify=False).path / "README.md").read_text()
    assert "<img" not in card and "](http://b.example" not in card and str(tmp_path) not in card
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["base_model"] == "model: {evil}" and head["library_name"] == "acculturate"
    assert "Target set: targets" in card
