"""Option-text likelihoods against a plain computation, one text at a time."""

import numpy as np
import pytest
import torch
from tiny import save_tiny_model

from acculturate.errors import UserError
from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import present, questionnaire

AXES = load_instrument("values_map")
FORM = Format(variant=1).without_labels


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
    message = present(AXES, item, FORM).text
    assert AXES.question(item, variant=1) in message and options[0] not in message
    bare = AXES.wording("en").frame.intro[1]
    empty = np.array([by_hand(respondent, bare, text)[0] for text in options])
    for prompt in (None, soft):
        found = [by_hand(respondent, message, text, prompt) for text in options]
        sums, lengths = np.array(found).T
        for how, expected in (
            ("cloze-sum", probabilities(sums)),
            ("cloze", probabilities(sums / lengths)),
            ("cloze-prior", probabilities(sums - empty)),  # of the untuned model, whoever answers
        ):
            if prompt is None:
                response = ways.ask(how, respondent, asked)
            else:
                put = ways.interview(how, respondent, asked, n_tokens=2)
                assert isinstance(put.engine, PackedEngine)
                response = put(prompt[None])[0]
            np.testing.assert_allclose(np.exp(response.logprobs[0, row, : len(options)]), expected, rtol=1e-4)
            assert (response.logprobs[0, row, len(options) :] == -np.inf).all()
            assert response.mass[0, row] == pytest.approx(np.exp(sums).sum(), rel=1e-3)


def test_labels_and_order_play_no_part(respondent):
    asked = questionnaire(AXES, [Format("letters"), Format("digits", "one-line"), Format(variant=1)])
    response = ways.ask("cloze", respondent, asked)
    assert (response.logprobs[:4] == response.logprobs[0]).all()
    assert (response.logprobs[4] == response.logprobs[5]).all()
    assert not np.allclose(np.exp(response.logprobs[0]), np.exp(response.logprobs[4]))
    np.testing.assert_allclose(np.exp(response.logprobs).sum(axis=-1), 1.0)


def test_demonstrations_change_the_answers(respondent):
    asked = questionnaire(AXES, [FORM], balanced=False)
    context = Context(demonstrations={"v03": (("v08", 4),)})
    plain, shown = ways.ask("cloze", respondent, asked), ways.ask("cloze", respondent, asked, context)
    changed = ~np.isclose(np.exp(plain.logprobs[0]), np.exp(shown.logprobs[0])).all(axis=1)
    assert np.flatnonzero(changed).tolist() == [2]


def test_an_unknown_way_is_refused(respondent):
    with pytest.raises(UserError, match="expected one of probabilities, calibrated, cloze"):
        ways.ask("length", respondent, questionnaire(AXES, [FORM]))


def test_a_format_without_labels_is_refused_where_labels_are_the_answers(respondent):
    with pytest.raises(UserError, match="asked with `answers='cloze'`"):
        ways.ask("probabilities", respondent, questionnaire(AXES, [FORM]))


def test_calibrated_labels_lose_what_they_have_without_an_item(respondent):
    asked = questionnaire(AXES, [Format(variant=1)])
    plain, calibrated = (ways.ask(way, respondent, asked) for way in ("probabilities", "calibrated"))
    bare = by_question(respondent, asked)
    gap = np.where(np.isfinite(bare), plain.logprobs - bare, -np.inf)
    expected = gap - np.log(np.exp(gap).sum(axis=-1, keepdims=True, where=np.isfinite(gap)))
    there = np.isfinite(plain.logprobs)
    np.testing.assert_allclose(calibrated.logprobs[there], expected[there], atol=1e-5)
    np.testing.assert_array_equal(calibrated.mass, plain.mass)


def by_question(respondent, asked):
    """Log-probabilities of the labels where an ellipsis stands in the item's place, renormalised, from tokens."""
    out = np.full((len(asked.formats), *AXES.option_mask().shape), -np.inf)
    for f, form in enumerate(asked.formats):
        for i, item in enumerate(AXES.item_ids):
            question = present(AXES, item, form)
            message = question.text.replace(AXES.question(item, variant=1), "...")
            sums = np.array([by_hand(respondent, message, label)[0] for label in question.labels])
            out[f, i, list(question.shown)] = np.log(probabilities(sums))
    return out
