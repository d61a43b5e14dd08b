"""The loss stands three times: in NumPy, in torch and linearised. All three are the same number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acculturate.judge.gradient import DifferentiableLoss
from acculturate.search.optimizers.dfgn_model import linearised, structured
from acculturate.survey.loss import Loss
from acculturate.survey.response import Response


def _response(rng: np.random.Generator, shape: tuple[int, int, int]) -> Response:
    options = rng.dirichlet(np.ones(shape[-1]), size=shape[:2])
    return Response(np.log(options), rng.uniform(1e-3, 0.999, shape[:2]))


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(1, 6),
    options=st.integers(2, 6),
    views=st.integers(1, 3),
    dims=st.integers(1, 4),
    anchor=st.sampled_from([0.0, 0.7, 20.0]),
    mass_penalty=st.sampled_from([0.0, 1.3, 20.0]),
    consistency=st.sampled_from([0.0, 0.4]),
    response_style=st.sampled_from([0.0, 1.0]),
)
def test_the_three_forms_of_the_loss_agree(
    seed, items, options, views, dims, anchor, mass_penalty, consistency, response_style
) -> None:
    rng = np.random.default_rng(seed)
    formats = 2 * views
    target = rng.uniform(0, 100, dims)
    target[rng.random(dims) < 0.3] = np.nan
    target[0] = 50.0
    untuned, tuned = (_response(rng, (formats, items, options)) for _ in range(2))
    survey = Loss(
        rng.uniform(1, 7, (items, options)),
        rng.normal(0, 35, (dims, items)),
        rng.normal(50, 20, dims),
        target,
        tuple((2 * v, 2 * v + 1) for v in range(views)),
        anchor,
        untuned.logprobs,
        mass_penalty,
        untuned.mass,
        consistency,
        response_style,
        rng.normal(0, 35, (dims, items)),
    )
    loss = survey.evaluate(tuned).loss
    in_torch = DifferentiableLoss(survey, np.ones((items, options), bool), torch.device("cpu"), torch.float64)
    assert float(in_torch(torch.as_tensor(tuned.logprobs), torch.as_tensor(np.log(tuned.mass)))) == pytest.approx(loss)
    answers = structured(tuned)
    assert linearised(survey, answers, np.zeros((1, *answers.shape)), np.zeros(1)).loss == pytest.approx(loss)
