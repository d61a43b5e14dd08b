"""The protocols' formats as a design: what is crossed with what, and what is never seen."""

from __future__ import annotations

from collections import Counter

import pytest

from acculturate.survey.formats import ROLES, parse_format
from acculturate.survey.protocols import PROTOCOLS, protocol_formats


def forms(protocol: str, role: str, *, in_words: bool = False):
    return [parse_format(name) for name in protocol_formats(protocol, role, in_words=in_words)]


@pytest.mark.parametrize("in_words", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_format_has_two_roles(protocol: str, in_words: bool):
    named = [form.name for role in ROLES for form in forms(protocol, role, in_words=in_words)]
    assert len(set(named)) == len(named)


class TestCrossed:
    def test_every_wording_stands_in_two_presentations_that_differ_in_labels_and_layout(self):
        for role in ("train", "heldout"):
            by_wording: dict[int, list] = {}
            for form in forms("crossed", role):
                by_wording.setdefault(form.variant, []).append(form)
            for first, second in by_wording.values():
                assert first.labels != second.labels
                assert first.layout != second.layout

    def test_labels_and_layouts_are_about_equally_frequent_and_no_pair_is_tied_to_a_wording(self):
        train = forms("crossed", "train")
        assert set(Counter(form.labels for form in train).values()) == {4}
        layouts = Counter(form.layout for form in train).values()
        assert max(layouts) - min(layouts) <= 1
        assert max(Counter((form.labels, form.layout) for form in train).values()) <= 2

    @pytest.mark.parametrize("in_words", [False, True])
    def test_held_out_wordings_never_appear_in_the_search(self, in_words: bool):
        shown = {form.variant for form in forms("crossed", "train", in_words=in_words)}
        unseen = {form.variant for form in forms("crossed", "heldout", in_words=in_words)}
        assert len(unseen) >= 4
        assert shown.isdisjoint(unseen)
        assert len(shown | unseen) == 12
