"""What prompts do to knowledge: several finished runs of one model on tasks, beside the model without a prompt.

All prompts are put to the questions together, so that what stands before their slot is computed once; answers are kept
(docs/method.md), so the script goes on where it was stopped. It prints a table for docs/validity.md.

    python benchmarks/knowledge.py runs/sau runs/usa --tasks mini,culturalbench-hard=CulturalBench-Hard.csv
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from acculturate.judge.evaluation_records import GroupFigures, Measure
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
                for group in (one for one in measure.groups if one.group in ("", wanted)):
                    where = f", on {group.group}" if group.group else ""
                    print(f"| {task.title}, {measure.title} | {wanted}{where} | {_cells(measure, group)} |", flush=True)


def _watch(doing: str, done: int, of: int) -> None:
    print(f"{doing}: {done} of {of}", flush=True) if done % 320 == 0 else None


def _cells(measure: Measure, group: GroupFigures) -> str:
    cells = [
        f"{measure.written(figure)} [{measure.between(interval)}]"
        for figure, interval in ((group.untuned, group.untuned_interval), (group.tuned, group.tuned_interval))
    ]
    p = "–" if group.p is None else f"{group.p:.3f}"
    return " | ".join([*cells, f"{group.higher}, {group.lower}", p, measure.written(group.visible)])


if __name__ == "__main__":
    main()
