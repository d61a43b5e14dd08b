"""Parity: what another library answers with an export, beside what the run's own engine answers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from acculturate.errors import ModelError, SettingError, first_line
from acculturate.export import foreign
from acculturate.export.kinds import ExportKind
from acculturate.export.subject import Subject
from acculturate.export.virtual_tokens import VirtualTokens
from acculturate.files.record import Record, or_nan
from acculturate.model.engine.forward import Answers

LOGPROB, SCORES = 1e-4, 0.05
"""Differences that float32 allows: of a log-probability, and of a score in points."""

TWICE = 2.0
"""Times as far from ours as without the prompt that llama.cpp's answers may be with it."""

FLOOR = 0.01
"""Difference in the mean that any arithmetic of llama.cpp is allowed: float16 tables alone cost as much."""

_LIBRARIES = {ExportKind.PEFT: "peft", ExportKind.PEFT_TOKENS: "peft", ExportKind.GGUF: "xllamacpp"}
_INSTALLED_WITH = {"peft": "pip install peft", "xllamacpp": "pip install 'acculturate[llamacpp]'"}


class Difference(Record):
    """Hold one row of a comparison; ``allowed`` is None where the figure is only shown."""

    name: str
    difference: float
    allowed: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the difference is allowed; NaN never is."""
        return self.allowed is None or self.difference <= self.allowed


class Parity(Record):
    """Hold how far an export's answers are from the run's.

    Parameters
    ----------
    library
        What the export was loaded with, and its version.
    questions
        How many were asked.
    rows
        The differences, largest over all questions.
    """

    library: str
    questions: int
    rows: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether every difference is allowed."""
        return all(row.holds for row in self.rows)

    def lines(self) -> list[tuple[str, str, str]]:
        """Return the comparison as rows of text: name, difference, allowed."""
        return [
            (row.name, f"{row.difference:.2g}", "" if row.allowed is None else f"{row.allowed:.2g}")
            for row in self.rows
        ]


def check_library(kind: ExportKind) -> None:
    """Refuse a comparison whose library is not installed, before anything is loaded; raises ``UserError``."""
    name = _LIBRARIES.get(kind)
    if name is not None and importlib.util.find_spec(name) is None:
        raise SettingError(
            f"Comparing needs the package {name}, which is not installed; install it with: {_INSTALLED_WITH[name]}, or "
            "leave the comparison out with `verify=False`."
        )


def parity(
    subject: Subject,
    kind: ExportKind,
    folder: Path,
    tokens: VirtualTokens | None,
    share: Float[np.ndarray, "sequences"] | None = None,
) -> Parity:
    """Ask an export through its library in a new process, and compare its answers with the run's.

    ``share``: the probability that the run's own model gives to the prompt's ids (``Subject.share_of``). They are
    suppressed in the export, so that what they had goes to all other tokens. Raises ``UserError`` where the library
    cannot load or ask the export.
    """
    own = subject.tuned
    if share is not None:
        own = Answers(own.logprobs, own.log_mass - np.log1p(-share))
    reply = _reply_of(_questions(subject, kind, folder, tokens))
    surveyed = reply["logprobs"][: own.log_mass.shape[1]]
    other = _answers(surveyed, own)
    rows = _by_option(kind, subject, own, other, reply)
    if kind is not ExportKind.GGUF:
        rows.append(_in_conversations(subject, reply["logprobs"][len(surveyed) :]))
    rows.append(_scores(kind, subject, other))
    if tokens is not None:
        rows += _by_token(kind, tokens, reply)
    return Parity(library=_library(kind), questions=len(surveyed), rows=tuple(rows))


def _questions(subject: Subject, kind: ExportKind, folder: Path, tokens: VirtualTokens | None) -> dict[str, Any]:
    respondent, reading = subject.respondent, subject.reading
    # The client's tokens are in no model: their vectors stand in the slot.
    ids = [] if tokens is None or kind is ExportKind.EMBEDS else list(tokens.ids)
    choice = respondent.choice
    # llama.cpp takes long, and there the prompt's tokens are new ones, which no template writes elsewhere.
    more = () if kind is ExportKind.GGUF else subject.conversations
    sequences, options = [*reading.sequences, *more], reading.options.tolist()
    return {
        "kind": kind.value,
        "export": str(folder.resolve()),
        "base": subject.source,
        "revision": choice.revision,
        "trust_remote_code": choice.trust_remote_code,
        "device": respondent.model.device.type,
        "batch": respondent.batch,
        "threads": torch.get_num_threads(),
        "sequences": [{"prefix": list(one.prefix), "suffix": list(one.suffix)} for one in sequences],
        "options": options + options[-1:] * len(more),
        "token_ids": ids,
        "vocabulary": max([len(respondent.tokenizer), *(i + 1 for i in ids)]),
        "conversations": [] if tokens is None else tokens.conversations,
        "template": None if tokens is None else tokens.dated_template,
        "template_options": {} if tokens is None else tokens.template_options,
    }


def _reply_of(questions: dict[str, Any]) -> dict[str, Any]:
    """Run the other library in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="acculturate-") as place:
        questions_file, answers_file = Path(place) / "questions.json", Path(place) / "answers.json"
        questions_file.write_text(json.dumps(questions), encoding="utf-8")
        # -P: the folder of the script holds modules of this package, which are not to be taken for libraries.
        command = [sys.executable, "-P", foreign.__file__, str(questions_file), str(answers_file)]
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise ModelError(f"The export could not be loaded and asked by its own library: {first_line(last)}.")
        return json.loads(answers_file.read_text(encoding="utf-8"))


def _answers(logprobs: Sequence[Sequence[float | None]], own: Answers) -> Answers:
    """Renormalise what another library answered over the options."""
    whole = np.full(own.logprobs.shape, -np.inf)
    for row, values in zip(whole[0], logprobs, strict=True):
        row[: len(values)] = [-np.inf if value is None else value for value in values]
    mass = np.logaddexp.reduce(whole, axis=-1)
    return Answers(whole - mass[..., None], mass)


def _by_option(
    kind: ExportKind, subject: Subject, own: Answers, other: Answers, reply: dict[str, Any]
) -> list[Difference]:
    """Compare the options' log-probabilities and their sum, question by question."""
    apart = _apart(own.logprobs, other.logprobs)
    mass = float(np.abs(own.log_mass - other.log_mass).max())
    if kind is not ExportKind.GGUF:
        return [
            Difference(name="log-probability", difference=float(apart.max()), allowed=LOGPROB),
            Difference(name="answer mass (logarithm)", difference=mass, allowed=LOGPROB),
        ]
    plain = subject.untuned
    without = _apart(plain.logprobs, _answers(reply["untuned"], plain).logprobs)
    return [
        Difference(
            name="log-probability, mean",
            difference=float(apart.mean()),
            allowed=max(TWICE * float(without.mean()), FLOOR),
        ),
        Difference(name="log-probability, mean without the prompt", difference=float(without.mean())),
        Difference(name="log-probability, largest", difference=float(apart.max())),
        Difference(name="answer mass (logarithm), largest", difference=mass),
    ]


def _in_conversations(subject: Subject, logprobs: Sequence[Sequence[float | None]]) -> Difference:
    """Compare answers behind an earlier reply and behind a system message, where the run never asked."""
    own = subject.in_conversations
    apart = _apart(own.logprobs, _answers(logprobs, own).logprobs)
    return Difference(name="log-probability in conversations", difference=float(apart.max()), allowed=LOGPROB)


def _apart(own: Float[np.ndarray, "*shape"], other: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "n"]:
    """Compute the differences where there is an option; an option that only one has differs without end."""
    there = np.isfinite(own) | np.isfinite(other)
    with np.errstate(invalid="ignore"):
        return np.abs(own - other)[there]


def _by_token(kind: ExportKind, tokens: VirtualTokens, reply: dict[str, Any]) -> list[Difference]:
    """Compare conversations as the export's template writes them, and see whether the tokens could be written.

    llama.cpp tells how many ids it makes of a conversation, not which; the date in a template is today's there.
    """
    expected: list[Any] = tokens.conversations_ids
    if kind is ExportKind.GGUF:
        expected = [] if tokens.dated_template is not None else [len(ids) for ids in expected]
    written = reply["conversations"] if expected else []
    wrong = sum(a != b for a, b in zip(written, expected, strict=True))
    rows = [Difference(name="templated conversations", difference=wrong, allowed=0)] if expected else []
    if kind is not ExportKind.EMBEDS:
        rows.append(Difference(name="likeliest virtual token", difference=or_nan(reply["likeliest"])))
    return rows


def _scores(kind: ExportKind, subject: Subject, other: Answers) -> Difference:
    """Compare the scores of every view with those in the run's record, in points."""
    response = subject.reading.responses(other)[0]
    scores = subject.loss.scores(response.logprobs)
    ids = subject.questionnaire.instrument.dimension_ids
    apart = [0.0]
    for name, row in zip(subject.questionnaire.view_names, scores, strict=True):
        for dimension, score in zip(ids, row.tolist(), strict=True):
            recorded = subject.recorded.get(name, {}).get(dimension)
            if recorded is not None:
                apart.append(abs(recorded - score))
    allowed = None if kind is ExportKind.GGUF else SCORES
    return Difference(name="scores (points)", difference=float(np.max(apart)), allowed=allowed)


def _library(kind: ExportKind) -> str:
    from importlib.metadata import version

    name = _LIBRARIES.get(kind, "transformers")
    return f"{name} {version(name)}"
