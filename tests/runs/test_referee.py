"""A foreign harness as referee: lm-evaluation-harness weighs the same options of the same questions alike.

It needs the library lm-eval, which `make check-slow` installs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acculturate.knowledge.asking import sheet
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.tasks import answer
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt

pytestmark = pytest.mark.slow
lm_eval = pytest.importorskip("lm_eval")

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


def _of_the_referee(model: str, adapter: str | None, task: Task, file: Path) -> tuple[np.ndarray, float]:
    """Log-likelihoods of all options, and the accuracy that the harness reports."""
    from lm_eval.models.huggingface import HFLM

    lines = [
        {
            "text": sheet(task.kind, [question], in_words=True).questionnaire.questions()[0].text,
            "choices": list(question.options),
            "right": question.right,
        }
        for question in task.questions
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    local = {
        "task": "local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{right}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    harness = HFLM(pretrained=model, peft=adapter, dtype="float32", device="cpu", batch_size=4)
    out = lm_eval.simple_evaluate(
        model=harness, tasks=[local], apply_chat_template=True, log_samples=True, bootstrap_iters=0
    )
    samples = sorted(out["samples"]["local"], key=lambda sample: sample["doc_id"])
    likely = np.array([[float(pair[0]) for pair in sample["filtered_resps"]] for sample in samples])
    return likely, out["results"]["local"]["acc,none"]


@pytest.mark.parametrize("tuned", [False, True])
def test_the_same_options_are_as_likely(tiny, tmp_path, monkeypatch, tuned):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    respondent = Respondent(ModelChoice(tiny, dtype="float32"))
    vectors = np.random.default_rng(2).standard_normal((3, respondent.hidden)).astype(np.float32) * respondent.unit
    prompt = SoftPrompt(vectors, "before_bos", dict(respondent.identity)) if tuned else None
    adapter = _adapter(tmp_path / "adapter", tiny, vectors) if tuned else None
    task = Task("t", "T", TaskKind.CHOICE, QUESTIONS)
    theirs, accuracy = _of_the_referee(tiny, adapter, task, tmp_path / "task.jsonl")
    ours = np.log(answer(respondent, task, AnswerKind.CLOZE_SUM, prompt).shares)
    # Ours are renormalised over the options; the differences between options are the same.
    assert ours - ours.max(axis=1, keepdims=True) == pytest.approx(theirs - theirs.max(axis=1, keepdims=True), abs=1e-3)
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
    assert (ours.argmax(axis=1) == [question.right for question in QUESTIONS]).mean() == pytest.approx(accuracy)
