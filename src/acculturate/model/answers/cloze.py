"""Answers by option text: the likelihood of the options' own words, for models that read no labels.

The question is put without its options, and each option's own words are weighed as the reply. Long and common phrases
would win or lose for their length and frequency alone, so the likelihood is normalised: per token, or by the likelihood
of the same words where there is no question (domain-conditional mutual information, Holtzman et al. 2021, "Surface Form
Competition", arXiv:2104.08315, eq. 3). Labels, layout and order play no part: formats that differ in nothing else get
the same answers.

A question stands once in the packed layout, and its options are branches of it (``engine.packing``): every place from
which a word is weighed is one sequence, and the words that may follow there are its options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acculturate.model.answers.reading import less
from acculturate.model.engine.forward import Answers
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response, without_prior


class ClozeReading:
    """Ask every question without its options, and read the likelihood of the options' words.

    Demonstrations in the context are given with the words of their option.

    Parameters
    ----------
    respondent, questionnaire, slot, context
        Whom to ask, what, with the soft prompt where, and after reading what.
    per_token
        Divide an option's log-likelihood by its number of tokens.
    prior
        The untuned model's log-likelihoods where the item is left out (``bare``), to be subtracted. None leaves them.
    bare
        Ask without the items: the introduction alone.
    """

    def __init__(
        self,
        respondent: Respondent,
        questionnaire: Questionnaire,
        slot: str,
        context: Context,
        *,
        per_token: bool = False,
        prior: Response | None = None,
        bare: bool = False,
    ) -> None:
        instrument = questionnaire.instrument
        formats = tuple(form.without_labels for form in questionnaire.formats)
        self._prior, self._mask = prior, instrument.option_mask()
        self._shape = (len(formats), *self._mask.shape)
        open_questions = replace(questionnaire, formats=formats)
        beginnings = respondent.sequences(open_questions, slot, context, bare=bare)
        asked = [(item, form) for form in formats for item in instrument.item_ids]
        places = _Places()
        words = np.zeros((len(asked), self._mask.shape[1]), dtype=object)
        for row, (beginning, (item, form)) in enumerate(zip(beginnings, asked, strict=True)):
            for o, text in enumerate(instrument.options(item, language=form.language, variant=form.variant)):
                words[row, o] = places.add(beginning, respondent.chat.reply(text))
        self.sequences, self.options = places.sequences, places.options()
        respondent.check_ids(int(self.options.max()))
        # Which place and which word there every token of an option is; padding stands behind the last.
        longest = max(len(steps) for steps in words.ravel() if steps)
        self._steps = np.full((*words.shape, longest, 2), -1)
        for at, steps in np.ndenumerate(words):
            if steps:
                self._steps[(*at, slice(len(steps)))] = steps
        self._lengths = (self._steps[..., 0] >= 0).sum(axis=-1).clip(min=1) if per_token else 1

    @property
    def question_of(self) -> Int[np.ndarray, " sequences"]:
        """Return the question that each place belongs to."""
        rows, places = np.broadcast_arrays(np.arange(len(self._steps))[:, None, None], self._steps[..., 0])
        owners = np.zeros(len(self.sequences), dtype=np.int64)
        owners[places[places >= 0]] = rows[places >= 0]
        return owners

    def responses(self, answers: Answers) -> Sequence[Response]:
        """Sum the words of every option, normalise, and renormalise over the options.

        The mass of a response is the probability that the reply begins with the words of any option. It is small where
        replies can begin in many ways, and comparable between prompts but not with the mass of labelled answers.
        """
        words = answers.logprobs + answers.log_mass[..., None]
        place, word = self._steps[..., 0], self._steps[..., 1]
        picked = np.where(place < 0, 0.0, words[:, np.maximum(place, 0), np.maximum(word, 0)])
        shape = (len(words), *self._shape)
        sums = np.where(self._mask, picked.sum(axis=-1).reshape(shape), -np.inf)
        mass = np.minimum(np.exp(sums).sum(axis=-1), 1.0)
        lengths = np.broadcast_to(self._lengths, self._steps.shape[:2]).reshape(self._shape)
        logprobs = without_prior(sums / lengths, np.zeros(self._shape) if self._prior is None else self._prior.logprobs)
        return [Response(*pair) for pair in zip(logprobs, mass, strict=True)]

    def differentiable(
        self, logprobs: Float[Tensor, "sequences options"], log_mass: Float[Tensor, " sequences"]
    ) -> tuple[Float[Tensor, "formats items options"], Float[Tensor, "formats items"]]:
        """Return one candidate's response as torch tensors, for gradients."""

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, device=logprobs.device)

        words = logprobs + log_mass[:, None]
        place, word = self._steps[..., 0], self._steps[..., 1]
        picked = words[tensor(np.maximum(place, 0)), tensor(np.maximum(word, 0))].masked_fill(tensor(place < 0), 0.0)
        mask = tensor(np.broadcast_to(self._mask, self._shape).copy())
        sums = picked.sum(dim=-1).reshape(self._shape).masked_fill(~mask, -torch.inf)
        lengths = np.broadcast_to(self._lengths, self._steps.shape[:2]).reshape(self._shape)
        prior = np.zeros(self._shape) if self._prior is None else self._prior.logprobs
        own = less(sums / tensor(lengths.astype(np.float64)).to(sums.dtype), np.where(self._mask, prior, -np.inf))
        return own, torch.logsumexp(sums, dim=-1).clamp(max=0.0)


class _Places:
    """Collect the places from which words are weighed, each once, with the words that may follow there."""

    def __init__(self) -> None:
        self._numbers: dict[SlottedTokens, int] = {}
        self._words: list[dict[int, int]] = []

    def add(self, beginning: SlottedTokens, tokens: Sequence[int]) -> list[tuple[int, int]]:
        """Walk along the tokens of an option: the number of every place, and of the word there."""
        steps = []
        for k, token in enumerate(tokens):
            place = SlottedTokens(beginning.prefix, (*beginning.suffix, *tokens[:k]))
            number = self._numbers.setdefault(place, len(self._numbers))
            if number == len(self._words):
                self._words.append({})
            steps.append((number, self._words[number].setdefault(token, len(self._words[number]))))
        return steps

    @property
    def sequences(self) -> list[SlottedTokens]:
        return list(self._numbers)

    def options(self) -> Int[np.ndarray, "places words 1"]:
        table = np.full((len(self._words), max(map(len, self._words)), 1), -1, dtype=np.int64)
        for row, words in zip(table, self._words, strict=True):
            row[: len(words), 0] = list(words)
        return table
