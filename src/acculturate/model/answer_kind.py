"""What counts as a model's answer to a question: its names, and which formats it takes. Loads no model library."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from acculturate.errors import SettingError, setting
from acculturate.survey.formats import Format, parse_format


class AnswerKind(StrEnum):
    """Name what counts as an answer.

    ``PROBABILITIES``: the labels as the next token. ``CALIBRATED``: the same less what the labels have without any item
    (Zhao et al. 2021, arXiv:2102.09690). ``CLOZE``: the options' own words, per token. ``CLOZE_PRIOR``: their sum less
    what they have without any item (Holtzman et al. 2021, arXiv:2104.08315). ``CLOZE_SUM``: their plain sum.
    ``SAMPLED``: text is generated and read.
    """

    PROBABILITIES = "probabilities"
    CALIBRATED = "calibrated"
    CLOZE = "cloze"
    CLOZE_PRIOR = "cloze-prior"
    CLOZE_SUM = "cloze-sum"
    SAMPLED = "sampled"

    @property
    def of_texts(self) -> bool:
        """Tell whether the options' own words are the answers: labels, layout and order then play no part."""
        return self in (AnswerKind.CLOZE, AnswerKind.CLOZE_PRIOR, AnswerKind.CLOZE_SUM)

    @property
    def weighed(self) -> AnswerKind:
        """The kind where probabilities are needed: itself, or the labels' where text is generated, which has none."""
        return AnswerKind.PROBABILITIES if self is AnswerKind.SAMPLED else self

    def formats(self, texts: Sequence[str]) -> list[Format]:
        """Read the names of formats, each once; where option texts are the answers only wordings tell them apart.

        Raises ``UserError`` for formats without labels where labels are the answers.
        """
        formats = [parse_format(text) for text in texts]
        if self.of_texts:
            return list(dict.fromkeys(form.without_labels for form in formats))
        for form in formats:
            if form.in_words:
                raise SettingError(
                    f"Format '{form.name}' has no labels: it is asked with {setting('answers', 'cloze')}; give that, "
                    "or choose formats with labels, like letters/options-first/0/en."
                )
        return formats

    @property
    def mass_means(self) -> str:
        """Say in words what the mass of a response is, 0 to 1."""
        if self is AnswerKind.SAMPLED:
            return "share of the replies that could be read"
        if self.of_texts:
            return "probability that a reply begins with an option's words"
        return "share of the next token's probability that is an option"

    @property
    def note(self) -> str | None:
        """Say what there is to know of scores read in this way; None for the usual one."""
        return _NOTES.get(self)


_NOTES = {
    AnswerKind.CALIBRATED: "Probabilities of the labels, divided by what they are where the item is left out.",
    AnswerKind.CLOZE: "Likelihood of the options' own words per token; labels, layout and option order play no part.",
    AnswerKind.CLOZE_PRIOR: (
        "Likelihood of the options' own words, divided by what it is where the item is left out; labels, layout and "
        "option order play no part."
    ),
    AnswerKind.CLOZE_SUM: "Likelihood of the options' own words; labels, layout and option order play no part.",
}
ANSWERS = tuple(one.value for one in AnswerKind)


def answers_of(name: str) -> AnswerKind:
    """Find a way of answering by its name in ``ANSWERS``; ``UserError`` for any other name."""
    if name not in ANSWERS:
        raise SettingError(f"{setting('answers')} is '{name}'; expected one of {', '.join(ANSWERS)}.")
    return AnswerKind(name)
