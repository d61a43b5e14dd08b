"""A comparison that fails keeps nothing, and what another library says is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from exports import roomy_model, small_run

import acculturate as ac
from acculturate.export import export as work
from acculturate.export import parity as comparison
from acculturate.export.parity import Difference, Parity


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ac.Run:
    folder = tmp_path_factory.mktemp("parity")
    return small_run(roomy_model(folder / "model", "llama"), folder / "run", "response_start")


def nothing_is_left(run: ac.Run) -> bool:
    folder = run.path / "export"
    return not folder.exists() or not list(folder.iterdir())


def test_an_export_with_other_numbers_is_not_kept(run, monkeypatch):
    whole = work.write_prompt

    def damaged(path: Path, prompt):
        whole(path, type(prompt)(prompt.vectors * np.float32(1.01), prompt.slot, prompt.identity))

    monkeypatch.setattr(work, "write_prompt", damaged)
    with pytest.raises(ac.ModelError, match=r"answers otherwise .*log-probability differs by .*0\.0001 allow"):
        run.export("safetensors")
    assert nothing_is_left(run)


def test_a_record_with_other_scores_is_noticed(run, tmp_path):
    import shutil

    other = Path(shutil.copytree(run.path, tmp_path / "other", ignore=lambda *_: ["SHA256SUMS"]))
    result = json.loads((other / "result.json").read_text())
    row = next(row for row in result["rows"] if row["id"] == "tuned")
    row["by_view"][0]["scores"]["pdi"] += 1.0
    (other / "result.json").write_text(json.dumps(result))
    with pytest.raises(ac.ModelError, match=r"scores \(points\) differs by 1, 0\.05 allowed"):
        ac.open_run(other).export("safetensors")


def test_what_the_other_library_complains_of_is_one_sentence(run, monkeypatch):
    monkeypatch.setattr(comparison.foreign, "__file__", str(run.path / "no\nscript.py"))
    with pytest.raises(ac.ModelError, match=r"could not be loaded and asked by its own library: .*can't open file"):
        run.export("safetensors")
    assert nothing_is_left(run)


def test_a_library_that_is_not_installed_is_said_before_anything_is_loaded(run, monkeypatch):
    monkeypatch.setattr(comparison.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ac.SettingError, match=r"needs the package xllamacpp.*acculturate\[llamacpp\]"):
        run.export("gguf")


def test_nan_is_never_allowed():
    rows = (Difference(name="a", difference=float("nan"), allowed=1.0), Difference(name="b", difference=9.0))
    assert not Parity(library="x 1", questions=1, rows=rows[:1]).holds
    assert Parity(library="x 1", questions=1, rows=rows[1:]).holds
    assert Parity(library="x 1", questions=1, rows=rows).lines()[1] == ("b", "9", "")


def test_the_program_in_the_other_process_imports_nothing_of_ours():
    text = Path(comparison.foreign.__file__).read_text()
    client = Path(work.client.__file__).read_text()
    assert "acculturate." not in text.replace("acculturate.json", "") and "import acculturate" not in text + client
    assert "from acculturate" not in text + client
