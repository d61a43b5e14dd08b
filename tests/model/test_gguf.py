"""GGUF files: read alone or in parts, dequantised once, and never with what lies beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import acculturate
from tiny import save_tiny_gguf, save_tiny_model

from acculturate.errors import UserError
from acculturate.files.checksums import sha256_of
from acculturate.model import gguf as gguf_file
from acculturate.model.choice import ModelChoice
from acculturate.model.loading import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("source"))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dequantised"


@pytest.fixture
def whole(folder, tmp_path) -> Path:
    file = tmp_path / "alone" / "tiny.gguf"
    file.parent.mkdir()
    save_tiny_gguf(folder, [file])
    return file


def _refusal(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_model(ModelChoice(str(file)))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


def _same(one: str, other: str) -> None:
    a, b = load_model(ModelChoice(one)), load_model(ModelChoice(other))
    weights = a.model.state_dict()
    for name, values in b.model.state_dict().items():
        torch.testing.assert_close(values, weights[name])
    text = "How important is it?"
    assert a.tokenizer.encode(text) == b.tokenizer.encode(text)


def test_a_gguf_is_the_model_it_was_made_of_and_dequantised_once(folder, whole, cache, monkeypatch) -> None:
    _same(folder, str(whole))
    (made,) = (p for p in cache.iterdir() if not p.name.startswith("."))
    first = load_model(ModelChoice(str(whole)))
    assert first.identity["sha256"].startswith(made.name)
    monkeypatch.setattr(gguf_file, "_make", lambda *_: pytest.fail("it was made twice"))
    assert load_model(ModelChoice(str(whole))).identity == first.identity


def test_the_ending_may_stand_in_capital_letters(folder, whole, cache) -> None:
    _same(folder, str(whole.rename(whole.with_name("TINY.GGUF"))))


def test_a_split_model_is_read_whole_from_any_of_its_parts(folder, tmp_path, cache) -> None:
    parts = [tmp_path / f"tiny-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
    save_tiny_gguf(folder, parts)
    _same(folder, str(parts[0]))
    _same(folder, str(parts[2]))
    parts[1].unlink()
    assert "is one of 3 parts of a model, and 'tiny-00002-of-00003.gguf' is not beside it" in _refusal(parts[0])


def test_a_part_under_another_name_is_refused(folder, tmp_path, cache) -> None:
    parts = [tmp_path / f"tiny-0000{k}-of-00002.gguf" for k in (1, 2)]
    save_tiny_gguf(folder, parts)
    alone = parts[0].rename(tmp_path / "model.gguf")
    assert "says that it is part 1 of 2, but it was given as 1 of 1" in _refusal(alone)
    assert not [p for p in cache.iterdir() if not p.name.startswith(".lock")]


def test_a_file_that_lacks_weights_is_refused_by_their_names(folder, tmp_path, cache) -> None:
    parts = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    save_tiny_gguf(folder, parts, split=False)
    assert "weights that its architecture needs: model.layers." in _refusal(parts[0])


def test_a_page_and_a_cut_off_download_are_told_apart(whole, tmp_path, cache) -> None:
    assert "does not exist; give the path of a GGUF file" in _refusal(tmp_path / "a.gguf")
    page = tmp_path / "page.gguf"
    page.write_text("<html>not found</html>")
    assert "does not begin as GGUF files do; fetch it again" in _refusal(page)
    whole.write_bytes(whole.read_bytes()[:-20000])
    assert "it is cut off or damaged" in _refusal(whole)
    assert not [p for p in cache.iterdir() if not p.name.startswith(".lock")]


def test_what_lies_beside_a_gguf_is_neither_read_nor_run(folder, whole, cache, tmp_path) -> None:
    """Another model's tokenizer, and a configuration that brings code."""
    foreign = (Path(folder) / "tokenizer.json").read_text().replace("Ġ", "X")
    (whole.parent / "tokenizer.json").write_text(foreign)
    hostile = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (whole.parent / "tokenizer_config.json").write_text(json.dumps(hostile))
    (whole.parent / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nEvil = None\n"
    )
    _same(folder, str(whole))
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_an_earlier_version_is_made_anew(folder, whole, cache) -> None:
    old = cache / sha256_of(whole)[:16]
    old.mkdir(parents=True)
    (old / "config.json").write_text("{}")
    _same(folder, str(whole))


_KILLED = """
import os, signal, sys, transformers
real = transformers.PreTrainedModel.save_pretrained
def save(self, *args, **kwargs):
    real(self, *args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
transformers.PreTrainedModel.save_pretrained = save
from acculturate.model.choice import ModelChoice
from acculturate.model.loading import load_model
load_model(ModelChoice(sys.argv[1]))
"""


def test_what_killed_processes_leave_is_cleared_by_the_next(folder, whole, cache) -> None:
    (cache / ".partial-old").mkdir(parents=True)  # of an earlier version, whose names were random
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", _KILLED, str(whole)], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL
    assert list(cache.glob(".partial-*"))
    _same(folder, str(whole))
    assert not list(cache.glob(".partial-*"))


def test_the_first_reading_writes_no_bar_into_a_log(whole, cache) -> None:
    done = acculturate("score", "--model", whole)
    assert done.returncode == 0
    assert "it/s" not in done.stderr and "%|" not in done.stderr


def test_a_cache_that_cannot_be_written_says_how_to_move_it(whole, tmp_path, monkeypatch) -> None:
    (tmp_path / "taken").write_text("a file where the cache should be")
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path / "taken"))
    assert "set ACCULTURATE_CACHE to a directory that you can write to" in _refusal(whole)


def test_a_full_disk_is_no_damaged_file(whole, cache, monkeypatch) -> None:
    def full(*_args, **_kwargs):
        raise ValueError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    sentence = _refusal(whole)
    assert "Cannot write the model cache" in sentence and "No space left on device" in sentence


def test_no_home_directory_says_what_to_set(monkeypatch) -> None:
    monkeypatch.delenv("ACCULTURATE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where there is no account either
    with pytest.raises(UserError, match="set ACCULTURATE_CACHE to a directory"):
        gguf_file.cache_folder()


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_folder_of_the_cache_is_made_anew(folder, whole, cache, name, harm) -> None:
    load_model(ModelChoice(str(whole)))
    (made,) = (p for p in cache.iterdir() if not p.name.startswith("."))
    harm(made / name)
    _same(folder, str(whole))


@pytest.mark.parametrize(
    "marker", ["", "2\n", "x\n", "3\nx model.safetensors\n", "3\nmodel.safetensors\n", "3\n5 none\n"]
)
def test_a_marker_of_another_version_or_kind_counts_as_none(tmp_path, marker) -> None:
    (tmp_path / "acculturate-gguf.txt").write_text(marker)
    assert not gguf_file._finished(tmp_path)
