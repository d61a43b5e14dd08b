"""The sensitive space: a stretched full space whose directions are those that the first layer reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, HIDDEN, RECURRENT, small_questionnaire, tiny_model_dir
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.loading import ModelChoice
from acculturate.respondent import Interview, Respondent
from acculturate.sensitivity import FLOOR, first_layer_shape
from acculturate.spaces import Shaped


def respondent_of(architecture: str, factory: pytest.TempPathFactory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(factory, architecture)), dtype="float32"))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_attention_has_a_shape_of_full_rank(architecture, tmp_path_factory):
    model = respondent_of(architecture, tmp_path_factory).model
    if architecture in RECURRENT:
        with pytest.raises(UserError, match="use --space full"):
            first_layer_shape(model)
        return
    shape = first_layer_shape(model)
    assert shape.shape == (HIDDEN, HIDDEN)
    assert np.allclose(shape, shape.T)
    values = np.linalg.eigvalsh(shape)
    assert (values**2).mean() == pytest.approx(1)
    assert values.min() >= np.sqrt(FLOOR) * (1 - 1e-9)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gpt2"])
def test_what_is_not_read_is_not_favoured(architecture, tmp_path_factory):
    """Made blind to some coordinates, by its weights and by the gain of its norm, the layer favours the others."""
    model = respondent_of(architecture, tmp_path_factory).model
    blind, dim = slice(0, 10), slice(10, 15)
    gains = {"llama": "input_layernorm", "gpt_neox": "input_layernorm", "gpt2": "ln_1"}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(f"{part}.weight" in name for part in ("q_proj", "k_proj", "v_proj", "query_key_value")):
                parameter[:, blind] = 0
            elif "c_attn.weight" in name:
                parameter[blind] = 0
            elif f"{gains[architecture]}.weight" in name:
                parameter[dim] = 0
    variance = np.diag(first_layer_shape(model) @ first_layer_shape(model))
    assert np.allclose(variance[:15], FLOOR)
    assert variance[15:].min() > 5 * FLOOR


def test_answers_of_a_real_model_depend_on_what_its_first_layer_reads():
    """Squared slopes along random directions are several times those of directions without a preference."""
    respondent = Respondent(ModelChoice("embedded", dtype="float32"))
    shape = first_layer_shape(respondent.model)
    interview = Interview(respondent, small_questionnaire(), slot="response_start", n_tokens=1)
    base = respondent.rows(respondent.chat.plain("\n"))[None]
    rng = np.random.default_rng(0)
    slopes = {}
    for name, turn in (("full", np.eye(len(shape))), ("sensitive", shape)):
        offsets = 0.05 * respondent.unit * (rng.standard_normal((24, 1, len(shape))) @ turn)
        middle, *answers = interview(np.concatenate([base, base + offsets]).astype(np.float32))
        slopes[name] = np.mean([np.nanmean((a.logprobs - middle.logprobs) ** 2) for a in answers])
    assert slopes["sensitive"] > 2 * slopes["full"]


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_shaped_space_holds_every_prompt(tokens, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((6, 6))
    space = Shaped(rng.standard_normal((tokens, 6)), 0.3, root @ root.T + np.eye(6))
    prompts = rng.standard_normal((4, tokens, 6))
    x = space.encode(prompts)
    assert x.shape == (4, space.dim) == (4, tokens * 6)
    assert np.allclose(space.decode(x), prompts)
    assert np.allclose(space.decode(np.zeros((1, space.dim)))[0], space.anchor)
