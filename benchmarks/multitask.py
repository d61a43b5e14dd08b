"""One search for several countries against one search for each, at the same total budget.

The paper's protocol on the embedded model by default, final losses in points as means over seeds: on the format that
was trained on and on held-out ones. Both kinds of search run as the product runs them, with prompts of the same size;
a separate search gets its share of the budget. Nothing is written but the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acculturate.files.run_directory import RunDirectory
from acculturate.model.interview import Interview
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.runs import align as alignment
from acculturate.runs import multitask
from acculturate.runs.multitask import MultitaskSpec, multitask_spec, prepare_all
from acculturate.runs.resolve import Prepared
from acculturate.search.loop import Progress

ROLES = ("train", "heldout")
Losses = dict[str, dict[str, float]]


def together(spec: MultitaskSpec, tasks: Mapping[str, Prepared], respondent: Respondent) -> dict[str, SoftPrompt]:
    """The prompts that one joint search finds."""
    ready = multitask.Ready(spec, tasks, respondent)
    return ready.prompts(_run(ready, spec.settings.seed))


def apart(tasks: Mapping[str, Prepared], respondent: Respondent) -> dict[str, SoftPrompt]:
    """The prompts that a search for each country finds, each with its share of the budget."""
    found = {}
    for code, task in tasks.items():
        ready = alignment.Ready(task, respondent)
        found[code] = ready.prompt(_run(ready, task.spec.seed))
    return found


def _run(ready: alignment.Ready | multitask.Ready, seed: int) -> Progress:
    with tempfile.TemporaryDirectory() as folder:
        return ready.loop.run(ready.start, seed, RunDirectory(Path(folder)))


def losses(tasks: Mapping[str, Prepared], prompts: Mapping[str, SoftPrompt] | None, respondent: Respondent) -> Losses:
    """Loss by country and role; without prompts that of the untuned model."""
    found: Losses = {}
    for code, task in tasks.items():
        problem = task.problem
        asked = problem.everything
        if prompts is None:
            response = Interview(respondent, asked).ask()
        else:
            response = problem.interview(respondent, asked)(prompts[code].vectors[None])[0]
        survey = problem.survey(asked)
        each = survey.losses(survey.scores(response.logprobs))
        found[code] = {role: float(each[[r == role for r in problem.roles]].mean()) for role in ROLES}
    return found


def table(settings: argparse.Namespace) -> None:
    countries = settings.countries.split(",")
    base = {"model": settings.model, "country": countries, "targets": settings.targets, "protocol": settings.protocol}
    base |= {"budget": settings.budget, "optimizer": settings.optimizer, "dtype": "float32"}
    respondent = Respondent(multitask_spec(base).settings.choice)
    say(f"{settings.model}, {settings.protocol} protocol, {settings.budget} evaluations in all, {settings.seeds} seeds")
    say("trained / held out, points; mean over seeds, and the lowest and highest mean over countries\n")
    say(f"{'search':22s}" + "".join(f"{code:>16s}" for code in (*countries, "mean")) + f"{'range':>27s}{'s':>6s}")
    tasks = prepare_all(multitask_spec(base))
    line("untuned", [losses(tasks, None, respondent)], 0.0)
    sizes = [tuple(map(int, size.split("+"))) for size in settings.sizes.split(",")]
    for shared, own in sizes:
        runs = [
            multitask_spec({**base, "shared_tokens": shared, "tokens": own, "seed": seed})
            for seed in range(settings.seeds)
        ]
        begun, found = time.perf_counter(), []
        for run in runs:
            tasks = prepare_all(run)
            found.append(losses(tasks, together(run, tasks, respondent), respondent))
            print(f"{shared} + {own}, seed {run.settings.seed}: {found[-1]}", file=sys.stderr, flush=True)
        line(f"together, {shared} + {own} tokens", found, time.perf_counter() - begun)
    for tokens in sorted({shared + own for shared, own in sizes}):
        begun, found = time.perf_counter(), []
        for seed in range(settings.seeds):
            tasks = prepare_all(multitask_spec({**base, "shared_tokens": 0, "tokens": tokens, "seed": seed}))
            found.append(losses(tasks, apart(tasks, respondent), respondent))
            print(f"apart, seed {seed}: {found[-1]}", file=sys.stderr, flush=True)
        line(f"apart, {tokens} tokens", found, time.perf_counter() - begun)


def line(name: str, found: list[Losses], seconds: float) -> None:
    def cell(pick: list[Mapping[str, float]]) -> str:
        return " / ".join(f"{np.mean([one[role] for one in pick]):.1f}" for role in ROLES)

    def extent(role: str) -> str:
        means = [np.mean([one[role] for one in run.values()]) for run in found]
        return f"{min(means):.1f}-{max(means):.1f}"

    cells = [cell([run[code] for run in found]) for code in found[0]]
    cells.append(cell([one for run in found for one in run.values()]))
    say(f"{name:22s}" + "".join(f"{c:>16s}" for c in cells) + f"{' / '.join(map(extent, ROLES)):>27s}{seconds:6.0f}")


def say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--countries", default="USA,CHN,IND", help="codes, comma-separated")
    parser.add_argument("--targets", default="hofstede-2015")
    parser.add_argument("--protocol", default="paper")
    parser.add_argument("--optimizer", default="auto")
    parser.add_argument("--sizes", default="2+1", help="shared + own tokens, comma-separated; 0+3 shares nothing")
    parser.add_argument("--budget", type=int, default=1800, help="evaluations of one country's questionnaire, in all")
    parser.add_argument("--seeds", type=int, default=5)
    table(parser.parse_args())


if __name__ == "__main__":
    main()
