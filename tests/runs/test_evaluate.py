"""Evaluation on tasks with a real model: packed as one at a time, kept and gone on with, written whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from acculturate.errors import UserError
from acculturate.files.checksums import check_sum
from acculturate.judge.evaluation_records import Evaluation
from acculturate.knowledge.specimens import Specimen
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model import interview
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers import tasks as asked
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.fluency import replies, reply_loss
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.model.template import Turn
from acculturate.runs import evaluate as work
from acculturate.runs.finished import read_record


def questions(count: int, options: int = 4, **more) -> tuple[Question, ...]:
    words = ("the red one", "a green house", "blue", "yellow paint, mostly", "black")[:options]
    return tuple(
        Question(
            f"q{k}", f"Which colour comes to mind with number {k}{' or so' * (k % 3)}?", words, k % options, **more
        )
        for k in range(count)
    )


@pytest.fixture
def respondent(tiny: str) -> Respondent:
    return Respondent(ModelChoice(tiny, dtype="float32"))


@pytest.fixture
def prompt(respondent) -> SoftPrompt:
    vectors = np.random.default_rng(5).standard_normal((2, respondent.hidden)).astype(np.float32) * respondent.unit
    return SoftPrompt(vectors, "response_start", dict(respondent.identity))


def one_at_a_time(respondent, texts, replies_to, prompt):
    """Likelihoods of replies, each by a whole forward pass of its own: no packing, no cache, no trie."""
    model, chat = respondent.model, respondent.chat
    soft = virtual_tokens(model, prompt.vectors)
    sums = []
    for text, reply in zip(texts, replies_to, strict=True):
        start, tokens = chat.encode([Turn("user", text)], prompt.slot), chat.reply(reply)
        with torch.inference_mode():
            whole = embed_around(model, SlottedTokens(start.prefix, (*start.suffix, *tokens)), soft)
            logits = model(inputs_embeds=whole[None], use_cache=False).logits[0].double().log_softmax(-1)
        sums.append(sum(float(logits[k - len(tokens) - 1, token]) for k, token in enumerate(tokens)))
    return np.array(sums)


def test_labels_are_averaged_over_every_turn_of_the_options(respondent, prompt):
    (question,) = questions(1)
    task = Task("t", "T", TaskKind.CHOICE, (question,))
    found = asked.answer(respondent, task, AnswerKind.PROBABILITIES, [prompt])[0]
    shares = np.zeros(4)
    for turn in range(4):
        shown = question.options[turn:] + question.options[:turn]
        listed = "\n".join(f"{label}. {option}" for label, option in zip("ABCD", shown, strict=True))
        text = (
            "Here is a question with several possible answers. Only one of them is right.\n\n"
            f"Question: {question.text}\nOptions:\n{listed}\n\n"
            "Reply with the letter of your answer (A, B, C, D) and nothing else."
        )
        weights = np.exp(one_at_a_time(respondent, [text] * 4, "ABCD", prompt))
        for place, weight in enumerate(weights / weights.sum()):
            shares[(place + turn) % 4] += weight / 4
    assert found.shares[0] == pytest.approx(shares, abs=1e-5)


def test_judgements_weigh_true_against_false(respondent, prompt):
    judged = Question("j", "Is two more than one? Somebody says: yes.", ("True", "False"), 0)
    found = asked.answer(respondent, Task("t", "T", TaskKind.JUDGEMENTS, (judged,)), AnswerKind.CLOZE_SUM, [prompt])[0]
    orders = []
    for intro in (
        "Here is a question and an answer that somebody gave. Reply True if the answer is right, or False if it is "
        "wrong, and nothing else.",
        "Here is a question and an answer that somebody gave. Reply False if the answer is wrong, or True if it is "
        "right, and nothing else.",
    ):
        text = f"{intro}\n\nQuestion: {judged.text}"
        weights = np.exp(one_at_a_time(respondent, [text] * 2, ["True", "False"], prompt))
        orders.append(weights / weights.sum())
    assert found.shares[0] == pytest.approx(np.mean(orders, axis=0), abs=1e-5)


def test_parts_come_back_to_their_questions(respondent, monkeypatch):
    task = Task("t", "T", TaskKind.CHOICE, questions(11))
    whole = asked.answer(respondent, task, AnswerKind.PROBABILITIES)[0]
    monkeypatch.setattr(asked, "TOGETHER", 3)
    parts = asked.answer(respondent, task, AnswerKind.PROBABILITIES)[0]
    assert parts.shares == pytest.approx(whole.shares, abs=1e-5) and not np.isnan(parts.shares).any()


def test_prompts_asked_together_answer_as_alone_and_share_work(respondent, prompt, monkeypatch, tmp_path):
    task = Task("t", "T", TaskKind.CHOICE, questions(3))
    others = [replace(prompt, vectors=prompt.vectors * scale) for scale in (0.5, -1.0)]
    alone = [asked.answer(respondent, task, AnswerKind.PROBABILITIES, [one])[0] for one in (None, prompt, *others)]
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path))  # where nothing is kept yet
    built = []

    class Counted(PackedEngine):
        def __init__(self, *given) -> None:
            built.append(1)
            super().__init__(*given)

    monkeypatch.setattr(interview, "PackedEngine", Counted)
    together = asked.answer(respondent, task, AnswerKind.PROBABILITIES, (None, prompt, *others))
    assert len(built) == 1  # for all prompts, and without one
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.shares, other.shares)
    assert not np.array_equal(together[1].shares, together[3].shares)


def test_every_kind_is_figured_without_and_with_a_prompt(respondent, prompt):
    tasks = [
        Task("choice", "Choice", TaskKind.CHOICE, questions(6, country="China") + questions(6, country="India")[3:]),
        Task("judged", "Judged", TaskKind.JUDGEMENTS, _judgements()),
        Task("opinions", "Opinions", TaskKind.OPINIONS, _opinions()),
        Task("courses", "Courses", TaskKind.COURSES, _courses()),
    ]
    told: list[tuple[str, int, int]] = []
    evaluated = work.evaluate(respondent, tasks, prompt=prompt, watch=lambda *told_: told.append(told_))
    found, rows = evaluated.record, evaluated.answers
    frame = evaluated.to_frame()
    assert len(frame) == sum(len(m.groups) for task in found.tasks for m in task.measures)
    assert "China" in evaluated._repr_html_()
    assert [task.answers for task in found.tasks] == ["probabilities", "cloze-sum", "probabilities", "probabilities"]
    assert found.tasks[1].measures[0].whole.questions == 2
    assert set(rows["respondent"]) == {"untuned", "tuned"} and len(rows) == 2 * (9 + 8 + 3 + 4)
    assert ("Choice", 9, 9) in told
    assert json.dumps(found.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.dumps(found.to_json())) == found
    choice = rows[(rows.task == "choice") & (rows.respondent == "tuned")]
    assert (choice.chosen == choice.right).mean() == found.tasks[0].measures[0].whole.tuned
    open_one = work.evaluate(respondent, tasks[:1], prompt=prompt, answers="cloze")
    assert open_one.record.tasks[0].answers == "cloze"
    with pytest.raises(UserError, match="generates text"):
        work.evaluate(respondent, tasks, answers="sampled")


def _judgements():
    return tuple(
        Question(f"{group}{k}", f"Is {k} a number like {group}?", ("True", "False"), int(k > 0), cluster=group)
        for group in "xy"
        for k in range(4)
    )


def _opinions():
    shares = {"China": (0.6, 0.3, 0.1), "India": (0.2, 0.3, 0.5)}
    return tuple(Question(f"o{k}", f"Is {k} good?", ("yes", "partly", "no"), shares=shares) for k in range(3))


def _courses():
    return tuple(
        Question(f"c{k}", f"A friend asks about {k}.", ("Go ahead.", "Wait a little."), topic="pdi" if k < 2 else "idv")
        for k in range(4)
    )


def test_nothing_is_asked_twice_and_a_file_is_written_whole(respondent, prompt, tmp_path, monkeypatch):
    computed: list[int] = []
    whole = PackedEngine.__call__
    monkeypatch.setattr(PackedEngine, "__call__", lambda self, *asked: computed.append(1) or whole(self, *asked))
    task = Task("t", "T", TaskKind.CHOICE, questions(5))
    first = work.evaluate(respondent, [task], prompt=prompt)
    so_far = len(computed)
    second = work.evaluate(respondent, [task], prompt=prompt)
    assert so_far and len(computed) == so_far and second.record == first.record
    other = SoftPrompt(prompt.vectors + 0.5, prompt.slot, prompt.identity)
    work.evaluate(respondent, [task], prompt=other)
    assert len(computed) > so_far, "another prompt has other answers"
    first.save(tmp_path / "out")
    check_sum(tmp_path / "out" / work.EVALUATION)
    assert read_record(tmp_path / "out" / work.EVALUATION, Evaluation) == first.record
    assert len(pd.read_parquet(tmp_path / "out" / work.ANSWERS)) == 10


_SCRIPT = """
import sys
from pathlib import Path
from acculturate.knowledge.task import Question, Task, TaskKind
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model import interview
from acculturate.model.answers import tasks as asked
from acculturate.runs import evaluate as work
asked.TOGETHER = 1
questions = tuple(Question(f"q{k}", f"Which comes to mind with {k}?", ("red", "blue"), 0) for k in range(40))
found = work.evaluate(
    Respondent(ModelChoice(sys.argv[1], dtype="float32")), [Task("t", "T", TaskKind.CHOICE, questions)],
    watch=lambda _, done, total: print(done, flush=True),
)
found.save(Path(sys.argv[2]))
"""


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bytes(tiny, tmp_path):
    def start(out: str, cache: str) -> subprocess.Popen[str]:
        environment = os.environ | {"ACCULTURATE_CACHE": str(tmp_path / cache)}
        command = [sys.executable, "-c", _SCRIPT, tiny, str(tmp_path / out)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    killed = start("a", "one")
    assert killed.stdout is not None
    for line in killed.stdout:
        if int(line) >= 10:
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    assert not (tmp_path / "a" / work.EVALUATION).exists()
    kept = list((tmp_path / "one" / "answers").rglob("*.safetensors"))
    assert 10 <= len(kept) < 40
    before = {path: path.stat().st_mtime_ns for path in kept}
    for out, cache in (("a", "one"), ("b", "two")):
        assert start(out, cache).wait() == 0
    assert all(path.stat().st_mtime_ns == at for path, at in before.items()), "what was kept is not computed anew"
    for name in (work.EVALUATION, work.ANSWERS, "SHA256SUMS"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_fluency_is_that_of_whole_passes(respondent, prompt):
    request, text = "How does rain form?", "Water rises, cools and falls."
    loss, count = reply_loss(respondent, request, text, prompt)
    assert -loss == pytest.approx(one_at_a_time(respondent, [request], [text], prompt)[0], abs=1e-3)
    assert count == len(respondent.chat.reply(text))
    untuned, _ = reply_loss(respondent, request, text)
    assert untuned != pytest.approx(loss)
    written = replies(respondent, [request, "Why?"], prompt, tokens=4)
    assert written == [replies(respondent, [one], prompt, tokens=4)[0] for one in (request, "Why?")]
    found = work.evaluate(respondent, [], prompt=prompt, writing=[Specimen(request, text)]).record
    assert found.fluency is not None and found.fluency.tuned is not None
    assert found.fluency.tuned.perplexity == pytest.approx(np.exp(loss / count), rel=1e-4)
    assert found.fluency.shown[0].request == request
