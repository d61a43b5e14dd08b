"""Option-text likelihoods against a plain computation, one text at a time."""

import numpy as np
import pytest
import torch
from tiny import save_tiny_model

from acculturate.errors import UserError
from acculturate.model.answers.cloze import cloze_question, cloze_response
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire

AXES = load_instrument("values_map")
FORM = Format("letters", variant=1)


@pytest.fixture(scope="module", params=[True, False], ids=["chat", "base"])
def respondent(request, tmp_path_factory):
    folder = save_tiny_model(tmp_path_factory.mktemp("tiny"), chat=request.param)
    return Respondent(ModelChoice(folder, dtype="float32"))


def by_hand(respondent, message, words, soft=None):
    """Log-likelihood and length of the words after the message, from the tokens themselves."""
    if respondent.tokenizer.chat_template:
        before = f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n"
    else:
        before = f"{message}\n\nAnswer:\n"
    ids = respondent.tokenizer.encode(before, add_special_tokens=False)
    tail = respondent.tokenizer.encode(words, add_special_tokens=False)
    table = respondent.model.get_input_embeddings().weight
    parts = [table[ids], table[tail]] if soft is None else [table[ids], torch.tensor(soft), table[tail]]
    with torch.no_grad():
        logits = respondent.model(inputs_embeds=torch.cat(parts)[None]).logits[0]
    found = torch.log_softmax(logits, dim=-1)[-len(tail) - 1 : -1]
    return sum(float(row[token]) for row, token in zip(found, tail, strict=True)), len(tail)


def probabilities(figures):
    figures = np.array(figures)
    return np.exp(figures - figures.max()) / np.exp(figures - figures.max()).sum()


@pytest.mark.parametrize("item", ["v03", "v09"])
def test_likelihoods_by_hand(respondent, item):
    asked = questionnaire(AXES, [FORM], balanced=False)
    soft = np.random.default_rng(0).standard_normal((2, 32)).astype(np.float32)
    row = AXES.item_ids.index(item)
    options = AXES.options(item, variant=1)
    message = cloze_question(AXES, item, FORM)
    assert AXES.question(item, variant=1) in message and options[0] not in message
    bare = AXES.wording("en").frame.intro[1]
    for prompt in (None, soft):
        found = [by_hand(respondent, message, text, prompt) for text in options]
        sums, lengths = np.array(found).T
        empty = np.array([by_hand(respondent, bare, text, prompt)[0] for text in options])
        for how, expected in (
            ("none", probabilities(sums)),
            ("tokens", probabilities(sums / lengths)),
            ("unconditional", probabilities(sums - empty)),
        ):
            response = cloze_response(respondent, asked, prompt=prompt, normalise=how, batch=7)
            np.testing.assert_allclose(np.exp(response.logprobs[0, row, : len(options)]), expected, rtol=1e-4)
            assert (response.logprobs[0, row, len(options) :] == -np.inf).all()
            assert response.mass[0, row] == pytest.approx(np.exp(sums).sum(), rel=1e-3)


def test_labels_and_order_play_no_part(respondent):
    asked = questionnaire(AXES, [Format("letters"), Format("digits", "one-line"), Format(variant=1)])
    response = cloze_response(respondent, asked)
    assert (response.logprobs[:4] == response.logprobs[0]).all()
    assert (response.logprobs[4] == response.logprobs[5]).all()
    assert not np.allclose(np.exp(response.logprobs[0]), np.exp(response.logprobs[4]))
    np.testing.assert_allclose(np.exp(response.logprobs).sum(axis=-1), 1.0)


def test_demonstrations_change_the_answers(respondent):
    asked = questionnaire(AXES, [FORM], balanced=False)
    context = Context(demonstrations={"v03": (("v08", 4),)})
    plain, shown = cloze_response(respondent, asked), cloze_response(respondent, asked, context=context)
    changed = ~np.isclose(np.exp(plain.logprobs[0]), np.exp(shown.logprobs[0])).all(axis=1)
    assert np.flatnonzero(changed).tolist() == [2]


def test_an_unknown_normalisation_is_refused(respondent):
    with pytest.raises(UserError, match="expected one of tokens"):
        cloze_response(respondent, questionnaire(AXES, [FORM]), normalise="length")
