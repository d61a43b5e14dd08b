"""How fluently a model writes with a soft prompt: perplexity of given replies, and short replies of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from acculturate.model.answers.sampled import generated_replies
from acculturate.model.engine.batches import batches
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt, vectors_of
from acculturate.model.template import Turn

BATCH = 8
"""Replies that are generated side by side, at most."""


@torch.inference_mode()
def reply_loss(respondent: Respondent, request: str, reply: str, prompt: SoftPrompt | None = None) -> tuple[float, int]:
    """Compute how unlikely a given reply to a request is.

    Parameters
    ----------
    respondent
        The model.
    request, reply
        What a user says, and the text to weigh as the model's reply.
    prompt
        A soft prompt; None for the untuned model.

    Returns
    -------
    tuple[float, int]
        The summed negative log-likelihood of the reply's tokens in nats, and their number. The perplexity of several
        replies is the exponential of their summed losses by their summed numbers.
    """
    asked, tokens = _asked(respondent, request, prompt), respondent.chat.reply(reply)
    model, soft = respondent.model, virtual_tokens(respondent.model, vectors_of(prompt, respondent.hidden))
    whole = SlottedTokens(asked.prefix, (*asked.suffix, *tokens))
    respondent.check_window([whole], len(soft))
    logits = model(inputs_embeds=embed_around(model, whole, soft)[None], use_cache=False).logits[0]
    # Every token is foretold at the place before it.
    foretold = torch.log_softmax(logits[-len(tokens) - 1 : -1].float(), dim=-1)
    said = torch.as_tensor(tokens, device=foretold.device)[:, None]
    return -float(foretold.gather(1, said).double().sum()), len(tokens)


def replies(
    respondent: Respondent, requests: Sequence[str], prompt: SoftPrompt | None = None, *, tokens: int = 48
) -> list[str]:
    """Generate the likeliest reply to every request, word by word (greedy), of so many tokens at most."""
    soft = vectors_of(prompt, respondent.hidden)
    sequences = [_asked(respondent, request, prompt) for request in requests]
    respondent.check_window(sequences, len(soft) + tokens, "its soft prompt and a reply")
    written = [""] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    lengths = [len(sequences[place]) for place in order]
    for part in batches(lengths, BATCH, respondent.generated_side_by_side):
        places = order[part]
        texts = generated_replies(respondent, [sequences[place] for place in places], soft, tokens)
        for place, text in zip(places, texts, strict=True):
            written[place] = text
    return written


def _asked(respondent: Respondent, request: str, prompt: SoftPrompt | None) -> SlottedTokens:
    return respondent.chat.encode([Turn("user", request)], Slot.RESPONSE_START if prompt is None else prompt.slot)
