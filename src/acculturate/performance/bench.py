"""One table for this machine: what a candidate costs the usual ways, here, and at the least."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from statistics import median

import numpy as np
import torch
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from acculturate.errors import UserError
from acculturate.legible import shown
from acculturate.model.engine.forward import Answers, among_options, embed, head_of, precision_name
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.engine.size import weight_bytes
from acculturate.model.interview import Interview
from acculturate.model.loading import DTYPES, Loaded, ModelChoice, load_model, resolve_device
from acculturate.model.respondent import Context, Respondent
from acculturate.performance.machine import machine_name, peak_memory, resident_bytes, slow_precision, synchronize
from acculturate.survey.formats import Format, Questionnaire, questionnaire
from acculturate.survey.instruments import Instrument, load_instrument

# Shapes of well-known models, to be timed with random weights where the weights themselves are not at hand.
SHAPES: dict[str, dict[str, int]] = {
    "llama-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "vocab_size": 1024,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
    },
}
Prompt = Float[np.ndarray, "1 tokens hidden"]
FULL_HEAD, GENERATE, ENGINE, FLOOR = "full-head forward", "PEFT generate", "acculturate", "floor"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class BenchPlan:
    """What is timed.

    ``repeats``: rounds through all methods of one precision; medians are reported. ``checked``: questions per
    slot whose log-probabilities are compared with one at a time. ``generated``: questions that the sampled
    loop answers, scaled up to all. ``clock``: ``wall``, or ``cpu`` for processor seconds, which on a CPU that
    others use too are the ones to compare (with one thread; waiting threads spend processor time as well).
    ``populations``: numbers of candidates handed over at once, timed in the slot ``user_end``.
    ``shape``: a key of SHAPES to be filled with random weights instead of loading the model's.
    """

    n_tokens: int = 8
    slots: tuple[str, ...] = ("before_bos", "user_end", "response_start")
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    repeats: int = 3
    checked: int = 8
    generated: int = 2
    clock: str = "wall"
    populations: tuple[int, ...] = ()
    shape: str | None = None
    presentations: tuple[Format, ...] = (Format(),)
    instrument: Instrument = field(default_factory=lambda: load_instrument("vsm2013"))


@dataclass(frozen=True)
class BenchRow:
    """One method. ``against_*``: candidates per second as a multiple of that method's in the same precision.

    ``over_floor``: seconds over the floor's for the same tokens. ``memory``: bytes, the weights and what
    running it added. ``deviation``: largest difference in an option's log-probability from one question at a
    time in float32. None: does not apply.
    """

    method: str
    slot: str
    dtype: str
    seconds: float
    tokens: int
    against_full_head: float | None = None
    against_generate: float | None = None
    over_floor: float | None = None
    memory: int | None = None
    deviation: float | None = None

    @property
    def candidates_per_second(self) -> float:
        return 1.0 / self.seconds


@dataclass(frozen=True)
class BenchTable:
    """All rows of one run on one machine; ``notes`` say what was scaled, sampled or left out."""

    machine: str
    model: str
    settings: str
    rows: tuple[BenchRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values by name."""
        rows = [asdict(row) | {"candidates_per_second": row.candidates_per_second} for row in self.rows]
        return {
            "machine": self.machine,
            "model": self.model,
            "settings": self.settings,
            "rows": rows,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Method:
    """One way to compute a candidate. ``scale``: how many calls are as much work as one candidate."""

    name: str
    slot: str
    dtype: str
    tokens: int
    call: Callable[[], Answers | None]
    weights: int
    scale: float = 1.0


def run_bench(
    choice: ModelChoice, plan: BenchPlan | None = None, progress: Callable[[str], None] | None = None
) -> BenchTable:
    """Time every method, for minutes on a CPU. ``UserError`` for an unknown shape, clock or precision."""
    plan, say = plan or BenchPlan(), progress or (lambda _: None)
    _check(plan)
    left_out = {} if choice.dtype != "auto" else {d: slow_precision(d, choice.device) for d in plan.dtypes}
    timed = tuple(d for d in plan.dtypes if not left_out.get(d)) if choice.dtype == "auto" else (choice.dtype,)
    plan = replace(plan, dtypes=timed)
    asked = questionnaire(plan.instrument, plan.presentations)
    say("one question at a time in float32, as the reference")
    exact = _respondent(choice, plan, "float32")
    shape = (1, plan.n_tokens, exact.hidden)
    drawn = (np.random.default_rng(0).standard_normal(shape) * exact.unit).astype(np.float32)
    expected = {slot: _reference(exact, asked, slot, plan, drawn) for slot in plan.slots}
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
        methods, said = _methods(respondent, asked, plan, drawn)
        notes += [note for note in said if note not in notes]
        found = _timed(methods, plan, expected, say)
        for row in found:
            say(f"{row.method} {row.slot} {row.dtype}: {row.seconds:.3g} s per candidate")
        rows += found
        if plan.populations:
            notes.append(_populations(respondent, asked, plan, say))
    threads = f"{torch.get_num_threads()} threads, " if resolve_device(choice.device) == "cpu" else ""
    shown = ", ".join(form.presentation for form in plan.presentations)
    settings = (
        f"{len(asked.questions())} questions ({shown}, both orders), {plan.n_tokens} soft tokens, "
        f"{threads}torch {torch.__version__}, transformers {transformers.__version__}"
    )
    model = f"{plan.shape} shape, random weights" if plan.shape else choice.name
    return BenchTable(machine_name(resolve_device(choice.device)), model, settings, tuple(rows), tuple(notes))


def _populations(respondent: Respondent, asked: Questionnaire, plan: BenchPlan, say: Callable[[str], None]) -> str:
    """Seconds per candidate by the number handed over at once, and the process's memory at the largest."""
    clock, shape = CLOCKS[plan.clock], (plan.n_tokens, respondent.hidden)
    interview = Interview(respondent, asked, slot="user_end", n_tokens=plan.n_tokens)
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


def _check(plan: BenchPlan) -> None:
    if plan.shape is not None and plan.shape not in SHAPES:
        raise UserError(f"Shape {shown(plan.shape)} is unknown; expected one of {', '.join(SHAPES)}.")
    if plan.clock not in CLOCKS:
        raise UserError(f"Clock {shown(plan.clock)} is unknown; expected one of {', '.join(CLOCKS)}.")
    if min(plan.populations, default=1) < 1:
        raise UserError(f"A population of {min(plan.populations)} has no candidate; expected whole numbers from 1.")
    for dtype in plan.dtypes:
        if dtype not in DTYPES:
            raise UserError(f"Precision {shown(dtype)} is unknown; expected one of {', '.join(DTYPES)}.")


def _respondent(choice: ModelChoice, plan: BenchPlan, dtype: str) -> Respondent:
    chosen = replace(choice, dtype=dtype)
    if plan.shape is None:
        return Respondent(chosen)
    loaded = load_model(replace(chosen, dtype="float32", device="cpu"))  # for its tokenizer
    size = dict(SHAPES[plan.shape])
    size["vocab_size"] = max(size["vocab_size"], len(loaded.tokenizer))
    # The same float32 numbers for every precision, so that deviations mean something.
    torch.manual_seed(0)
    with torch.device(resolve_device(choice.device)):
        model = AutoModelForCausalLM.from_config(LlamaConfig.from_dict(size), dtype=torch.float32)
    model = model.to(DTYPES[dtype]).requires_grad_(False).eval()
    return Respondent(chosen, Loaded(model, loaded.tokenizer, {"model": f"{plan.shape} (random weights)"}))


def _reference(respondent: Respondent, asked: Questionnaire, slot: str, plan: BenchPlan, prompt: Prompt) -> Answers:
    """The checked questions one at a time with the library's own attention."""
    sequences, options = respondent.sequences(asked, slot, Context()), respondent.option_tokens(asked)
    which = _checked(len(sequences), plan)
    with _own_attention(respondent.model):
        return PlainEngine(respondent.model, [sequences[i] for i in which], options[which])(prompt)


def _checked(count: int, plan: BenchPlan) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(plan.checked, count)).astype(int)).tolist()


@contextmanager
def _own_attention(model: PreTrainedModel) -> Iterator[None]:
    """The library's attention instead of the packed one's."""
    packed = str(model.config._attn_implementation)
    try:
        if packed not in ("eager", "sdpa"):
            model.set_attn_implementation("sdpa")
        yield
    finally:
        model.set_attn_implementation(packed)


def _methods(
    respondent: Respondent, asked: Questionnaire, plan: BenchPlan, prompt: Prompt
) -> tuple[list[_Method], list[str]]:
    dtype = precision_name(respondent.model)
    weights = weight_bytes(respondent.model)
    notes: list[str] = []
    methods = [_full_head(respondent, asked, prompt, dtype)]
    sampled = _generate(respondent, asked, plan, dtype)
    if sampled is None:
        notes.append(f"{GENERATE} was left out: the package peft is not installed.")
    else:
        methods.append(sampled)
        notes.append(f"{GENERATE}: five seeds on {plan.generated} questions, scaled up to all.")
    for slot in plan.slots:
        interview = Interview(respondent, asked, slot=slot, n_tokens=plan.n_tokens)
        tokens = interview.plan.tokens_per_candidate
        engine = interview.engine
        held = engine.held_bytes if isinstance(engine, PackedEngine) else 0
        methods.append(_Method(ENGINE, slot, dtype, tokens, lambda e=engine: e(prompt), weights + held))
        floor = _floor(respondent.model, tokens)
        if floor is not None:
            methods.append(_Method(FLOOR, slot, dtype, tokens, floor, weights))
    return methods, notes


def _full_head(respondent: Respondent, asked: Questionnaire, prompt: Prompt, dtype: str) -> _Method:
    """All items of a format as one padded batch behind the soft prompt; logits at every position."""
    model, options = respondent.model, respondent.option_tokens(asked)
    sequences = respondent.sequences(asked, "before_bos", Context())
    items = len(asked.instrument.items)
    batches = [slice(start, start + items) for start in range(0, len(sequences), items)]

    @torch.inference_mode()
    def call() -> Answers:
        soft = torch.as_tensor(prompt[0], dtype=model.dtype, device=model.device)
        found, mass = [], []
        with _own_attention(model):
            for batch in batches:
                chosen = sequences[batch]
                lengths = torch.tensor([len(s.suffix) + len(soft) for s in chosen])
                embeds, mask = _batch(model, soft, [s.suffix for s in chosen], lengths)
                logits = model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits
                last = logits[torch.arange(len(chosen)), lengths - 1].float()
                logprobs, among = among_options(last, torch.as_tensor(options[batch], device=last.device))
                found.append(logprobs.cpu().numpy())
                mass.append((among - last.logsumexp(-1)).exp().cpu().numpy())
        return Answers(np.concatenate(found)[None].astype(float), np.concatenate(mass)[None].astype(float))

    tokens = sum(len(sequences[b]) * (prompt.shape[1] + max(len(s.suffix) for s in sequences[b])) for b in batches)
    return _Method(FULL_HEAD, "before_bos", dtype, tokens, call, weight_bytes(respondent.model))


def _batch(model: PreTrainedModel, soft: Tensor, texts: Sequence[Sequence[int]], lengths: Tensor):
    embeds = torch.zeros(len(texts), int(lengths.max()), soft.shape[1], dtype=soft.dtype, device=soft.device)
    mask = torch.zeros(embeds.shape[:2], dtype=torch.long, device=soft.device)
    for row, text in enumerate(texts):
        embeds[row, : lengths[row]] = torch.cat([soft, embed(model, text)])
        mask[row, : lengths[row]] = 1
    return embeds, mask


def _generate(respondent: Respondent, asked: Questionnaire, plan: BenchPlan, dtype: str) -> _Method | None:
    """A prompt-tuning adapter, one question at a time, sampled with five seeds and read from the text."""
    try:
        from peft import PromptTuningConfig, TaskType, get_peft_model
    except ImportError:
        return None
    questions = [s.suffix for s in respondent.sequences(asked, "before_bos", Context())]
    some = [questions[i] for i in np.linspace(0, len(questions) - 1, plan.generated).astype(int)]
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=plan.n_tokens)
    model, end = respondent.model, respondent.tokenizer.eos_token_id
    seeds, new = 5, 4

    def call() -> None:
        # Made and taken apart in here: the adapter's own parameters are no part of the other methods' model.
        tuned = get_peft_model(model, config).eval()
        with torch.inference_mode(), _own_attention(model):
            for text in some:
                ids = torch.tensor([list(text)], device=model.device)
                for seed in range(seeds):
                    torch.manual_seed(seed)
                    made = tuned.generate(
                        input_ids=ids,
                        attention_mask=torch.ones_like(ids),
                        do_sample=True,
                        temperature=0.7,
                        top_p=0.8,
                        max_new_tokens=new,
                        pad_token_id=end,
                    )
                    respondent.tokenizer.decode(made[0, ids.shape[1] :])
        tuned.unload() if hasattr(tuned, "unload") else None

    tokens = seeds * (sum(map(len, questions)) + len(questions) * (plan.n_tokens + new))
    scale = len(questions) / len(some)
    return _Method(GENERATE, "before_bos", dtype, tokens, call, weight_bytes(respondent.model), scale)


def _floor(model: PreTrainedModel, tokens: int) -> Callable[[], None] | None:
    """The products of ``tokens`` tokens with the model's own weights, and nothing else.

    Every layer's weights take part, so that they come from memory as they do in the model. None where the
    weights are not plain linear layers (4-bit, GPT-2).
    """
    head = head_of(model)
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    if not layers or any(not m.weight.is_floating_point() for m in layers):
        return None
    inputs = {m.in_features: None for m in layers}

    @torch.inference_mode()
    def call() -> None:
        states = {n: torch.randn(tokens, n, dtype=model.dtype, device=model.device) for n in inputs}
        for layer in layers:
            torch.nn.functional.linear(states[layer.in_features], layer.weight)

    return call


def _timed(
    methods: Sequence[_Method], plan: BenchPlan, expected: dict[str, Answers], say: Callable[[str], None]
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
    which = _checked(answers.logprobs.shape[1], plan)
    there = np.isfinite(expected.logprobs)
    return float(np.abs(answers.logprobs[:, which] - expected.logprobs)[there].max())


def format_table(table: BenchTable) -> str:
    """The table as Markdown that a terminal shows aligned too."""
    header = ("method", "slot", "dtype", "cand/s", "s/cand", "x full head", "x generate")
    header += ("tokens", "memory MiB", "/ floor", "max dev")
    lines: list[tuple[str, ...]] = [header]
    for row in table.rows:
        lines.append(
            (
                row.method,
                row.slot,
                row.dtype,
                f"{row.candidates_per_second:.3g}",
                f"{row.seconds:.3g}",
                _number(row.against_full_head, ".2f"),
                _number(row.against_generate, ".1f"),
                f"{row.tokens:,}",
                _number(None if row.memory is None else row.memory / 2**20, ",.0f"),
                _number(row.over_floor, ".2f"),
                _number(row.deviation, ".1e"),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    left = 3  # columns of words; the others are numbers

    def shown(line: Sequence[str]) -> str:
        cells = [c.ljust(w) for c, w in zip(line[:left], widths[:left], strict=True)]
        cells += [c.rjust(w) for c, w in zip(line[left:], widths[left:], strict=True)]
        return "| " + " | ".join(cells) + " |"

    words = "|".join("-" * (w + 2) for w in widths[:left])
    rule = f"|{words}|" + "|".join("-" * (w + 1) + ":" for w in widths[left:]) + "|"
    text = [f"{table.model} on {table.machine}", table.settings, "", shown(lines[0]), rule]
    return "\n".join([*text, *(shown(line) for line in lines[1:]), "", *table.notes])


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
