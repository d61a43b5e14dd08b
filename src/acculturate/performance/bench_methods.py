"""Ways to compute one candidate that a benchmark compares: this engine, the usual ones, and the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from transformers import PreTrainedModel

from acculturate.model.engine import attention
from acculturate.model.engine.batches import padded
from acculturate.model.engine.forward import Answers, among_options, embed, head_of, precision_name
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.size import weight_bytes
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.performance.bench_plan import BenchPlan
from acculturate.survey.questionnaire import Questionnaire

Prompt = Float[np.ndarray, "1 tokens hidden"]
FULL_HEAD, GENERATE, ENGINE, FLOOR = "full-head forward", "PEFT generate", "acculturate", "floor"


@dataclass(frozen=True)
class Method:
    """Describe one way to compute a candidate.

    Parameters
    ----------
    tokens
        Tokens put through the model per candidate.
    call
        Does the work, and gives the answers where there are any.
    weights
        Memory of what is there beforehand, in bytes.
    scale
        How many calls are as much work as one candidate.
    """

    name: str
    slot: str
    dtype: str
    tokens: int
    call: Callable[[], Answers | None]
    weights: int
    scale: float = 1.0


@contextmanager
def library_attention(model: PreTrainedModel) -> Iterator[None]:
    """Use the library's attention instead of the packed one's within this context."""
    packed = attention.implementation_of(model)
    try:
        if packed not in ("eager", "sdpa"):
            model.set_attn_implementation("sdpa")
        yield
    finally:
        model.set_attn_implementation(packed)


def methods_of(
    respondent: Respondent, questionnaire: Questionnaire, plan: BenchPlan, prompt: Prompt
) -> tuple[list[Method], list[str]]:
    """List all methods for one model, and notes on those that were scaled or left out."""
    dtype = precision_name(respondent.model)
    weights = weight_bytes(respondent.model)
    notes: list[str] = []
    methods = [_full_head(respondent, questionnaire, prompt, dtype)]
    sampled = _generate(respondent, questionnaire, plan, dtype)
    if sampled is None:
        notes.append(f"{GENERATE} was left out: the package peft is not installed.")
    else:
        methods.append(sampled)
        notes.append(f"{GENERATE}: five seeds on {plan.generated} questions, scaled up to all.")
    for slot in plan.slots:
        interview = Interview(respondent, questionnaire, slot=slot, n_tokens=plan.n_tokens)
        tokens = interview.plan.tokens_per_candidate
        engine = interview.engine
        held = engine.held_bytes if isinstance(engine, PackedEngine) else 0
        methods.append(Method(ENGINE, slot, dtype, tokens, lambda e=engine: e(prompt), weights + held))
        floor = _floor(respondent.model, tokens)
        if floor is not None:
            methods.append(Method(FLOOR, slot, dtype, tokens, floor, weights))
    return methods, notes


def _full_head(respondent: Respondent, questionnaire: Questionnaire, prompt: Prompt, dtype: str) -> Method:
    """Put all items of a format as one padded batch behind the soft prompt; logits at every position."""
    model, options = respondent.model, respondent.option_tokens(questionnaire)
    sequences = respondent.sequences(questionnaire, Slot.BEFORE_BOS, Context())
    items = len(questionnaire.instrument.items)
    batches = [slice(start, start + items) for start in range(0, len(sequences), items)]

    @torch.inference_mode()
    def call() -> Answers:
        soft = torch.as_tensor(prompt[0], dtype=model.dtype, device=model.device)
        logprobs, log_mass = [], []
        with library_attention(model):
            for batch in batches:
                texts = [torch.cat([soft, embed(model, sequence.suffix)]) for sequence in sequences[batch]]
                embeds, mask = padded(texts)
                logits = model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).logits
                last = logits[torch.arange(len(texts)), torch.tensor([len(text) for text in texts]) - 1].float()
                among, total = among_options(last, torch.as_tensor(options[batch], device=last.device))
                logprobs.append(among.cpu().numpy())
                log_mass.append((total - last.logsumexp(-1)).cpu().numpy())
        return Answers(np.concatenate(logprobs)[None].astype(float), np.concatenate(log_mass)[None].astype(float))

    tokens = sum(len(sequences[b]) * (prompt.shape[1] + max(len(s.suffix) for s in sequences[b])) for b in batches)
    return Method(FULL_HEAD, Slot.BEFORE_BOS, dtype, tokens, call, weight_bytes(respondent.model))


def _generate(respondent: Respondent, questionnaire: Questionnaire, plan: BenchPlan, dtype: str) -> Method | None:
    """Generate with a prompt-tuning adapter, one question at a time, sampled with five seeds and decoded.

    None where the package peft is not installed.
    """
    try:
        from peft import PromptTuningConfig, TaskType, get_peft_model
    except ImportError:
        return None
    questions = [s.suffix for s in respondent.sequences(questionnaire, Slot.BEFORE_BOS, Context())]
    some = [questions[i] for i in np.linspace(0, len(questions) - 1, plan.generated).astype(int)]
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=plan.n_tokens)
    model, end = respondent.model, respondent.tokenizer.eos_token_id
    seeds, new = 5, 4

    def call() -> None:
        # Made and taken apart in here: the adapter's own parameters are no part of the other methods' model.
        tuned = get_peft_model(model, config).eval()
        with torch.inference_mode(), library_attention(model):
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
        if hasattr(tuned, "unload"):
            tuned.unload()

    tokens = seeds * (sum(map(len, questions)) + len(questions) * (plan.n_tokens + new))
    scale = len(questions) / len(some)
    return Method(GENERATE, Slot.BEFORE_BOS, dtype, tokens, call, weight_bytes(respondent.model), scale)


def _floor(model: PreTrainedModel, tokens: int) -> Callable[[], None] | None:
    """Multiply ``tokens`` tokens with the model's own weights, and do nothing else.

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
