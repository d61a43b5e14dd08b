"""One table for this machine: what a candidate costs the usual ways, here, and at the least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch
import transformers

from acculturate.model.choice import ModelChoice
from acculturate.model.engine.forward import Answers, precision_name
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.interview import Interview
from acculturate.model.loading import resolve_device
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.performance.bench_methods import (
    ENGINE,
    FLOOR,
    FULL_HEAD,
    GENERATE,
    Method,
    Prompt,
    library_attention,
    methods_of,
)
from acculturate.performance.bench_plan import CLOCKS, BenchPlan
from acculturate.performance.bench_table import BenchRow, BenchTable
from acculturate.performance.machine import machine_name, peak_memory, resident_bytes, slow_precision, synchronize
from acculturate.performance.shapes import respondent_of_shape
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.questionnaire import questionnaire as lay_out


def run_bench(
    choice: ModelChoice, plan: BenchPlan | None = None, progress: Callable[[str], None] | None = None
) -> BenchTable:
    """Time every method; this takes minutes on a CPU. ``progress`` is called with a line for each step."""
    plan, say = plan or BenchPlan(), progress or (lambda _: None)
    left_out = {} if choice.dtype != "auto" else {d: slow_precision(d, choice.device) for d in plan.dtypes}
    timed = tuple(d for d in plan.dtypes if not left_out.get(d)) if choice.dtype == "auto" else (choice.dtype,)
    plan = replace(plan, dtypes=timed)
    questionnaire = lay_out(plan.instrument, plan.presentations)
    say("one question at a time in float32, as the reference")
    exact = _respondent(choice, plan, "float32")
    shape = (1, plan.n_tokens, exact.hidden)
    prompt = (np.random.default_rng(0).standard_normal(shape) * exact.unit).astype(np.float32)
    expected = {slot: _reference(exact, questionnaire, slot, plan, prompt) for slot in plan.slots}
    # A large model in float32 does not stay beside the others unless it is timed too.
    kept = {"float32": exact} if "float32" in plan.dtypes else {}
    del exact
    rows: list[BenchRow] = []
    notes = [
        f"Medians of {plan.repeats} interleaved rounds, {plan.clock} seconds; deviations over {plan.checked} "
        "questions per slot."
    ]
    notes += [f"{dtype} was left out. {why}" for dtype, why in left_out.items() if why]
    for dtype in plan.dtypes:
        respondent = kept.pop(dtype, None) or _respondent(choice, plan, dtype)
        methods, remarks = methods_of(respondent, questionnaire, plan, prompt)
        notes += [note for note in remarks if note not in notes]
        timed_rows = _timed(methods, plan, expected, say)
        for row in timed_rows:
            say(f"{row.method} {row.slot} {row.dtype}: {row.seconds:.3g} s per candidate")
        rows += timed_rows
        if plan.populations:
            notes.append(_populations(respondent, questionnaire, plan, say))
    threads = f"{torch.get_num_threads()} threads, " if resolve_device(choice.device) == "cpu" else ""
    shown = ", ".join(form.presentation for form in plan.presentations)
    settings = (
        f"{len(questionnaire.questions())} questions ({shown}, both orders), {plan.n_tokens} soft tokens, "
        f"{threads}torch {torch.__version__}, transformers {transformers.__version__}"
    )
    model = f"{plan.shape} shape, random weights" if plan.shape else choice.name
    return BenchTable(machine_name(resolve_device(choice.device)), model, settings, tuple(rows), tuple(notes))


def _populations(
    respondent: Respondent, questionnaire: Questionnaire, plan: BenchPlan, say: Callable[[str], None]
) -> str:
    """Time one candidate by the number handed over at once, and measure the process's memory at the largest."""
    clock, shape = CLOCKS[plan.clock], (plan.n_tokens, respondent.hidden)
    interview = Interview(respondent, questionnaire, slot=Slot.USER_END, n_tokens=plan.n_tokens)
    rng = np.random.default_rng(1)
    taken = {}
    for n in plan.populations:
        say(f"population of {n}")
        prompts = (rng.standard_normal((n, *shape)) * respondent.unit).astype(np.float32)
        synchronize()
        start = clock()
        interview(prompts)
        synchronize()
        taken[n] = (clock() - start) / n
    shown = ", ".join(f"{n}: {seconds:.3g}" for n, seconds in taken.items())
    dtype = precision_name(respondent.model)
    return f"{ENGINE} user_end {dtype}, s/cand by population: {shown}; process at {resident_bytes() / 2**20:,.0f} MiB."


def _respondent(choice: ModelChoice, plan: BenchPlan, dtype: str) -> Respondent:
    precise = replace(choice, dtype=dtype)
    return Respondent(precise) if plan.shape is None else respondent_of_shape(precise, plan.shape)


def _reference(
    respondent: Respondent, questionnaire: Questionnaire, slot: str, plan: BenchPlan, prompt: Prompt
) -> Answers:
    """Answer the checked questions one at a time with the library's own attention."""
    sequences, options = respondent.sequences(questionnaire, slot, Context()), respondent.option_tokens(questionnaire)
    which = plan.checked_questions(len(sequences))
    with library_attention(respondent.model):
        return PlainEngine(respondent.model, [sequences[i] for i in which], options[which])(prompt)


def _timed(
    methods: Sequence[Method], plan: BenchPlan, expected: dict[str, Answers], say: Callable[[str], None]
) -> list[BenchRow]:
    """Warm every method up while its memory is watched, then time them in turns."""
    clock = CLOCKS[plan.clock]
    memory: list[int] = []
    deviations: list[float | None] = []
    seconds: list[list[float]] = [[] for _ in methods]
    for method in methods:
        start = clock()
        with peak_memory() as grown:
            answers = method.call()
        synchronize()
        say(f"{method.name} {method.slot} {method.dtype}: first time {(clock() - start) * method.scale:.3g} s")
        memory.append(method.weights + grown[0])
        deviations.append(_deviation(answers, expected.get(method.slot), plan))
    for turn in range(plan.repeats):
        say(f"round {turn + 1} of {plan.repeats}, {methods[0].dtype}")
        for method, taken in zip(methods, seconds, strict=True):
            synchronize()
            start = clock()
            method.call()
            synchronize()
            taken.append((clock() - start) * method.scale)
    medians = [median(taken) for taken in seconds]
    full, sampled, floors = (
        next((s for m, s in zip(methods, medians, strict=True) if m.name == FULL_HEAD), None),
        next((s for m, s in zip(methods, medians, strict=True) if m.name == GENERATE), None),
        {m.slot: s for m, s in zip(methods, medians, strict=True) if m.name == FLOOR},
    )
    rows = []
    for method, took, used, deviation in zip(methods, medians, memory, deviations, strict=True):
        over = took / floors[method.slot] if method.name == ENGINE and method.slot in floors else None
        rows.append(
            BenchRow(
                method=method.name,
                slot=method.slot,
                dtype=method.dtype,
                seconds=took,
                tokens=method.tokens,
                against_full_head=full / took if full else None,
                against_generate=sampled / took if sampled else None,
                over_floor=over,
                memory=None if method.name == FLOOR else used,
                deviation=deviation,
            )
        )
    return rows


def _deviation(answers: Answers | None, expected: Answers | None, plan: BenchPlan) -> float | None:
    if answers is None or expected is None:
        return None
    which = plan.checked_questions(answers.logprobs.shape[1])
    there = np.isfinite(expected.logprobs)
    return float(np.abs(answers.logprobs[:, which] - expected.logprobs)[there].max())
