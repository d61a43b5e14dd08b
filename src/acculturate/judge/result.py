"""What a finished run leaves: its prompt and the rivals measured on every format, put together as result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import UserError, setting
from acculturate.judge.audit import Audit
from acculturate.judge.baselines import LeftOut, baseline_responses
from acculturate.judge.random_floor import Chance, chance, sample_size
from acculturate.judge.table import Judge
from acculturate.judge.transfer import columns, item_record, item_sentences, transfer_matrix
from acculturate.judge.verdict import LIMITS, MATERIAL, search_sentences, verdict
from acculturate.model.answers.sampled import Sampling, sampled_responses
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.search.loop import Watch, silent
from acculturate.search.objective import search_objective
from acculturate.search.problem import Problem
from acculturate.search.starts import Start, random_prompts
from acculturate.survey.formats import Role
from acculturate.survey.scoring import Scoring
from acculturate.survey.targets import explain_missing
from acculturate.version import VERSION


@dataclass(frozen=True, eq=False)
class Delivered:
    """What a search delivers to its judges.

    Parameters
    ----------
    problem, prompt
        What was to be solved, and the prompt that was found.
    start
        The first population, from which random rivals are drawn too.
    budget
        Candidate evaluations that the search could spend.
    sampled
        Whether to ask by generated text too.
    settings, search, audit
        For the record: the run's settings, the course of the search, the audit of the model.
    """

    problem: Problem
    prompt: SoftPrompt
    start: Start
    budget: int
    sampled: bool
    settings: Mapping[str, Any]
    search: dict[str, Any]
    audit: Audit


def result_of(delivered: Delivered, respondent: Respondent, watch: Watch = silent) -> dict[str, Any]:
    """Measure the prompt and its rivals on every format and put the record together."""
    problem, prompt, found = delivered.problem, delivered.prompt, delivered.audit
    asked = problem.everything

    def tell(who: str) -> None:
        watch(f"measuring: {who}", None)

    judge = Judge(asked, problem.survey(asked), problem.roles)
    baselines, left_out = baseline_responses(respondent, asked, judge.survey, problem.target, tell)
    rows = [
        judge.row(one.ident, one.label, "flat" if one.ident == "flat" else "baseline", one.response, one.note)
        for one in baselines
    ]
    tell("random prompts")
    rivals = _random_prompts(delivered, respondent)
    ask = problem.interview(respondent, asked)
    if rivals is None:
        left_out.append(LeftOut("best-random", "Best random prompt", "the model gave no numbers after any of them"))
    else:
        rows.append(judge.row("best-random", "Best random prompt", "baseline", ask(rivals.best[None])[0], rivals.note))
    tell("the tuned prompt")
    rows.append(judge.row("tuned", "Tuned prompt", "tuned", ask(prompt.vectors[None])[0]))
    _check_numbers(rows)
    sampled = []
    if delivered.sampled:
        tell("generated answers")
        sampled = _sampled_rows(delivered, respondent)
    scoring = judge.survey.scoring
    forms = [asked.formats[view[0]] for view in asked.views]
    items = _item_records(problem, {row["id"]: row for row in rows}, scoring)
    remarks = [
        *search_sentences(delivered.search),
        *([] if rivals is None else [rivals.chance.sentence]),
        *item_sentences(items),
        *(one.sentence for one in left_out),
    ]
    return {
        "schema": 1,
        "acculturate": VERSION,
        "spec": dict(delivered.settings),
        "model": respondent.identity,
        "target": {
            "country": problem.target.country,
            "code": problem.target.code,
            "target_set": problem.target.target_set,
            "provenance": problem.target.provenance,
            "scores": {d: problem.target.scores.get(d) for d in problem.instrument.dimension_ids},
            "note": explain_missing(problem.target),
        },
        "instrument": _described(problem),
        "views": [{"name": n, "role": r} for n, r in zip(asked.view_names, problem.roles, strict=True)],
        "rows": rows + sampled,
        "left_out": [asdict(one) for one in left_out],
        "transfer": transfer_matrix(rows, columns(forms, problem.roles)),
        "items": {"heldout": list(problem.heldout_items), "by_role": items},
        "random_prompts": None if rivals is None else rivals.chance.to_json(),
        "search": delivered.search,
        "verdict": verdict(rows, problem.target.country, found.warning, remarks).to_json(),
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
                f"result; try another {setting('start')} or a smaller {setting('spread')}, in a new directory."
            )


def _random_prompts(delivered: Delivered, respondent: Respondent) -> _Rivals | None:
    """Ask random prompts and the tuned one on the trained formats; None where no random one gives numbers.

    The best one is picked by the search's loss without the anchor; the figures that are reported are distances.
    """
    problem, start = delivered.problem, delivered.start
    drawn = random_prompts(respondent, start, problem.target, sample_size(delivered.budget))
    evaluate = search_objective(problem, respondent, Role.TRAIN)
    seen = evaluate(np.concatenate([drawn, delivered.prompt.vectors[None]]))
    judged = np.array([e.unanchored if np.isfinite(e.loss) else np.inf for e in seen[:-1]])
    if not np.isfinite(judged).any():
        return None
    *losses, tuned = (e.terms["survey"] for e in seen)
    where = "the trained formats" + (" and items" if problem.heldout_items else "")
    found = chance(np.array(losses), delivered.budget, tuned, where)
    note = f"The lowest loss on {where} among {found.n} random prompts (start: {start.kind})."
    return _Rivals(drawn[int(np.argmin(judged))], found, note)


def _item_records(problem: Problem, rows: Mapping[str, Any], scoring: Scoring) -> dict[str, dict[str, Any] | None]:
    """What the tuned prompt's improvement rests on, item by item, on trained and on held-out formats."""
    ids, out = problem.instrument.item_ids, {}
    for role in (Role.TRAIN, Role.HELDOUT):
        naive, tuned = (
            np.array([view["item_means"] for view in rows[name]["by_view"] if view["role"] == role])
            for name in ("naive", "tuned")
        )
        out[role] = (
            item_record(naive, tuned, scoring, ids, heldout=problem.heldout_items, material=MATERIAL)
            if len(naive)
            else None
        )
    return out


def _sampled_rows(delivered: Delivered, respondent: Respondent) -> list[dict[str, Any]]:
    """The untuned model and the tuned prompt asked as the paper does, by generated text, on the trained formats."""
    problem, how = delivered.problem, Sampling()
    asked = problem.train
    judge = Judge(asked, problem.survey(asked), [Role.TRAIN] * len(asked.views))
    rows = []
    for ident, label, vectors in (
        ("naive-sampled", "Untuned model, sampled", None),
        ("tuned-sampled", "Tuned prompt, sampled", delivered.prompt.vectors),
    ):
        found = sampled_responses(respondent, asked, slot=problem.slot, prompt=vectors, sampling=how)
        row = judge.row(ident, label, "sampled", found.response(), found.note(how))
        rows.append(row | {"invalid_share": found.invalid_share})
    return rows


def _described(problem: Problem) -> dict[str, Any]:
    """The instrument as a report needs it."""
    instrument = problem.instrument
    languages = dict.fromkeys(form.language for form in problem.everything.formats)
    language = next(iter(languages))
    wordings = [instrument.wording(one) for one in languages]
    return {
        "id": instrument.id,
        "name": instrument.name,
        "version": instrument.version,
        "citation": instrument.citation,
        "constant": problem.constant,
        "mas25": problem.mas25,
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
