"""How far does a model heed what it is told about itself? Short statements in the system message, and its answers.

A text can only align a model that answers as the text says. Every item gets two opposite statements, in plain words
that are no wording and no option of the survey. A text says one of the two about some items; its opposite says the
other about the same ones. Half the difference of the two answers is the *effect*: points of the scale (1 to 5) towards
what was said, whatever the text does besides. A dimension has four items with weights of 25 to 40, so an effect of 0.2
on each moves a score by 25 to 30 points: about what a country is away.

    python benchmarks/heeding.py --counts 1,6,24 embedded path/to/model.gguf
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float

from acculturate.model.answers import ways
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Context, Respondent
from acculturate.survey.formats import parse_format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import Questionnaire, questionnaire, without

MATTERS, MATTERS_NOT = "{} means everything to you.", "You do not care at all about {}."
SAID = {
    "m01": "time for yourself and your family",
    "m02": "a boss whom you respect",
    "m03": "praise for good work",
    "m04": "a job that cannot be lost",
    "m05": "the company of nice colleagues",
    "m06": "fascinating work",
    "m07": "a say in what your boss decides",
    "m08": "a lovely place to live",
    "m09": "the respect of family and friends for your job",
    "m10": "a career that leads upward",
    "m11": "having fun",
    "m12": "being content with little",
    "m13": "helping your friends",
    "m14": "saving money",
}
ALSO_SAID = {
    "m15": ("Your nerves are tense all day long.", "You are calm all day long."),
    "m16": ("You are happy every day of your life.", "You have not been happy for a single day."),
    "m17": (
        "Other people always stop you from doing what you want.",
        "Nobody ever stops you from doing what you want.",
    ),
    "m18": ("Your health is excellent.", "You are terribly ill."),
    "m19": ("You take enormous pride in your country.", "You take no pride at all in your country."),
    "m20": ("Nobody whom you know is afraid of the boss.", "Everybody whom you know is afraid of the boss."),
    "m21": ("A good manager may well be at a loss for an answer.", "A manager without an exact answer is a bad one."),
    "m22": ("Those who never give up always succeed.", "Never giving up leads nowhere."),
    "m23": ("Working for two bosses is always wrong.", "Working for two bosses is perfectly fine."),
    "m24": ("A rule of the firm is never to be broken.", "A rule of the firm may well be broken."),
}
LABELLED, OPEN = ("letters/options-first/0/en", "digits/question-first/9/en"), ("words/open/0/en", "words/open/9/en")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--answers", default="probabilities")
    parser.add_argument("--counts", default="1,6,24", help="statements of a text")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = [int(count) for count in given.counts.split(",")]
    print("| model, answers, format | " + " | ".join(f"{count} statements" for count in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for name in given.models:
        respondent = Respondent(ModelChoice(name, dtype=given.dtype))
        for form in OPEN if given.answers.startswith("cloze") else LABELLED:
            asked = questionnaire(load_instrument("vsm2013"), [parse_format(form)])
            cells = [_cell(effects(respondent, given.answers, asked, count, given.seed)) for count in counts]
            print(f"| {Path(name).stem}, {given.answers}, {form} | " + " | ".join(cells) + " |", flush=True)


def _cell(found: Float[np.ndarray, " items"]) -> str:
    return f"{found.mean():+.3f} ({(found > 0).mean():.0%} of items)"


def statement(item: str, value: int) -> str:
    """Say of an item what somebody would who answers it with the first option (1) or the last one (-1)."""
    if item in ALSO_SAID:
        return ALSO_SAID[item][0 if value > 0 else 1]
    said = (MATTERS if value > 0 else MATTERS_NOT).format(SAID[item])
    return said[0].upper() + said[1:]


def effects(
    respondent: Respondent, answers: str, asked: Questionnaire, count: int, seed: int
) -> Float[np.ndarray, " items"]:
    """Measure the effect on every item of texts with ``count`` statements, of which it is the subject of one."""
    ids = np.array(asked.instrument.item_ids)
    rng = np.random.default_rng(seed)
    order, values = rng.permutation(len(ids)), rng.permutation(np.resize([1, -1], len(ids)))
    found = np.zeros(len(ids))
    for start in range(0, len(ids), count):
        told = order[start : start + count]
        part = without(asked, [item for k, item in enumerate(ids) if k not in told])
        means = []
        for turn in (1, -1):
            text = "\n".join(statement(str(ids[k]), turn * int(values[k])) for k in told)
            response = ways.ask(answers, respondent, part, Context(system=text))
            options = np.exp(response.logprobs)
            means.append((options * part.instrument.values()).sum(axis=-1).mean(axis=0))
        places = np.sort(told)
        found[places] = (means[1] - means[0]) / 2 * values[places]
    return found


if __name__ == "__main__":
    main()
