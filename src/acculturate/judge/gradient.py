"""The loss of a soft prompt with its gradient: for the oracle only, never for a search.

The searches are black boxes by design. How far from the optimum they stop can only be told with a method that sees
more than they do, and that is what this is for (docs/search.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acculturate.errors import SettingError, setting
from acculturate.model.answers.ways import Interviews
from acculturate.model.engine.forward import input_device
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.packing import Row
from acculturate.model.interview import Interview
from acculturate.survey.loss import Loss
from acculturate.survey.response import TINY


class DifferentiableLoss:
    """Compute the loss of ``survey.loss.Loss`` in torch, so that it has a gradient.

    The arithmetic stands three times, because each use needs another form: in NumPy (``survey/scoring.py``), here, and
    linearised for DFGN (``search/optimizers/dfgn_model.py``). One property-based test holds them equal.

    Parameters
    ----------
    survey
        The arithmetic, for one target.
    mask
        Which options an item has, (items, options).
    device
        Where the answers are.
    """

    def __init__(self, survey: Loss, mask: np.ndarray, device: torch.device, dtype: torch.dtype = torch.float32):
        present = ~np.isnan(survey.target)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=dtype, device=device)

        self._values = tensor(np.where(mask, survey.values, 0.0))
        self._weights = tensor(survey.weights[present])
        self._gaps = tensor(survey.constants[present] - survey.target[present])
        self._views = [list(view) for view in survey.views]
        self._anchor = survey.anchor
        self._reference = None if survey.reference is None else tensor(survey.reference)
        self._mass_penalty = survey.mass_penalty
        self._consistency = survey.consistency
        self._response_style = survey.response_style
        if survey.consistency or survey.response_style:
            self._reference_means, self._item_points = tensor(survey.reference_means), tensor(survey.item_points)
        if survey.response_style:
            assert survey.style_weights is not None
            self._style_weights = tensor(survey.style_weights[present])
        self._log_mass = None if survey.reference_mass is None else tensor(np.log(survey.reference_mass))

    def __call__(
        self, logprobs: Float[Tensor, "formats items options"], log_mass: Float[Tensor, "formats items"]
    ) -> Float[Tensor, ""]:
        """Compute the loss of one response, in points."""
        means = (logprobs.exp() * self._values).sum(dim=-1)
        views = torch.stack([means[view].mean(dim=0) for view in self._views])
        loss = (views @ self._weights.T + self._gaps).abs().sum(dim=1).mean()
        if self._anchor and self._reference is not None:
            there = torch.isfinite(self._reference)
            gap = torch.where(there, self._reference - logprobs, 0.0)
            probabilities = torch.where(there, self._reference.exp(), 0.0)
            loss = loss + self._anchor * (probabilities * gap).sum(dim=-1).mean()
        if self._mass_penalty and self._log_mass is not None:
            lost = self._log_mass - log_mass.clamp(min=math.log(TINY))
            loss = loss + self._mass_penalty * lost.clamp(min=0.0).mean()
        if self._consistency:
            shift = views - self._reference_means
            apart = (shift - shift.mean(dim=0)).abs() @ self._item_points
            loss = loss + self._consistency * apart.mean()
        if self._response_style:
            styled = ((views - self._reference_means) @ self._style_weights.T).abs().sum(dim=1)
            loss = loss + self._response_style * styled.mean()
        return loss


@dataclass(frozen=True, eq=False)
class AnswerSlopes:
    """Hold the expected answers after a soft prompt, and what moves each of them.

    Parameters
    ----------
    means
        Expected option value of every item in every format.
    slopes
        Its derivatives by every coordinate of the virtual tokens, per unit of the coordinate.
    mass
        Mean answer mass.
    """

    means: Float[np.ndarray, "formats items"]
    slopes: Float[np.ndarray, "formats items tokens hidden"]
    mass: float


def answer_slopes(interview: Interview, prompt: Float[np.ndarray, "tokens hidden"]) -> AnswerSlopes:
    """Compute the expected answers and all their gradients in one backward pass.

    Every question has virtual tokens of its own where they stand behind its text (``user_end``, ``response_start``), so
    that the gradient of the sum of all answers by the tokens of one question is that of its own answer.

    Raises
    ------
    UserError
        Where questions share the virtual tokens, and for an architecture that cannot be packed.
    """
    engine, reading = interview.engine, interview.reading
    if not isinstance(engine, PackedEngine):
        raise SettingError("This architecture cannot be packed, so its answers have no gradients here.")
    instrument = interview.questionnaire.instrument
    mask = instrument.option_mask()
    values = torch.as_tensor(
        np.where(mask, instrument.values(), 0.0), dtype=torch.float32, device=input_device(engine.model)
    )
    inputs: list[Tensor] = []
    soft = torch.as_tensor(prompt, dtype=engine.model.dtype, device=input_device(engine.model))
    with torch.enable_grad():
        shown, log_mass = engine.tensors(soft[None], inputs)
        logprobs, own_mass = reading.differentiable(shown[0].float(), log_mass[0].float())
        means = (logprobs.exp() * values).sum(dim=-1)
        means.sum().backward()
    slopes = np.zeros((means.numel(), *prompt.shape))
    owners = reading.question_of
    for rows, embeddings in zip(engine.plan.passes, inputs, strict=True):
        assert embeddings.grad is not None
        for row, gradient in zip(rows, embeddings.grad.float().cpu().numpy(), strict=True):
            for node, question in owners_of_virtual_tokens(row, owners).items():
                slopes[question, -1 - row.dynamic.tokens[node]] += gradient[node]
    return AnswerSlopes(
        means.detach().cpu().double().numpy(),
        slopes.reshape(*means.shape, *prompt.shape),
        float(own_mass.detach().exp().mean()),
    )


def owners_of_virtual_tokens(row: Row, owners: Int[np.ndarray, " sequences"]) -> dict[int, int]:
    """Find the question of every virtual token of a packed row, by its node; ``UserError`` where there are several."""
    sees, static = row.ancestors(), len(row.static)
    owned: dict[int, int] = {}
    for answer, sequence in zip(row.answers, row.sequences, strict=True):
        for node in np.flatnonzero(row.dynamic.tokens < 0):
            if sees[static + answer, static + node] and owned.setdefault(int(node), int(owners[sequence])) != int(
                owners[sequence]
            ):
                raise SettingError(
                    f"Questions share the virtual tokens in this slot; use {setting('slot', 'response_start')}."
                )
    return owned


class LossGradient:
    """Compute the loss of one soft prompt and its gradient, through the packed engine.

    Raises
    ------
    UserError
        For an architecture that cannot be packed.
    """

    def __init__(self, interview: Interviews, survey: Loss) -> None:
        if not isinstance(interview, Interview):
            raise SettingError("Generated text has no gradient; the oracle cannot be asked about this run.")
        engine = interview.engine
        if not isinstance(engine, PackedEngine):
            raise SettingError("This architecture cannot be packed, so there is no gradient to compare a search with.")
        self._engine, self._reading = engine, interview.reading
        mask = interview.questionnaire.instrument.option_mask()
        self._loss = DifferentiableLoss(survey, mask, input_device(engine.model))

    def __call__(self, prompt: Float[np.ndarray, "tokens hidden"]) -> tuple[float, Float[np.ndarray, "tokens hidden"]]:
        """Compute the loss in points, and its gradient in points per unit of every coordinate."""
        soft = torch.as_tensor(prompt, dtype=torch.float32, device=input_device(self._engine.model)).requires_grad_()
        with torch.enable_grad():
            shown, log_mass = self._engine.tensors(soft[None].to(self._engine.model.dtype))
            loss = self._loss(*self._reading.differentiable(shown[0], log_mass[0]))
            loss.backward()
        assert soft.grad is not None
        return float(loss.detach()), soft.grad.cpu().numpy()
