"""Exports answer as the run did, each through its own library in a new process, and generate what they should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import HIDDEN, VOCABULARY, saved_model_dir
from exports import roomy_model, small_run
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

import acculturate as ac
from acculturate.export.export import Exported
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import read_prompt
from acculturate.model.template import Turn

MODELS = {"llama": False, "qwen2": True, "gemma3": True}
"""Whether the output head shares the embedding's rows, as in the real models of these families."""

Runs = dict[tuple[str, str], ac.Run]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def runs(home: Path) -> Runs:
    return {}


def run_of(runs: Runs, home: Path, architecture: str, slot: str) -> ac.Run:
    """A finished run, made when it is first needed."""
    if (architecture, slot) not in runs:
        folder = home / f"model-{architecture}"
        model = str(folder)
        if not folder.exists():
            roomy_model(folder, architecture, tied=MODELS[architecture])
        runs[architecture, slot] = small_run(model, home / f"run-{architecture}-{slot}", slot)
    return runs[architecture, slot]


def check(exported: Exported) -> None:
    """What every export has: a comparison that holds, and a card and a description that name no place."""
    compared = exported.parity
    assert compared is not None and compared.holds and compared.questions == 24
    assert [row.name for row in compared.rows][:4] == [
        "log-probability",
        "answer mass (logarithm)",
        "log-probability in conversations",
        "scores (points)",
    ]
    assert compared.rows[0].difference <= 1e-4
    for file in exported.path.iterdir():
        assert str(exported.path.parent.parent.parent).encode() not in file.read_bytes(), file.name
        assert file.suffix in {".json", ".md", ".jinja", ".safetensors", ".py"}
    assert not list(exported.path.parent.glob(".*"))


FEW = [
    ("llama", "response_start", "safetensors"),
    ("llama", "before_bos", "peft"),
    ("llama", "before_bos", "tokens"),
    ("qwen2", "system", "tokens"),
    ("qwen2", "system", "peft-tokens"),
    ("gemma3", "user_end", "peft-tokens"),
    ("gemma3", "user_end", "tokens"),
    ("gemma3", "user_end", "embeds"),
]
ALL = [
    (architecture, slot.value, kind)
    for architecture in MODELS
    for slot in Slot
    for kind in ("safetensors", "peft", "peft-tokens", "tokens", "embeds")
    if kind != "peft" or slot == Slot.BEFORE_BOS
]


@pytest.mark.parametrize("architecture, slot, kind", FEW)
def test_an_export_answers_as_the_run(runs, home, architecture, slot, kind):
    check(run_of(runs, home, architecture, slot).export(kind))


@pytest.mark.slow
@pytest.mark.parametrize("architecture, slot, kind", [one for one in ALL if one not in FEW])
def test_every_export_answers_as_the_run(runs, home, architecture, slot, kind):
    check(run_of(runs, home, architecture, slot).export(kind))


@pytest.mark.slow
@pytest.mark.parametrize(
    "slot, kind", [("before_bos", "peft"), ("response_start", "peft-tokens"), ("user_end", "tokens")]
)
def test_the_embedded_model_answers_as_the_run(tmp_path, slot, kind):
    compared = small_run("embedded", tmp_path / "run", slot).export(kind).parity
    assert compared is not None and compared.holds
    if kind == "tokens":  # its hidden states lie on one side: the head alone keeps the tokens from being written
        assert compared.rows[-1].difference < 1e-30


@pytest.mark.parametrize("kind", ["peft", "peft-tokens"])
def test_a_model_without_attention_heads(tmp_path, kind):
    settings = {"vocab_size": VOCABULARY + 8, "hidden_size": HIDDEN, "num_hidden_layers": 2, "context_length": 2048}
    model = str(saved_model_dir(tmp_path / "model", "RwkvConfig", settings))
    compared = small_run(model, tmp_path / "run", "before_bos").export(kind).parity
    assert compared is not None and compared.holds


def test_the_prompt_file_is_one_of_ours_without_the_model_s_place(runs, home):
    run = run_of(runs, home, "llama", "response_start")
    exported = run.export("safetensors", verify=False)
    prompt = read_prompt(exported.path)
    assert np.array_equal(prompt.vectors, run.prompt.vectors)
    assert (prompt.slot, prompt.identity["model"]) == ("response_start", "model-llama")
    assert prompt.identity["files_sha256"] == run.prompt.identity["files_sha256"]
    assert "was not compared with the run" in (exported.path / "README.md").read_text()


def test_a_padded_batch_of_an_adapter_generates_what_one_prompt_does(runs, home):
    run = run_of(runs, home, "gemma3", "user_end")
    folder, base = run.export("peft-tokens", verify=False).path, str(home / "model-gemma3")
    about = json.loads((folder / "acculturate.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    tokenizer.add_tokens(about["new_tokens"], special_tokens=True)
    tokenizer.chat_template = (folder / "chat_template.jinja").read_text()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder).eval()
    asked = ["Why?", "How should a manager decide when nobody agrees with anybody?", "And then what?"]
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in asked
    ]

    def replies(batch: list[str]) -> list[list[int]]:
        inputs = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
        out = model.generate(
            **inputs, do_sample=False, max_new_tokens=12, min_new_tokens=12, suppress_tokens=about["token_ids"]
        )
        return out[:, inputs["input_ids"].shape[1] :].tolist()

    together = replies(texts)
    assert together == [replies([text])[0] for text in texts]
    # They are those of the vectors themselves, which stand where the run had them.
    respondent = Respondent(ModelChoice(base, dtype="float32"))
    around = respondent.chat.encode([Turn("user", asked[1])], "user_end")
    whole = np.concatenate([respondent.rows(around.prefix), run.prompt.vectors, respondent.rows(around.suffix)])
    first = respondent.model(inputs_embeds=torch.tensor(whole)[None]).logits[0, -1]
    first[about["token_ids"]] = -torch.inf
    assert together[1][0] == int(first.argmax())


def test_a_pipeline_talks_to_a_copy_of_the_model_and_never_writes_the_prompt(runs, home):
    folder = run_of(runs, home, "qwen2", "system").export("tokens", verify=False).path
    chat = pipeline("text-generation", str(folder))
    ids = json.loads((folder / "acculturate.json").read_text())["token_ids"]
    assert chat.model.generation_config.suppress_tokens == ids and len(ids) == 2
    talks = [[{"role": "user", "content": text}] for text in ("Why?", "How should a manager decide?")]
    for reply in chat(talks, max_new_tokens=20, do_sample=True, return_tensors=True):
        assert not set(ids) & set(reply[0]["generated_token_ids"][-20:])
    assert "likeliest" not in (folder / "README.md").read_text()


def test_the_weights_of_a_copy_are_as_narrow_as_they_were(home, tmp_path):
    wide = AutoModelForCausalLM.from_pretrained(
        roomy_model(tmp_path / "wide", "llama", tied=True), dtype=torch.bfloat16
    )
    wide.save_pretrained(tmp_path / "half")
    AutoTokenizer.from_pretrained(tmp_path / "wide").save_pretrained(tmp_path / "half")
    exported = small_run(str(tmp_path / "half"), tmp_path / "run", "response_start", dtype="float32").export("tokens")
    check(exported)
    from safetensors.torch import load_file

    weights = load_file(exported.path / "model.safetensors")
    types = {name: values.dtype for name, values in weights.items()}
    assert types.pop("model.embed_tokens.weight") == types.pop("lm_head.weight") == torch.float32
    assert set(types.values()) == {torch.bfloat16}
    assert not any(file.stat().st_mode & 0o044 != 0o044 for file in exported.path.iterdir() if file.suffix != ".md")


class TestMistakes:
    def test_prompt_tuning_stands_before_everything(self, runs, home):
        with pytest.raises(ac.SettingError, match=r"stands in the slot response_start; choose `to='peft-tokens'`"):
            run_of(runs, home, "llama", "response_start").export("peft")

    def test_a_model_without_free_ids(self, tmp_path):
        model = roomy_model(tmp_path / "model", "llama", vocab_size=400)
        run = small_run(model, tmp_path / "run", "response_start", tokens=3)
        with pytest.raises(ac.ModelError, match=r"has 0 token ids without a use, and the prompt needs 3;"):
            run.export("peft-tokens")
        assert not (run.path / "export").exists() or not list((run.path / "export").iterdir())
        check(run.export("tokens"))

    def test_a_form_that_there_is_not(self, runs, home):
        with pytest.raises(ac.SettingError, match=r"names no form of a prompt \(nearest: 'peft'\)"):
            run_of(runs, home, "llama", "response_start").export("pft")

    def test_a_gguf_file_is_needed(self, runs, home):
        with pytest.raises(ac.SettingError, match="run's model is in the Hugging Face format; name a GGUF file"):
            run_of(runs, home, "llama", "response_start").export("gguf", verify=False)

    def test_another_model_than_the_run_s(self, tmp_path):
        model = roomy_model(tmp_path / "model", "llama")
        run = small_run(model, tmp_path / "run", "response_start")
        (tmp_path / "model" / "config.json").write_text((tmp_path / "model" / "config.json").read_text() + "\n")
        with pytest.raises(ac.RunDirectoryError, match="has changed since"):
            run.export("safetensors")

    def test_a_model_that_has_moved(self, tmp_path):
        run = small_run(roomy_model(tmp_path / "model", "llama"), tmp_path / "run", "response_start")
        (tmp_path / "model").rename(tmp_path / "moved")
        with pytest.raises(ac.ModelError):
            run.export("tokens")
        exported = run.export("tokens", model=str(tmp_path / "moved"))
        check(exported)
        assert run.model(model=str(tmp_path / "moved")) is not None

    def test_a_model_elsewhere_that_is_another(self, tmp_path):
        run = small_run(roomy_model(tmp_path / "model", "llama"), tmp_path / "run", "response_start")
        copy = shutil.copytree(tmp_path / "model", tmp_path / "copy")
        (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
        with pytest.raises(ac.RunDirectoryError, match="is not the one of the run"):
            run.export("tokens", model=str(copy))
        assert not (run.path / "export").exists()
