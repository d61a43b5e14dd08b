"""Option-text likelihood: for base models that continue a text but answer no questionnaire.

The question is put without its options, and each option's own words are scored as the continuation. Long and
common phrases would win or lose for their length and frequency alone, so the likelihood is normalised: per
token, or by the likelihood of the same words after an empty question (domain-conditional mutual information,
Holtzman et al. 2021, "Surface Form Competition", eq. 3). Labels, layout and order play no part: formats that
differ in nothing else get the same answers, and order balance comes for free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from acculturate.errors import ModelError
from acculturate.model.engine.batches import batches, padded
from acculturate.model.engine.forward import embed, embed_around, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.generation import forward_left
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.model.template import Turn
from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response

NORMALISATIONS = ("tokens", "unconditional", "none")


def cloze_response(
    respondent: Respondent,
    questionnaire: Questionnaire,
    *,
    slot: str = Slot.RESPONSE_START,
    prompt: Float[np.ndarray, "tokens hidden"] | None = None,
    context: Context | None = None,
    normalise: str = "tokens",
    batch: int = 16,
) -> Response:
    """Compute option probabilities from the likelihood of the options' words.

    Normalised likelihoods are turned into probabilities by a softmax over the options. Demonstrations in the context
    are given with the words of their option.

    Parameters
    ----------
    slot, prompt
        Where the soft prompt stands, and its vectors; None for no soft prompt.
    normalise
        "tokens" (mean log-likelihood per token), "unconditional" (log-likelihood minus that after the bare request,
        without the question) or "none" (the sum).
    batch
        Texts per forward pass; it changes nothing but time and memory.

    Returns
    -------
    Response
        ``mass`` is the probability that the reply begins with the words of any option, from the plain likelihoods.
        It is small where replies can begin in many ways, and comparable between prompts but not with the mass of
        labelled answers.
    """
    if normalise not in NORMALISATIONS:
        raise ModelError(f"Normalisation '{normalise}' is unknown; expected one of {', '.join(NORMALISATIONS)}.")
    if batch < 1:
        raise ModelError("A batch needs at least one text.")
    context, instrument = context or Context(), questionnaire.instrument
    soft = np.zeros((0, respondent.hidden), dtype=np.float32) if prompt is None else prompt
    mask = instrument.option_mask()
    shape = (len(questionnaire.formats), *mask.shape)
    logprobs, mass = np.full(shape, -np.inf), np.zeros(shape[:2])
    done: dict[tuple[str, int], int] = {}
    for f, form in enumerate(questionnaire.formats):
        key = (form.language, form.variant)
        if key in done:
            logprobs[f], mass[f] = logprobs[done[key]], mass[done[key]]
            continue
        done[key] = f
        sums, lengths = _likelihoods(respondent, instrument, form, _Asking(slot, soft, context, batch))
        mass[f] = np.minimum(np.where(mask, np.exp(sums), 0.0).sum(axis=1), 1.0)
        figures = sums
        if normalise == "tokens":
            figures = sums / lengths
        elif normalise == "unconditional":
            bare = _Asking(slot, soft, context, batch, with_question=False)
            figures = sums - _likelihoods(respondent, instrument, form, bare)[0]
        figures = np.where(mask, figures, -np.inf)
        top = figures.max(axis=1, keepdims=True)
        logprobs[f] = figures - top - np.log(np.exp(figures - top).sum(axis=1, keepdims=True))
    return Response(logprobs, mass)


@dataclass(frozen=True, eq=False)
class _Asking:
    """Describe how the texts are put: everything but the model and the words."""

    slot: str
    soft: Float[np.ndarray, "tokens hidden"]
    context: Context
    batch: int
    with_question: bool = True


def cloze_question(instrument: Instrument, item: str, form: Format, *, with_question: bool = True) -> str:
    """Write the message of one item: introduction and question, no options.

    ``with_question=False`` leaves the bare request.
    """
    frame = instrument.wording(form.language).frame
    intro = frame.intro[form.variant % len(frame.intro)]
    if not with_question:
        return intro
    question = instrument.question(item, language=form.language, variant=form.variant)
    return f"{intro}\n\n{frame.question}: {question}"


def _likelihoods(
    respondent: Respondent, instrument: Instrument, form: Format, how: _Asking
) -> tuple[Float[np.ndarray, "items options"], Float[np.ndarray, "items options"]]:
    """Sum the log-likelihood and count the tokens of every option's words (0 and 1 where there is no option)."""
    shape = instrument.option_mask().shape
    jobs: list[tuple[int, int, SlottedTokens, list[int]]] = []
    for i, item in enumerate(instrument.item_ids):
        turns = _turns(instrument, item, form, how)
        beginning = respondent.chat.encode(turns, how.slot)
        words = instrument.options(item, language=form.language, variant=form.variant)
        jobs += [(i, o, beginning, respondent.chat.reply(text)) for o, text in enumerate(words)]
    likelihoods: dict[tuple[SlottedTokens, tuple[int, ...]], float] = {}
    texts = list(dict.fromkeys((beginning, tuple(ids)) for _, _, beginning, ids in jobs))
    texts.sort(key=lambda text: len(text[0]) + len(text[1]))
    lengths_of = [len(beginning) + len(ids) for beginning, ids in texts]
    for part in batches(lengths_of, how.batch, respondent.read_side_by_side):
        chunk = texts[part]
        likelihoods |= dict(zip(chunk, _score(respondent, chunk, how.soft), strict=True))
    sums, lengths = np.zeros(shape), np.ones(shape)
    for i, o, beginning, ids in jobs:
        sums[i, o], lengths[i, o] = likelihoods[beginning, tuple(ids)], len(ids)
    return sums, lengths


def _turns(instrument: Instrument, item: str, form: Format, how: _Asking) -> list[Turn]:
    turns = [Turn("system", how.context.system)] if how.context.system else []
    for other, option in how.context.demonstrations.get(item, ()):
        words = instrument.options(other, language=form.language, variant=form.variant)
        turns += [Turn("user", cloze_question(instrument, other, form)), Turn("assistant", words[option])]
    text = cloze_question(instrument, item, form, with_question=how.with_question)
    return [*turns, Turn("user", text)]


@torch.inference_mode()
def _score(
    respondent: Respondent,
    texts: Sequence[tuple[SlottedTokens, tuple[int, ...]]],
    soft: Float[np.ndarray, "tokens hidden"],
) -> list[float]:
    """Sum the log-likelihood of each continuation, left-padded so that all of them end together."""
    model = respondent.model
    virtual = virtual_tokens(model, soft)
    rows = [torch.cat([embed_around(model, beginning, virtual), embed(model, ids)]) for beginning, ids in texts]
    tail = max(len(ids) for _, ids in texts)
    respondent.check_window([s for s, _ in texts], len(soft) + tail, "its soft prompt and an option")
    logits = forward_left(model, *padded(rows, in_front=True), tail + 1)
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    sums = []
    for i, (_, ids) in enumerate(texts):
        # The token before the first word predicts it; the last word predicts nothing that counts.
        predicting = logprobs[i, tail - len(ids) : tail]
        index = torch.tensor(ids, device=logprobs.device)
        sums.append(float(predicting.gather(1, index[:, None]).double().sum()))
    return sums
