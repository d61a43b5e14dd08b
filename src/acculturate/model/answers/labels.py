"""Answers by option label: the probabilities of the labels as the next token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acculturate.model.answers.reading import less
from acculturate.model.engine.forward import Answers
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response, without_prior


class LabelReading:
    """Ask every question up to where the label stands, and read the labels' probabilities.

    Parameters
    ----------
    respondent, questionnaire, slot, context
        Whom to ask, what, with the soft prompt where, and after reading what.
    prior
        What the labels' own pull is taken to be, and taken off: the answers of the untuned model where the item is left
        out (``bare``). None leaves it in.
    bare
        Ask without the items: an ellipsis stands where the item would (contextual calibration, Zhao et al. 2021,
        arXiv:2102.09690).
    """

    def __init__(
        self,
        respondent: Respondent,
        questionnaire: Questionnaire,
        slot: str,
        context: Context,
        *,
        prior: Response | None = None,
        bare: bool = False,
    ) -> None:
        self._questionnaire, self._prior = questionnaire, prior
        self.sequences = respondent.sequences(questionnaire, slot, context, bare=bare)
        self.options = respondent.option_tokens(questionnaire)

    @property
    def question_of(self) -> Int[np.ndarray, " sequences"]:
        """Return the question that each text is: itself."""
        return np.arange(len(self.sequences))

    def responses(self, answers: Answers) -> Sequence[Response]:
        """Bring probabilities in shown order into the scales' own."""
        logprobs = self._questionnaire.canonical(answers.logprobs)
        if self._prior is not None:
            logprobs = without_prior(logprobs, self._prior.logprobs)
        mass = np.exp(answers.log_mass).reshape(logprobs.shape[:3])
        return [Response(*pair) for pair in zip(logprobs, mass, strict=True)]

    def differentiable(
        self, logprobs: Float[Tensor, "sequences options"], log_mass: Float[Tensor, " sequences"]
    ) -> tuple[Float[Tensor, "formats items options"], Float[Tensor, "formats items"]]:
        """Return one candidate's response as torch tensors, for gradients."""
        asked = self._questionnaire
        shape = (len(asked.formats), len(asked.instrument.items))
        places = torch.as_tensor(np.maximum(asked.places, 0), device=logprobs.device)
        there = torch.as_tensor(asked.places >= 0, device=logprobs.device)
        own = torch.where(there, torch.gather(logprobs, 1, places), -torch.inf).reshape(*shape, -1)
        if self._prior is not None:
            own = less(own, self._prior.logprobs)
        return own, log_mass.reshape(shape)
