"""What counts as repetition, refusal or another script, and the sentences on an evaluation."""

from __future__ import annotations

import pytest

from acculturate.judge import fluency
from acculturate.judge.evaluation_records import (
    Evaluation,
    Fluency,
    FluencyFigures,
    GroupFigures,
    Measure,
    PromptShown,
    TaskRecord,
)
from acculturate.judge.evaluation_words import evaluation_sentences
from acculturate.judge.records import ModelIdentity


def test_repetition_is_the_share_of_runs_of_words_that_came_before():
    assert fluency.repetition("one two three four five six") == 0
    assert fluency.repetition("the sea the sea the sea the sea the sea") == pytest.approx(0.75)
    assert fluency.repetition("") == fluency.repetition("two words") == 0


def test_other_letters_are_counted_among_letters_only():
    assert fluency.foreign_letters("Café, 12 naïve!") == 0
    assert fluency.foreign_letters("мир") == 1 and fluency.foreign_letters("ab мк") == 0.5
    assert fluency.foreign_letters("12 !?") == 0


@pytest.mark.parametrize(
    "text, refuses",
    [
        ("I'm sorry, but I can't help with that.", True),
        ("As an AI language model, I do not eat.", True),
        ("I cannot provide directions.", True),
        ("I\u2019m sorry, but I can\u2019t do that.", True),
        ("Unfortunately, I cannot.", True),
        ("Dear Anna, I'm sorry for being late.", False),
        ("I am sorry to hear that the bread did not rise.", False),
        ("You can provide a note, and I can help.", False),
        ("The knot will not open by itself.", False),
    ],
)
def test_refusals_are_told_by_their_words(text, refuses):
    assert fluency.refuses(text) is refuses


def _evaluation(*tasks: TaskRecord, writing: Fluency | None = None, tuned: bool = True) -> Evaluation:
    prompt = PromptShown(source="run", tokens=2, slot="response_start", checksum="0") if tuned else None
    return Evaluation(
        version="0",
        model=ModelIdentity({"model": "m"}),
        precision="float32",
        prompt=prompt,
        tasks=tasks,
        fluency=writing,
    )


def _task(kind: str, *measures: Measure) -> TaskRecord:
    return TaskRecord(name="t", title="Task", kind=kind, answers="cloze", questions=40, measures=measures)


def _group(**figures) -> GroupFigures:
    return GroupFigures(**{"questions": 40, "untuned": 0.5, "tuned": 0.3, "higher": 2, "lower": 10, **figures})


def test_a_change_within_chance_says_what_could_not_be_seen():
    unsure = Measure(id="accuracy", name="right answers", groups=(_group(p=0.2, visible=0.15),))
    sure = Measure(id="probability", name="probability of the right answer", groups=(_group(p=0.001, visible=0.1),))
    first, second = evaluation_sentences(_evaluation(_task("choice", unsure, sure)))
    assert "50.0 % untuned, 30.0 % with the prompt (2 up and 10 down of 40; within chance, p = 0.200)" in first
    assert first.endswith(
        "; the test finds a difference of 15.0 points in four of five cases, smaller ones less often."
    )
    assert second.startswith("Task, probability") and "more than chance, p = 0.001" in second
    (none,) = evaluation_sentences(_evaluation(_task("choice", Measure(id="a", name="a", groups=(_group(p=0.0),)))))
    assert "more than chance, p < 0.001" in none
    assert evaluation_sentences(_evaluation(_task("choice", unsure), tuned=False)) == []


def test_advice_is_compared_with_the_survey_dimension_by_dimension():
    groups = (_group(), _group(group="pdi", untuned=0.4, tuned=0.6, p=0.01), _group(group="idv", p=0.5))
    found = _evaluation(_task("courses", Measure(id="high", name="high", better="", groups=groups)))
    said = " ".join(evaluation_sentences(found, {"pdi": 30.0, "idv": 12.0}))
    assert "PDI +20.0, IDV -20.0" in said
    assert "in 1 of 2 dimensions (a coin would give 1); in 1 of them by more than chance" in said


def test_worse_writing_is_said():
    before = FluencyFigures(perplexity=10, empty=0, repeating=0, refusing=0.1, foreign=0)
    after = FluencyFigures(perplexity=20, empty=0.25, repeating=0, refusing=0, foreign=0)
    writing = Fluency(requests=24, untuned=before, tuned=after, same=0.5)
    said = " ".join(evaluation_sentences(_evaluation(writing=writing)))
    assert "10.0 untuned, 20.0 with the prompt; 50 % of 24 short replies stay the same" in said
    assert "writes noticeably worse" in said and "25 % of its replies are empty, untuned 0 %" in said
    assert "refuse" not in said
