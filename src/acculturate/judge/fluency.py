"""Whether a model still writes as before with a soft prompt: perplexity, repetition, refusals, script."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence

from acculturate.judge.evaluation_records import Fluency, FluencyFigures, Reply
from acculturate.knowledge.specimens import Specimen
from acculturate.model.fluency import replies, reply_loss
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt

SHOWN = 3
"""Requests whose replies are shown side by side."""
REPEATS = 0.5
"""Share of a reply's runs of three words that stood in it before, from which it counts as repeating itself."""

_REFUSAL = re.compile(
    r"\b((sorry|unfortunately),? (but )?i (can('t|not)|am (unable|not able)|won't)|"
    r"i('m| am) (unable|not able) to (help|assist|do|provide|answer|fulfil)|"
    r"i (can('t|not)|won't) (help|assist|do|provide|answer|fulfil)|as an? (ai|artificial|language model)|"
    r"i (don't|do not) have (the ability|access))",
    re.IGNORECASE,
)


def fluency(
    respondent: Respondent,
    specimens: Sequence[Specimen],
    prompt: SoftPrompt | None = None,
    *,
    watch: Callable[[str, int, int], None] = lambda *_: None,
) -> Fluency:
    """Weigh given replies and have the model reply itself, without a soft prompt and with one."""
    before, ours = _figures(respondent, specimens, None, watch)
    if prompt is None:
        return Fluency(requests=len(specimens), untuned=before)
    after, theirs = _figures(respondent, specimens, prompt, watch)
    shown = tuple(
        Reply(request=one.request, untuned=a, tuned=b)
        for one, a, b in zip(specimens[:SHOWN], ours, theirs, strict=False)
    )
    same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(specimens)
    return Fluency(requests=len(specimens), untuned=before, tuned=after, same=same, shown=shown)


def _figures(
    respondent: Respondent,
    specimens: Sequence[Specimen],
    prompt: SoftPrompt | None,
    watch: Callable[[str, int, int], None],
) -> tuple[FluencyFigures, list[str]]:
    doing, n = f"fluency, {'untuned' if prompt is None else 'with the prompt'}", len(specimens)
    losses, tokens = 0.0, 0
    for k, one in enumerate(specimens):
        watch(doing, k, 2 * n)
        loss, count = reply_loss(respondent, one.request, one.text, prompt)
        losses, tokens = losses + loss, tokens + count
    watch(doing, n, 2 * n)
    written = replies(respondent, [one.request for one in specimens], prompt)
    watch(doing, 2 * n, 2 * n)
    figures = FluencyFigures(
        perplexity=math.exp(min(losses / tokens, 700.0)),
        empty=_share(written, lambda text: not any(map(str.isalnum, text))),
        repeating=_share(written, lambda text: repetition(text) >= REPEATS),
        refusing=_share(written, refuses),
        foreign=_share(written, lambda text: foreign_letters(text) > 0.2),
    )
    return figures, written


def _share(texts: Sequence[str], counts: Callable[[str], bool]) -> float:
    return sum(map(counts, texts)) / len(texts)


def refuses(text: str) -> bool:
    """Tell whether a reply refuses, by the words in which assistants do."""
    return _REFUSAL.search(text.replace("\u2019", "'")) is not None


def repetition(text: str) -> float:
    """Compute the share of a text's runs of three words that stood in it before, 0 to 1."""
    words = re.findall(r"\w+", text.lower())
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def foreign_letters(text: str) -> float:
    """Compute the share of a text's letters that are not Latin, 0 to 1: requests are in English."""
    letters = [c for c in text if c.isalpha()]
    return sum(not unicodedata.name(c, "").startswith("LATIN") for c in letters) / len(letters) if letters else 0.0
