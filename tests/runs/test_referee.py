"""A foreign harness as referee: lm-evaluation-harness weighs the same options of the same questions alike.

It needs the library lm-eval, which `make check-slow` installs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.tasks import answer
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt

pytestmark = pytest.mark.slow
pytest.importorskip("lm_eval")

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "questions.py"
_SPEC = importlib.util.spec_from_file_location("benchmark_questions", FILE)
assert _SPEC is not None and _SPEC.loader is not None
BENCHMARK = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(BENCHMARK)

COLOURS = ("red", "blue", "green", "a pale grey")
QUESTIONS = tuple(
    Question(f"q{k}", f"Which colour {verb} number {k}?", COLOURS[k % 4 :] + COLOURS[: k % 4], k % 4)
    for k, verb in enumerate(("suits", "has", "goes with", "hides", "makes", "spoils") * 4)
)


def _adapter(folder: Path, model: str, vectors: np.ndarray) -> str:
    """Save vectors as prompt tuning by PEFT itself."""
    import torch
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(model)
    tuned = get_peft_model(plain, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=len(vectors)))
    with torch.no_grad():
        tuned.prompt_encoder["default"].embedding.weight.copy_(torch.as_tensor(vectors))
    tuned.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("tuned", [False, True])
def test_the_same_options_are_as_likely(tiny, tmp_path, monkeypatch, tuned):
    from lm_eval.models.huggingface import HFLM

    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    respondent = Respondent(ModelChoice(tiny, dtype="float32"))
    vectors = np.random.default_rng(2).standard_normal((3, respondent.hidden)).astype(np.float32) * respondent.unit
    prompt = SoftPrompt(vectors, "before_bos", dict(respondent.identity)) if tuned else None
    adapter = _adapter(tmp_path / "adapter", tiny, vectors) if tuned else None
    task = Task("t", "T", TaskKind.CHOICE, QUESTIONS)
    harness = HFLM(pretrained=tiny, peft=adapter, dtype="float32", device="cpu", batch_size=4)
    theirs, accuracy = BENCHMARK.by_the_harness(harness, task, tmp_path / "task.jsonl")
    ours = np.log(answer(respondent, task, AnswerKind.CLOZE_SUM, [prompt])[0].shares)
    # Ours are renormalised over the options; the differences between options are the same.
    assert ours - ours.max(axis=1, keepdims=True) == pytest.approx(theirs - theirs.max(axis=1, keepdims=True), abs=1e-3)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    assert (ours.argmax(axis=1) == [question.right for question in QUESTIONS]).mean() == pytest.approx(accuracy)
