"""Text from embeddings: what each architecture's own generation does with padding, positions and its memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import HIDDEN, VOCABULARY, saved_model_dir, small_questionnaire, tiny_model_dir

from acculturate.errors import UserError
from acculturate.model.answers.sampled import Sampling, sampled_responses
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.batches import Batching, batches
from acculturate.model.respondent import Respondent

_RWKV = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": 2, "context_length": 2048}
_OPENAI = {"vocab_size": VOCABULARY, "n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": 2048}


def test_batches_hold_one_length_unless_they_may_be_padded() -> None:
    lengths = [3, 3, 3, 4, 5, 5]
    for may, expected in (
        (Batching.PADDED, [[3, 3], [3, 4], [5, 5]]),
        (Batching.EQUAL, [[3, 3], [3], [4], [5, 5]]),
        (Batching.ALONE, [[3], [3], [3], [4], [5], [5]]),
    ):
        assert [lengths[part] for part in batches(lengths, 2, may)] == expected


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "mamba"])
def test_texts_may_be_padded_in_front_where_the_architecture_leaves_padding_out(
    architecture, dtype, tmp_path_factory
) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, architecture)), dtype=dtype))
    assert respondent.generated_side_by_side is Batching.PADDED


def test_an_architecture_that_reads_padding_is_given_none(tmp_path) -> None:
    respondent = Respondent(ModelChoice(str(saved_model_dir(tmp_path, "RwkvConfig", _RWKV))))
    assert respondent.generated_side_by_side is Batching.ALONE  # two rows of one length change each other
    asked = small_questionnaire()
    drawn = [sampled_responses(respondent, asked, sampling=Sampling(seeds=(0, 1), batch=n)) for n in (1, 8)]
    np.testing.assert_array_equal(drawn[0].counts, drawn[1].counts)
    assert drawn[0].unread == drawn[1].unread


def test_an_architecture_that_generates_from_ids_alone_is_refused_in_words(tmp_path) -> None:
    respondent = Respondent(ModelChoice(str(saved_model_dir(tmp_path, "OpenAIGPTConfig", _OPENAI))))
    with pytest.raises(
        UserError, match=r"openai-gpt\) does not generate text from a soft prompt .*`answers='probabilities'`"
    ):
        sampled_responses(respondent, small_questionnaire())


def test_generation_that_forgets_what_came_before_is_refused(tmp_path_factory, monkeypatch) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory))))
    real = respondent.model.forward

    def forgetful(*args, past_key_values=None, **kwargs):
        out = real(*args, past_key_values=past_key_values, **kwargs)
        if past_key_values is not None and kwargs.get("use_cache", True):
            for layer in past_key_values.layers:
                layer.keys = torch.zeros_like(layer.keys)
        return out

    monkeypatch.setattr(respondent.model, "forward", forgetful)
    with pytest.raises(UserError, match="follow from something other than the text before them"):
        sampled_responses(respondent, small_questionnaire())
