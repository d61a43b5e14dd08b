"""What a search will cost, before it starts: tokens, operations, memory and seconds per candidate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import numpy as np

from acculturate.model.engine.forward import head_of
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.size import attention_width, weight_bytes, weights_in_layers
from acculturate.model.interview import Interview
from acculturate.performance.machine import synchronize


@dataclass(frozen=True)
class CostEstimate:
    """Hold the cost of one search; per candidate where nothing else is said.

    ``tokens``: tokens computed, padding included. ``static_tokens``: tokens computed once per run.
    ``naive_tokens``: what one question at a time would compute. ``operations``: floating-point operations (a
    product and a sum are two) of weights, attention and the head at the answers. ``weights_bytes`` and
    ``working_bytes``: the model, and what comes on top while candidates are computed. ``seconds``: measured
    here, None where it was not.
    """

    tokens: int
    static_tokens: int
    naive_tokens: int
    operations: float
    weights_bytes: int
    working_bytes: int
    population: int
    budget: int
    seconds: float | None

    @property
    def memory_bytes(self) -> int:
        """Add up weights and working memory."""
        return self.weights_bytes + self.working_bytes

    @property
    def seconds_per_generation(self) -> float | None:
        """Estimate one generation; None where nothing was measured."""
        return None if self.seconds is None else self.seconds * self.population

    @property
    def seconds_in_total(self) -> float | None:
        """Estimate the whole budget; None where nothing was measured."""
        return None if self.seconds is None else self.seconds * self.budget

    def with_budget(self, budget: int, population: int) -> CostEstimate:
        """Return the cost of a search with the same candidates and another budget."""
        return replace(self, budget=budget, population=population)

    def text(self) -> str:
        """Write a few lines for a terminal."""
        lines = [
            f"Tokens per candidate   {self.tokens:,} (one question at a time: {self.naive_tokens:,}; "
            f"once per run: {self.static_tokens:,})",
            f"Operations             {self.operations / 1e9:,.1f} billion per candidate",
            f"Memory                 about {self.memory_bytes / 2**30:.2f} GiB "
            f"(weights {self.weights_bytes / 2**30:.2f} GiB)",
        ]
        if self.seconds is not None:
            lines += [
                f"Seconds                {self.seconds:.3g} per candidate (measured here), "
                f"{self.seconds * self.population:.3g} per generation of {self.population}",
                f"Search                 {readable_time(self.seconds * self.budget)} for {self.budget:,} candidates; "
                "audit, baselines and random prompts come on top",
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, float | int | None]:
        """Collect every number by its name."""
        return asdict(self) | {
            "memory_bytes": self.memory_bytes,
            "seconds_per_generation": self.seconds_per_generation,
            "seconds_in_total": self.seconds_in_total,
        }


def estimate(
    interviews: Sequence[Interview], *, budget: int, population: int = 1, measured: bool = True
) -> CostEstimate:
    """Estimate the cost of ``budget`` candidates, ``population`` per generation, put through all ``interviews``.

    ``measured`` computes two passes through every interview, one to warm up and one to time.
    """
    respondent = interviews[0].respondent
    head = head_of(respondent.model).weight.numel()
    layers, width = weights_in_layers(respondent.model), attention_width(respondent.model)
    tokens = static = naive = working = 0
    operations = 0.0
    for interview in interviews:
        plan, alone = interview.plan, sum(interview.lengths)
        packed = isinstance(interview.engine, PackedEngine)
        computed = plan.tokens_per_candidate if packed else alone
        pairs = plan.attention_pairs if packed else sum(n * n for n in interview.lengths)
        tokens, naive = tokens + computed, naive + alone
        static += plan.static_tokens if packed else 0
        operations += 2.0 * layers * computed + 4.0 * width * pairs + 2.0 * head * plan.n_sequences
        working += interview.engine.held_bytes if isinstance(interview.engine, PackedEngine) else 0
    working += max(_activations(interview) for interview in interviews)
    return CostEstimate(
        tokens=tokens,
        static_tokens=static,
        naive_tokens=naive,
        operations=operations,
        weights_bytes=weight_bytes(respondent.model),
        working_bytes=working,
        population=population,
        budget=budget,
        seconds=sum(_seconds(interview) for interview in interviews) if measured else None,
    )


def _activations(interview: Interview) -> int:
    """Estimate the most that one forward pass holds: a layer's inner states, and the logits at the answers."""
    config = interview.respondent.model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * interview.respondent.hidden
    size = interview.respondent.model.dtype.itemsize
    if isinstance(interview.engine, PackedEngine):
        tokens = max(len(rows) * max(len(r.dynamic) for r in rows) for rows in interview.plan.passes)
        answers = max(sum(len(r.answers) for r in rows) for rows in interview.plan.passes)
        tokens, answers = tokens * interview.rows, answers * interview.rows
    else:
        tokens, answers = 8 * max(interview.lengths), 8
    states = tokens * (8 * interview.respondent.hidden + 3 * inner) * size
    # In float32 twice: the logits, and their exponentials in the sum over the vocabulary.
    return states + answers * head_of(interview.respondent.model).weight.shape[0] * 8


def _seconds(interview: Interview, repeats: int = 1) -> float:
    """Time one candidate after one to warm up; the median, in seconds."""
    shape = (interview.rows, interview.n_tokens, interview.respondent.hidden)
    prompts = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * interview.respondent.unit
    interview(prompts)
    taken = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        interview(prompts)
        synchronize()
        taken.append((time.perf_counter() - start) / len(prompts))
    return median(taken)


def readable_time(seconds: float) -> str:
    """Write a duration: ``42 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
