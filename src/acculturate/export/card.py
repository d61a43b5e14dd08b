"""The model card of an export: what the prompt is, what it was found for, how well it does, and what it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import yaml

from acculturate.export.kinds import ExportKind
from acculturate.export.markdown import literal
from acculturate.export.parity import Parity
from acculturate.export.subject import Subject
from acculturate.judge.records import Row, RowId
from acculturate.model.slot import Slot
from acculturate.model.template_date import TEMPLATE_DATE
from acculturate.survey.formats import Role
from acculturate.version import VERSION

CARD = "README.md"

_LIBRARY = {
    ExportKind.SAFETENSORS: "acculturate",
    ExportKind.PEFT: "peft",
    ExportKind.PEFT_TOKENS: "peft",
    ExportKind.TOKENS: "transformers",
    ExportKind.EMBEDS: "vllm",
    ExportKind.GGUF: "gguf",
}
_WHAT = {
    ExportKind.SAFETENSORS: "the prompt alone",
    ExportKind.PEFT: "an adapter for PEFT's prompt tuning",
    ExportKind.PEFT_TOKENS: "an adapter for PEFT that gives some token ids the prompt's vectors",
    ExportKind.TOKENS: "a copy of the model with the prompt as added tokens",
    ExportKind.EMBEDS: "the prompt with a client that sends it to a server as embeddings",
    ExportKind.GGUF: "a copy of the model as one GGUF file, with the prompt as added tokens",
}
_PLACE = {
    Slot.BEFORE_BOS: "before everything",
    Slot.SYSTEM: "at the end of the system message",
    Slot.USER_END: "at the end of the last user message",
    Slot.RESPONSE_START: "where the reply begins",
}
_PAPER = (
    "R. Masoud, M. Ferianc, P. Treleaven and M. Rodrigues, *Cultural Alignment in Large Language Models Using Soft "
    "Prompt Tuning*, [arXiv:2503.16094](https://arxiv.org/abs/2503.16094) (the method that this follows)"
)


def model_card(subject: Subject, kind: ExportKind, usage: str, notes: Sequence[str], comparison: Parity | None) -> str:
    """Write the card of an export as a Markdown page.

    Parameters
    ----------
    subject, kind
        What is exported, and in which form.
    usage
        How to use it, as Markdown of our own.
    notes
        Sentences to add, like on tokens that lose their meaning; text, not markup.
    comparison
        The comparison with the run; None where there was none.
    """
    target = subject.result.target
    name = literal(f"{subject.base_model} towards {target.country}")
    parts = [
        f"---\n{_head(subject, kind)}---\n",
        f"# Soft prompt: {name}\n",
        _summary(subject, kind),
        _verdict(subject),
        _table(subject),
        f"## Use\n\n{usage}",
        "".join(f"- {literal(note)}\n" for note in notes),
        _comparison(comparison),
        _target(subject),
        _limits(subject),
        _licence(kind),
        _citation(subject),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _head(subject: Subject, kind: ExportKind) -> str:
    head = {
        "base_model": subject.base_model,
        "library_name": _LIBRARY[kind],
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "as-the-base-model",
        "tags": ["acculturate", "soft-prompt", "cultural-alignment", "survey"],
    }
    if kind in (ExportKind.PEFT, ExportKind.PEFT_TOKENS):
        head["base_model_relation"] = "adapter"
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


def _summary(subject: Subject, kind: ExportKind) -> str:
    prompt, identity, search = subject.prompt, subject.identity, subject.result.search
    n = len(prompt.vectors)
    facts = [
        ("form", f"{kind.value}: {_WHAT[kind]}"),
        ("base model", subject.base_model),
        *((key, identity[key]) for key in ("revision", "file", "sha256", "files_sha256") if key in identity),
        ("prompt", f"{n} virtual token{'' if n == 1 else 's'} of width {prompt.vectors.shape[1]}"),
        ("slot", f"{prompt.slot}: {_PLACE[Slot(prompt.slot)]}"),
        ("found by", f"{search.optimizer}, {search.evaluations} evaluations of candidates, no gradients"),
        ("answers read as", subject.answers),
        ("made with", f"acculturate {VERSION}"),
    ]
    if "template_date" in identity:
        facts.append(("date in the template", f"{TEMPLATE_DATE.isoformat()} in all figures here"))
    return "| | |\n|---|---|\n" + "".join(f"| {literal(key)} | {literal(value)} |\n" for key, value in facts)


def _verdict(subject: Subject) -> str:
    verdict = subject.result.verdict
    said = "".join(f"- {literal(sentence)}\n" for sentence in verdict.sentences)
    return f"## Verdict\n\n**{literal(verdict.headline)}**\n\n{said}"


def _table(subject: Subject) -> str:
    """Put the prompt beside the untuned model, flat answers and the best rival on the formats of each role."""
    result = subject.result
    rivals = [row for row in result.rows if row.id not in (RowId.FLAT, RowId.UNTUNED, RowId.TUNED)]
    best = min(rivals, key=_heldout_loss, default=None)
    rows = [result.untuned, result.flat, *([] if best is None else [best]), result.tuned]
    lines = [
        "## How near\n",
        "Distance to the country's scores in points, summed over the dimensions, and answer mass: the probability that "
        "the next token is any option at all. Held-out formats of the questionnaire took no part in the search.\n",
        "| | trained | held out | mass, trained | mass, held out |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_figure(row, Role.TRAIN, "loss"), _figure(row, Role.HELDOUT, "loss")]
        cells += [_figure(row, Role.TRAIN, "mass"), _figure(row, Role.HELDOUT, "mass")]
        lines.append(f"| {literal(row.label)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _heldout_loss(row: Row) -> float:
    figures = row.heldout or row.train
    return float("inf") if figures.loss is None else figures.loss


def _figure(row: Row, role: Role, name: str) -> str:
    figures = row.on(role)
    value = None if figures is None else getattr(figures, name)
    return "–" if value is None else f"{value:.1f}" if name == "loss" else f"{value:.3g}"


def _comparison(comparison: Parity | None) -> str:
    if comparison is None:
        return "## Comparison\n\nThis export was not compared with the run that it was made from.\n"
    rows = "".join(f"| {literal(name)} | {value} | {allowed} |\n" for name, value, allowed in comparison.lines())
    return (
        f"## Comparison\n\nLoaded with {literal(comparison.library)} in a process of its own and asked all "
        f"{comparison.questions} questions of the run; differences to the run's own answers:\n\n"
        f"| | difference | allowed |\n|---|---|---|\n{rows}"
    )


def _target(subject: Subject) -> str:
    target, record = subject.result.target, subject.result.instrument
    source = f"Target set: {literal(PurePath(target.target_set).name)}."
    origin = f" {literal(target.provenance)}." if target.provenance else ""
    note = f" {literal(target.note)}" if target.note else ""
    role = Role.HELDOUT if subject.result.tuned.heldout is not None else Role.TRAIN
    before, after = subject.result.untuned.on(role), subject.result.tuned.on(role)
    assert before is not None and after is not None  # the role was chosen so
    lines = []
    for dimension in record.dimensions:
        cells = [owner.get(dimension.id) for owner in (target.scores, before.scores, after.scores)]
        shown = " | ".join("–" if value is None else f"{value:.1f}" for value in cells)
        lines.append(f"| {literal(dimension.name)} | {shown} |\n")
    wordings = "; ".join(
        f"{one.name} ({'official text' if one.official else 'own wording'})" for one in record.wordings
    )
    return (
        f"## Whose scores\n\n{literal(target.country)} ({literal(target.code)}). {source}{origin}{note}\n\n"
        f"| dimension | target | untuned | with the prompt |\n|---|---|---|---|\n{''.join(lines)}\n"
        f"Means over {'held-out' if role is Role.HELDOUT else 'trained'} formats. Instrument: {literal(record.name)}"
        f"{f', {literal(wordings)}' if wordings else ''}.\n"
    )


def _limits(subject: Subject) -> str:
    limits = "".join(f"- {literal(one)}\n" for one in subject.result.limits)
    return (
        "## Intended use and limits\n\nFor research on what language models answer to value surveys, and on how far a "
        "soft prompt moves that. It does not make the model speak for a country or for anybody in it, and it is not "
        "meant for decisions on people. Scores with other formats, precisions, quantisations or sampling differ.\n\n"
        f"{limits}"
    )


def _licence(kind: ExportKind) -> str:
    holds = (
        "This export contains the weights of the base model"
        if kind in (ExportKind.TOKENS, ExportKind.GGUF)
        else ("This export contains no weights of the base model, and is of use only with it")
    )
    return f"## Licence\n\n{holds}: the base model's licence and terms of use apply.\n"


def _citation(subject: Subject) -> str:
    citation = subject.result.instrument.citation
    own = f"- {literal(citation)}\n" if citation else ""
    return f"## Citation\n\n- Acculturate {VERSION}\n- {_PAPER}\n{own}"
