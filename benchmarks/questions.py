"""Questions per second: this engine against lm-evaluation-harness' hf model, on the same questions in one run.

Both weigh the four options' own words after the model's chat template, in float32, and the choices are compared. The
questions are asked in rounds, by one and then by the other, so that a busy machine slows both alike. Needs lm-eval.

    python benchmarks/questions.py --tasks mini,general
    python benchmarks/questions.py --tasks blend=blend-mcq-sample.json --count 1000
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tasks", default="mini,general")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--round", type=int, default=50)
    parser.add_argument("--batch", type=int, default=16, help="batch size of the harness")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ACCULTURATE_CACHE": folder, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        compare(given, Path(folder))


def compare(given: argparse.Namespace, folder: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from acculturate.knowledge.task import TaskKind
    from acculturate.model.answer_kind import AnswerKind
    from acculturate.model.answers.tasks import answer
    from acculturate.model.choice import ModelChoice
    from acculturate.model.loading import load_model
    from acculturate.model.respondent import Respondent
    from acculturate.runs.evaluate import tasks_of

    tasks, _ = tasks_of(given.tasks.split(","))
    assert all(task.kind is TaskKind.CHOICE for task in tasks)
    questions = [question for task in tasks for question in task.questions][: given.count]
    choice = ModelChoice(given.model, dtype="float32")
    respondent = Respondent(choice)
    # A copy of its own: ours gets another attention function, which the harness has no use for.
    theirs = HFLM(pretrained=load_model(choice).model, tokenizer=respondent.tokenizer, batch_size=given.batch)
    answer(respondent, replace(tasks[0], questions=tuple(questions[:4])), AnswerKind.CLOZE_SUM)  # compares engines once
    seconds: dict[str, list[float]] = {"acculturate": [], "lm-eval hf": []}
    same = []
    for start in range(0, len(questions), given.round):
        some = replace(tasks[0], questions=tuple(questions[start : start + given.round]))
        begun = time.perf_counter()
        ours = answer(respondent, some, AnswerKind.CLOZE_SUM)[0].shares
        seconds["acculturate"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        likely, _ = by_the_harness(theirs, some, folder / "task.jsonl")
        seconds["lm-eval hf"].append(time.perf_counter() - begun)
        same += (np.nanargmax(ours, axis=1) == likely.argmax(axis=1)).tolist()
        print(f"{start + len(some.questions)} of {len(questions)}", flush=True)
    print(
        f"\n{given.model}, {len(questions)} questions of {given.tasks}, float32, harness in batches of {given.batch}\n"
    )
    print("| | seconds | questions per second |\n|---|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {sum(each):.0f} | {len(questions) / sum(each):.1f} |")
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(f"\nratio {median(ratios):.1f} (median of rounds, {min(ratios):.1f} to {max(ratios):.1f})")
    print(f"the same choice in {sum(same)} of {len(same)} questions")


def by_the_harness(model, task, file: Path) -> tuple[np.ndarray, float]:
    """Have an lm-eval model weigh all options of a task: their log-likelihoods, and the accuracy that it reports."""
    import lm_eval

    from acculturate.knowledge.asking import sheet

    lines = [
        {
            "text": sheet(task.kind, [question], in_words=True).questionnaire.questions()[0].text,
            "choices": list(question.options),
            "right": question.right,
        }
        for question in task.questions
    ]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    local = {
        "task": "local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "download_mode": "force_redownload"},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{right}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    out = lm_eval.simple_evaluate(
        model=model, tasks=[local], apply_chat_template=True, log_samples=True, bootstrap_iters=0, verbosity="ERROR"
    )
    samples = sorted(out["samples"]["local"], key=lambda sample: sample["doc_id"])
    likely = np.array([[float(pair[0]) for pair in sample["filtered_resps"]] for sample in samples])
    return likely, out["results"]["local"]["acc,none"]


if __name__ == "__main__":
    main()
