"""What prompts do to knowledge: several finished runs of one model on tasks, beside the model without a prompt.

All prompts are put to the questions together, so that what stands before their slot is computed once; answers are kept
(docs/method.md), so the script goes on where it was stopped. It prints a table for docs/validity.md.

    python benchmarks/knowledge.py runs/sau runs/usa --tasks mini,culturalbench-hard=CulturalBench-Hard.csv
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from acculturate.judge.evaluation_records import GroupFigures
from acculturate.judge.knowledge import measures
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.answers.tasks import answer, read_as
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, read_prompt
from acculturate.runs.evaluate import tasks_of
from acculturate.runs.finished import read_result
from acculturate.runs.spec import make_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--tasks", default="mini,general")
    parser.add_argument("--answers", default=AnswerKind.PROBABILITIES)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    results = [read_result(run, "") for run in given.runs]
    choices = {replace(make_spec(result.spec).choice, dtype=given.dtype) for result in results}
    if len(choices) > 1:
        parser.error("the runs have several models; name those of one")
    respondent = Respondent(choices.pop())
    tasks, _ = tasks_of(given.tasks.split(","), limit=given.limit)
    prompts: list[SoftPrompt | None] = [None, *map(read_prompt, given.runs)]
    print("| task, figure | prompt for | untuned | with the prompt | higher, lower | p | could have been seen |")
    print("|---|---|---|---|---|---|---|")
    for task in tasks:
        way = read_as(AnswerKind(given.answers), task.kind)
        untuned, *tuned = answer(respondent, task, way, prompts, watch=_watch)
        for result, one in zip(results, tuned, strict=True):
            for measure in measures(task, untuned.shares, one.shares):
                wanted = result.target.country
                groups = [group for group in measure.groups if group.group in ("", wanted)]
                for group in groups:
                    where = f", on {group.group}" if group.group else ""
                    print(f"| {task.title}, {measure.name} | {wanted}{where} | {_cells(group)} |", flush=True)


def _watch(doing: str, done: int, of: int) -> None:
    print(f"{doing}: {done} of {of}", flush=True) if done % 320 == 0 else None


def _cells(group: GroupFigures) -> str:
    def figure(value: float | None, interval: tuple[float, float] | None) -> str:
        if value is None:
            return "–"
        return f"{value:.1%}" + ("" if interval is None else f" [{interval[0]:.1%}, {interval[1]:.1%}]")

    visible = "–" if group.visible is None else f"{group.visible:.1%}"
    return " | ".join(
        [
            figure(group.untuned, group.untuned_interval),
            figure(group.tuned, group.tuned_interval),
            f"{group.higher}, {group.lower}",
            "–" if group.p is None else f"{group.p:.3f}",
            visible,
        ]
    )


if __name__ == "__main__":
    main()
