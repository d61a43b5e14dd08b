"""Formats: what is shown where, and the way back to the scale's own order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acculturate.errors import UserError
from acculturate.survey.formats import LABELS, LAYOUTS, ORDERS, Format, option_labels, parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.loss import Loss
from acculturate.survey.questionnaire import present, questionnaire

VSM = load_instrument("vsm2013")
_formats = st.tuples(
    st.sampled_from(sorted(LABELS)),
    st.sampled_from(LAYOUTS),
    st.integers(0, 2),
    st.just("en"),
    st.sampled_from(ORDERS),
)


@given(_formats)
def test_a_name_reads_back_as_the_format(parts) -> None:
    form = Format(*parts)
    assert parse_format(form.name) == form
    assert parse_format(form.presentation) == Format(*parts[:4])


def test_what_is_left_out_keeps_its_default() -> None:
    assert parse_format("digits") == Format("digits")
    assert parse_format(" letters/one-line ") == Format("letters", "one-line")
    assert parse_format("letters/one-line/2/zh/descending") == Format("letters", "one-line", 2, "zh", "descending")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not of the form labels/layout/variant/language"),
        ("a/b/c/d/e/f", "is not of the form"),
        ("runes", "labels 'runes'; expected one of digits, letters"),
        ("letters/sideways", "layout 'sideways'; expected one of options-first"),
        ("letters/one-line/first", "variant 'first'; expected a whole number"),
        ("letters/one-line/-1", "variant '-1'"),
        ("letters/one-line/0/en/random", "order 'random'; expected one of ascending, descending"),
    ],
)
def test_a_format_that_does_not_read_is_one_sentence(text, part) -> None:
    with pytest.raises(UserError) as caught:
        parse_format(text)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_variant_or_language_the_instrument_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="wording variants 0 to 11"):
        questionnaire(VSM, [Format(variant=12)])
    with pytest.raises(UserError, match="no wording in language 'tlh'"):
        questionnaire(VSM, [Format(language="tlh")])
    with pytest.raises(UserError, match="at least one format"):
        questionnaire(VSM, [])


def test_labels_cannot_name_more_options_than_there_are() -> None:
    assert option_labels(Format("digits"), 5) == ("1", "2", "3", "4", "5")
    with pytest.raises(UserError, match=r"name 9 options, but a scale has 10; .*\(letters, lower, roman, symbols\)"):
        option_labels(Format("digits"), 10)
    assert option_labels(Format("letters"), 11)[-1] == "K"
    with pytest.raises(UserError, match="no labels name so many"):
        option_labels(Format("roman"), 12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_option_stands_under_the_label_that_names_it(layout, order) -> None:
    question = present(VSM, "m20", Format("letters", layout, order=order))
    options = VSM.options("m20")
    for label, option in zip(question.labels, question.shown, strict=True):
        separator = " = " if layout == "one-line" else ". "
        assert f"{label}{separator}{options[option]}" in question.text
    assert question.shown == (tuple(range(5)) if order == "ascending" else tuple(range(4, -1, -1)))
    assert VSM.question("m20") in question.text
    assert "{" not in question.text


def test_layouts_put_first_what_their_names_say() -> None:
    first = present(VSM, "m01", Format("letters", "options-first")).text
    assert first.index(VSM.options("m01")[0]) < first.index(VSM.question("m01"))
    second = present(VSM, "m01", Format("letters", "question-first")).text
    assert second.index(VSM.question("m01")) < second.index(VSM.options("m01")[0])


def test_balance_asks_each_presentation_once_in_both_orders() -> None:
    asked = questionnaire(VSM, [Format(), Format(order="descending"), Format("digits")])
    assert [f.name for f in asked.formats] == [
        "letters/options-first/0/en/ascending",
        "letters/options-first/0/en/descending",
        "digits/options-first/0/en/ascending",
        "digits/options-first/0/en/descending",
    ]
    assert asked.views == ((0, 1), (2, 3))
    assert asked.view_names == ("letters/options-first/0/en", "digits/options-first/0/en")
    single = questionnaire(VSM, [Format(order="descending")], balanced=False)
    assert single.views == ((0,),) and single.view_names == ("letters/options-first/0/en/descending",)
    assert len(asked.questions()) == 4 * 24


def test_canonical_undoes_the_order_that_was_shown() -> None:
    asked = questionnaire(VSM, [Format()])
    shown = np.arange(2 * 48 * 5, dtype=float).reshape(2, 48, 5)
    back = asked.canonical(shown)
    assert back.shape == (2, 2, 24, 5)
    np.testing.assert_array_equal(back[:, 0], shown[:, :24])
    np.testing.assert_array_equal(back[:, 1], shown[:, 24:, ::-1])


def _survey(asked) -> Loss:
    return Loss(VSM.values(), VSM.weights(), VSM.constants(), np.full(6, 50.0), asked.views)


@given(st.integers(0, 2**32 - 1))
def test_a_respondent_that_reads_the_options_scores_alike_in_either_order(seed) -> None:
    """Permuting the options with their values leaves every score unchanged."""
    opinion = np.random.default_rng(seed).standard_normal((24, 5))
    opinion -= np.log(np.exp(opinion).sum(axis=1, keepdims=True))
    scores = []
    for order in ORDERS:
        asked = questionnaire(VSM, [Format(order=order)], balanced=False)
        shown = np.stack([opinion[i, list(q.shown)] for i, q in enumerate(asked.questions())])
        scores.append(_survey(asked).scores(asked.canonical(shown[None])[0]))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_a_respondent_that_answers_by_position_scores_neutral(seed) -> None:
    position = np.random.default_rng(seed).standard_normal(5)
    position -= np.log(np.exp(position).sum())
    asked = questionnaire(VSM, [Format()])
    shown = np.tile(position, (1, 48, 1))
    scores = _survey(asked).scores(asked.canonical(shown)[0])
    np.testing.assert_allclose(scores, 50.0, atol=1e-9)
