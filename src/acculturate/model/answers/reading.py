"""What a way of answering makes of a questionnaire: texts, the tokens that may follow them, and responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acculturate.model.engine.forward import Answers
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response


@runtime_checkable
class Reading(Protocol):
    """Hold a questionnaire as texts for one model, and turn the probabilities of what follows them into responses.

    Attributes
    ----------
    sequences
        The texts, with the soft prompt's slot in place.
    options
        The tokens that may follow each text: for each option all tokens that stand for it; -1 where there are no more.
    question_of
        The question, formats outermost, that each text is a part of.
    """

    @property
    def sequences(self) -> Sequence[SlottedTokens]: ...

    @property
    def options(self) -> Int[np.ndarray, "sequences options variants"]: ...

    @property
    def question_of(self) -> Int[np.ndarray, " sequences"]: ...

    def responses(self, answers: Answers) -> Sequence[Response]:
        """Return the response of every candidate."""
        ...

    def differentiable(
        self, logprobs: Float[Tensor, "sequences options"], log_mass: Float[Tensor, " sequences"]
    ) -> tuple[Float[Tensor, "formats items options"], Float[Tensor, "formats items"]]:
        """Return the log-probabilities and log mass of one candidate's response as torch tensors, for gradients."""
        ...


@runtime_checkable
class Read(Protocol):
    """Make a reading: whom to ask, what, with the soft prompt where, and after reading what."""

    def __call__(
        self, respondent: Respondent, questionnaire: Questionnaire, slot: str, context: Context, /
    ) -> Reading: ...


def less(
    logprobs: Float[Tensor, "formats items options"], prior: Float[np.ndarray, "formats items options"]
) -> Float[Tensor, "formats items options"]:
    """Subtract a log prior and renormalise, as ``survey.response.without_prior`` does, for gradients."""
    there = np.isfinite(prior)
    taken = torch.as_tensor(np.where(there, prior, 0.0), dtype=logprobs.dtype, device=logprobs.device)
    left = (logprobs - taken).masked_fill(~torch.as_tensor(there, device=logprobs.device), -torch.inf)
    return torch.log_softmax(left, dim=-1)
