"""What a finished run leaves: its prompt and the rivals measured on every format, put together as result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from acculturate.errors import UserError
from acculturate.files.run_directory import RunDirectory
from acculturate.files.whole_file import write_whole
from acculturate.judge.audit import Audit
from acculturate.judge.baselines import LeftOut, baseline_responses
from acculturate.judge.random_floor import Chance, chance, sample_size
from acculturate.judge.transfer import columns, item_record, item_sentences, transfer_matrix
from acculturate.judge.verdict import LIMITS, MATERIAL, Judge, search_sentences, verdict
from acculturate.model.answers.sampled import Sampling, sampled_responses
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.runs.spec import to_json
from acculturate.runs.task import (
    Task,
    interview,
    searched,
)
from acculturate.search.loop import Watch, silent
from acculturate.search.starts import random_prompts
from acculturate.survey.targets import explain_missing
from acculturate.survey.validity import Scoring
from acculturate.version import VERSION

EVALUATIONS = "evaluations.parquet"


def result_of(
    task: Task,
    respondent: Respondent,
    prompt: SoftPrompt,
    *,
    search: dict[str, Any],
    found: Audit,
    watch: Watch = silent,
) -> dict[str, Any]:
    """Measure the prompt and its rivals on every format and put the record together."""
    spec, asked = task.spec, task.everything

    def tell(who: str) -> None:
        watch(f"measuring: {who}", None)

    judge = Judge(asked, task.survey(asked), task.roles)
    baselines, left_out = baseline_responses(respondent, asked, judge.survey, task.target, tell)
    rows = [
        judge.row(one.ident, one.label, "flat" if one.ident == "flat" else "baseline", one.response, one.note)
        for one in baselines
    ]
    tell("random prompts")
    rivals = _random_prompts(task, respondent, prompt)
    ask = interview(respondent, asked, spec)
    if rivals is None:
        left_out.append(LeftOut("best-random", "Best random prompt", "the model gave no numbers after any of them"))
    else:
        rows.append(judge.row("best-random", "Best random prompt", "baseline", ask(rivals.best[None])[0], rivals.note))
    tell("the tuned prompt")
    rows.append(judge.row("tuned", "Tuned prompt", "tuned", ask(prompt.vectors[None])[0]))
    _check_numbers(rows)
    sampled = []
    if spec.sampled:
        tell("generated answers")
        sampled = _sampled_rows(task, respondent, prompt)
    scoring = Scoring(judge.survey.weights, judge.survey.constants, judge.survey.target)
    forms = [asked.formats[view[0]] for view in asked.views]
    items = _item_records(task, {row["id"]: row for row in rows}, scoring)
    remarks = [
        *search_sentences(search),
        *([] if rivals is None else [rivals.chance.sentence]),
        *item_sentences(items),
        *(one.sentence for one in left_out),
    ]
    return {
        "schema": 1,
        "acculturate": VERSION,
        "spec": to_json(spec),
        "model": respondent.identity,
        "target": {
            "country": task.target.country,
            "code": task.target.code,
            "target_set": task.target.target_set,
            "provenance": task.target.provenance,
            "scores": {d: task.target.scores.get(d) for d in task.instrument.dimension_ids},
            "note": explain_missing(task.target),
        },
        "instrument": _described(task),
        "views": [{"name": n, "role": r} for n, r in zip(asked.view_names, task.roles, strict=True)],
        "rows": rows + sampled,
        "left_out": [asdict(one) for one in left_out],
        "transfer": transfer_matrix(rows, columns(forms, task.roles)),
        "items": {"heldout": list(spec.heldout_items), "by_role": items},
        "random_prompts": None if rivals is None else rivals.chance.to_json(),
        "search": search,
        "verdict": verdict(rows, task.target.country, found.warning, remarks),
        "audit": found.to_json(),
        "limits": list(LIMITS),
    }


@dataclass(frozen=True, eq=False)
class _Rivals:
    """The best of some random prompts by its loss on the trained formats, and what they say about more of them."""

    best: Float[np.ndarray, "tokens hidden"]
    chance: Chance
    note: str


def _check_numbers(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a result whose two ends, the untuned model and the tuned prompt, are no numbers."""
    for row in rows:
        if row["id"] in ("naive", "tuned") and not all(np.isfinite(view["loss"]) for view in row["by_view"]):
            raise UserError(
                f"{row['label']}: some of the final answers are no numbers (the model overflows), so this run has no "
                "result; try another --start or a smaller --spread, in a new directory."
            )


def _random_prompts(task: Task, respondent: Respondent, prompt: SoftPrompt) -> _Rivals | None:
    """Ask random prompts and the tuned one on the trained formats; None where no random one gives numbers.

    The best has the lowest loss of the search, without an anchor, which is no distance; what is said is distances.
    """
    spec = task.spec
    drawn = random_prompts(respondent, task.start, task.target, sample_size(spec.budget))
    seen = searched(task, respondent, "train")(np.concatenate([drawn, prompt.vectors[None]]))
    judged = np.array([e.unanchored if np.isfinite(e.loss) else np.inf for e in seen[:-1]])
    if not np.isfinite(judged).any():
        return None
    *losses, tuned = (e.terms["survey"] for e in seen)
    where = "the trained formats" + (" and items" if spec.heldout_items else "")
    found = chance(np.array(losses), spec.budget, tuned, where)
    note = f"The lowest loss on {where} among {found.n} random prompts (start: {spec.begins})."
    return _Rivals(drawn[int(np.argmin(judged))], found, note)


def _item_records(task: Task, rows: Mapping[str, Any], scoring: Scoring) -> dict[str, dict[str, Any] | None]:
    """What the tuned prompt's improvement rests on, item by item, on trained and on held-out formats."""
    ids, out = task.instrument.item_ids, {}
    for role in ("train", "heldout"):
        naive, tuned = (
            np.array([view["item_means"] for view in rows[name]["by_view"] if view["role"] == role])
            for name in ("naive", "tuned")
        )
        out[role] = (
            item_record(naive, tuned, scoring, ids, heldout=task.spec.heldout_items, material=MATERIAL)
            if len(naive)
            else None
        )
    return out


def _sampled_rows(task: Task, respondent: Respondent, prompt: SoftPrompt) -> list[dict[str, Any]]:
    """The untuned model and the tuned prompt asked as the paper does, by generated text, on the trained formats."""
    asked, how = task.questionnaires["train"], Sampling()
    assert asked is not None
    judge = Judge(asked, task.survey(asked), ["train"] * len(asked.views))
    rows = []
    for ident, label, vectors in (
        ("naive-sampled", "Untuned model, sampled", None),
        ("tuned-sampled", "Tuned prompt, sampled", prompt.vectors),
    ):
        found = sampled_responses(respondent, asked, slot=task.spec.slot, prompt=vectors, sampling=how)
        row = judge.row(ident, label, "sampled", found.response(), found.note(how))
        rows.append(row | {"invalid_share": found.invalid_share})
    return rows


def _described(task: Task) -> dict[str, Any]:
    """The instrument as a report needs it."""
    instrument, spec = task.instrument, task.spec
    languages = dict.fromkeys(form.language for form in task.everything.formats)
    language = next(iter(languages))
    wordings = [instrument.wording(one) for one in languages]
    return {
        "id": instrument.id,
        "name": instrument.name,
        "version": instrument.version,
        "citation": instrument.citation,
        "constant": spec.constant,
        "mas25": spec.mas25,
        "wordings": [
            {"language": w.language, "name": w.name, "official": w.official, "source": w.source} for w in wordings
        ],
        "dimensions": [
            {"id": d.id, "name": d.name, "low": d.low, "high": d.high, "about": d.about} for d in instrument.dimensions
        ],
        "items": [
            {
                "id": item.id,
                "topic": item.topic,
                "question": instrument.question(item.id, language=language),
                "options": list(instrument.options(item.id, language=language)),
                "values": list(instrument.scales[item.scale].values),
            }
            for item in instrument.items
        ],
    }


def write_evaluations(directory: RunDirectory) -> None:
    """evaluations.parquet: one row per candidate that was evaluated, in order, from the journal."""
    columns: dict[str, list[Any]] = {"generation": [], "index": [], "loss": [], "mass": [], "scores": []}
    for line in directory.lines():
        for index, (loss, mass, scores) in enumerate(zip(line["losses"], line["mass"], line["scores"], strict=True)):
            for name, value in zip(columns, (line["generation"], index, loss, mass, scores), strict=True):
                columns[name].append(value)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_whole(directory.path / EVALUATIONS, sink.getvalue().to_pybytes())
