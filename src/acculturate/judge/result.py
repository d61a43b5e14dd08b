"""What a finished run leaves: its prompt and the rivals measured on every format, put together as result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from acculturate.errors import SettingError, setting
from acculturate.files.run_directory import plain
from acculturate.judge.audit import Audit
from acculturate.judge.audit_records import CeilingRecord
from acculturate.judge.baselines import Rivals
from acculturate.judge.ceiling import CHOOSING
from acculturate.judge.effects import effect_of, effect_sentences
from acculturate.judge.effort import LEAST, LOOK, Effort, Tokens, effort_for
from acculturate.judge.random_floor import Chance, chance, sample_size
from acculturate.judge.records import (
    DimensionRecord,
    EffectRecord,
    InstrumentRecord,
    ItemRecord,
    Items,
    ItemText,
    LeftOut,
    ModelIdentity,
    Result,
    Row,
    RowId,
    RowKind,
    TargetRecord,
    View,
    WordingRecord,
)
from acculturate.judge.response_style import style_of, style_sentences
from acculturate.judge.table import Judge, item_means_on
from acculturate.judge.transfer import columns, item_record, item_sentences, transfer_matrix
from acculturate.judge.verdict import LIMITS, MATERIAL, search_sentences, verdict
from acculturate.model.answers import ways
from acculturate.model.answers.sampled import Sampling, sampled_responses
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.search.history import SearchRecord
from acculturate.search.objective import search_objective
from acculturate.search.problem import Problem, RoleInterviews
from acculturate.search.starts import Start, random_prompts
from acculturate.survey.formats import Role
from acculturate.survey.questionnaire import Questionnaire, part_of
from acculturate.survey.scoring import Scoring
from acculturate.survey.targets import explain_missing
from acculturate.version import VERSION


@dataclass(frozen=True, eq=False)
class Delivered:
    """Hold what a search delivers to its judges.

    Parameters
    ----------
    problem, prompt
        What was to be solved, and the prompt that was found.
    start
        The first population, from which random rivals are drawn too; None where texts were searched.
    budget
        Candidate evaluations that the search could spend.
    sampled
        Whether to ask by generated text too.
    settings, search, audit
        For the record: the run's settings, the course of the search, the audit of the model.
    baselines
        Names of the rivals to measure beside the untuned model; None for as many as the budget affords.
    """

    problem: Problem
    prompt: SoftPrompt
    start: Start | None
    budget: int
    sampled: bool
    settings: Mapping[str, Any]
    search: SearchRecord
    audit: Audit
    baselines: tuple[str, ...] | None = None


def result_of(delivered: Delivered, ask: RoleInterviews, callbacks: Callbacks = SILENT) -> Result:
    """Measure the prompt and its rivals on every format and put the record together.

    ``ask``: the model, in the precision in which it is measured.
    """
    problem, audit, respondent = delivered.problem, delivered.audit, ask.respondent
    measured = _measured(delivered, ask, callbacks)
    rows, left_out, rivals = measured.rows, measured.left_out, measured.random
    by_id = {row.id: row for row in rows}
    _check_numbers(by_id[RowId.UNTUNED], by_id[RowId.TUNED])
    sampled: list[Row] = []
    if delivered.sampled:
        callbacks.stage("measuring: generated answers")
        sampled = _sampled_rows(delivered, respondent)
    questions = problem.everything
    forms = [questions.formats[view[0]] for view in questions.views]
    items = _item_records(problem, by_id[RowId.UNTUNED], by_id[RowId.TUNED])
    scoring = problem.survey(questions).scoring
    effects = _effects(scoring, by_id)
    style = style_of(questions.instrument, scoring, by_id[RowId.UNTUNED], by_id[RowId.TUNED])
    remarks = [
        *search_sentences(delivered.search),
        *effect_sentences(effects, by_id),
        *style_sentences(style, by_id[RowId.UNTUNED]),
        *([] if rivals is None else [rivals.chance.sentence]),
        *item_sentences(items),
        *(one.sentence for one in left_out),
    ]
    views = zip(questions.view_names, problem.roles, strict=True)
    return Result(
        schema=1,
        acculturate=VERSION,
        spec=plain(delivered.settings),
        model=ModelIdentity(respondent.identity),
        target=_target(problem),
        instrument=_instrument(problem),
        views=tuple(View(name=name, role=role) for name, role in views),
        rows=(*rows, *sampled),
        left_out=tuple(left_out),
        transfer=transfer_matrix(rows, columns(forms, problem.roles)),
        items=Items(heldout=problem.heldout_items, by_role=items),
        random_prompts=None if rivals is None else rivals.chance.record,
        ceiling=measured.ceiling,
        effects=effects,
        search=delivered.search,
        response_style=style,
        verdict=verdict(
            rows, problem.target.country, audit.warning, remarks, effects=effects, style=style, answers=problem.answers
        ),
        audit=audit.record,
        limits=LIMITS,
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """Hold the rows of the table with what belongs to them."""

    rows: list[Row]
    left_out: list[LeftOut]
    random: _RandomRivals | None
    ceiling: CeilingRecord | None


def _measured(delivered: Delivered, ask: RoleInterviews, callbacks: Callbacks) -> _Measured:
    """Measure every baseline, the best random prompt and, last, the tuned one."""
    problem, questions, respondent = delivered.problem, delivered.problem.everything, ask.respondent
    tell = callbacks.under("measuring: ").stage
    judge = Judge(questions, problem.survey(questions), problem.roles)
    wanted = delivered.baselines
    rivals = Rivals(problem, respondent, _effort(delivered, respondent, ask), wanted, tell)
    rows, left_out = [], rivals.left_out
    for one in rivals.baselines:
        kind = RowKind.FLAT if one.ident == RowId.FLAT else RowKind.BASELINE
        rows.append(judge.row(one.ident, one.label, kind, one.response, one.note))
    random, start = None, delivered.start if wanted is None or "random" in wanted else None
    if start is not None:
        tell("random prompts")
        random = _random_prompts(delivered, start, respondent, ask)
    ident, label = RowId.BEST_RANDOM, "Best random prompt"
    if random is None and start is not None:
        left_out.append(LeftOut(id=ident, label=label, why="the model gave no numbers after any of them"))
    elif random is not None:
        rows.append(judge.row(ident, label, RowKind.BASELINE, ask(random.best[None])[0], random.note))
    tell("the tuned prompt")
    response = ask(delivered.prompt.vectors[None])[0]
    rows.append(judge.row(RowId.TUNED, "Tuned prompt", RowKind.TUNED, response))
    return _Measured(rows, left_out, random, _measured_ceiling(rivals.ceiling, rows))


def _effort(delivered: Delivered, respondent: Respondent, put: RoleInterviews) -> Effort:
    """Choose how many rivals this run affords."""
    problem = delivered.problem
    if delivered.baselines is not None and delivered.budget < LOOK:
        return LEAST  # what is asked for by name is no part of a first look

    def cost(asked: Questionnaire) -> int:
        return ways.interview(problem.answers, respondent, asked).tokens

    train, search = problem.train, put.on(Role.TRAIN)
    return effort_for(
        delivered.budget,
        Tokens(
            search=0 if search is None else delivered.budget * search.tokens,
            all_formats=cost(problem.everything),
            choosing=cost(part_of(train, range(min(CHOOSING, len(train.views))))),
        ),
    )


def _measured_ceiling(ceiling: CeilingRecord | None, rows: Sequence[Row]) -> CeilingRecord | None:
    """Add to the text that was chosen what the table says of it on held-out formats."""
    by_id = {row.id: row for row in rows}
    if ceiling is None:
        return None
    untuned, text = by_id[RowId.UNTUNED].heldout, by_id[RowId.BEST_TEXT].heldout
    if untuned is None or text is None:
        return ceiling
    views = tuple(view.view for view in by_id[RowId.UNTUNED].by_view if view.role is Role.HELDOUT)
    return ceiling.model_copy(update={"measured_on": views, "untuned": untuned.loss, "best": text.loss})


def _effects(scoring: Scoring, by_id: Mapping[str, Row]) -> tuple[EffectRecord, ...]:
    """Test the prompt against the untuned model and the best text, on trained and on held-out formats."""
    rivals = [by_id[rival] for rival in (RowId.UNTUNED, RowId.BEST_TEXT) if rival in by_id]
    return tuple(
        effect_of(by_id[RowId.TUNED], rival, role, scoring)
        for rival in rivals
        for role in (Role.TRAIN, Role.HELDOUT)
        if rival.on(role) is not None
    )


@dataclass(frozen=True, eq=False)
class _RandomRivals:
    """Hold the best of some random prompts by its loss on the trained formats, and what they say about more."""

    best: Float[np.ndarray, "tokens hidden"]
    chance: Chance
    note: str


def _check_numbers(*rows: Row) -> None:
    """Refuse a result whose two ends, the untuned model and the tuned prompt, are no numbers."""
    for row in rows:
        if any(view.loss is None for view in row.by_view):
            raise SettingError(
                f"{row.label}: some of the final answers are missing or no numbers, so this run has no "
                f"result; try another {setting('start')} or a smaller {setting('spread')}, in a new directory."
            )


def _random_prompts(
    delivered: Delivered, start: Start, respondent: Respondent, put: RoleInterviews
) -> _RandomRivals | None:
    """Ask random prompts and the tuned one on the trained formats; None where no random one gives numbers.

    The best one is picked by the search's loss without the anchor; the figures that are reported are distances.
    """
    problem = delivered.problem
    drawn = random_prompts(respondent, start, problem.target, sample_size(delivered.budget))
    evaluate = search_objective(problem, respondent, Role.TRAIN, put)
    evaluations = evaluate(np.concatenate([drawn, delivered.prompt.vectors[None]]))
    judged = np.array([e.selection_loss if np.isfinite(e.loss) else np.inf for e in evaluations[:-1]])
    if not np.isfinite(judged).any():
        return None
    *losses, tuned = (e.terms["survey"] for e in evaluations)
    where = "the trained formats" + (" and items" if problem.heldout_items else "")
    floor = chance(np.array(losses), delivered.budget, tuned, where)
    note = f"The lowest loss on {where} among {floor.n} random prompts (start: {start.kind})."
    return _RandomRivals(drawn[int(np.argmin(judged))], floor, note)


def _item_records(problem: Problem, untuned: Row, tuned: Row) -> dict[Role, ItemRecord | None]:
    """Find what the tuned prompt's improvement rests on, item by item, on trained and on held-out formats."""
    scoring = problem.survey(problem.everything).scoring
    records: dict[Role, ItemRecord | None] = {}
    for role in (Role.TRAIN, Role.HELDOUT):
        if untuned.on(role) is None:
            records[role] = None
            continue
        records[role] = item_record(
            item_means_on(untuned, role),
            item_means_on(tuned, role),
            scoring,
            problem.instrument.item_ids,
            heldout=problem.heldout_items,
            material=MATERIAL,
        )
    return records


def _sampled_rows(delivered: Delivered, respondent: Respondent) -> list[Row]:
    """Ask the untuned model and the tuned prompt as the paper does, by generated text, on the trained formats."""
    problem, how = delivered.problem, Sampling()
    questions = problem.train
    judge = Judge(questions, problem.survey(questions), [Role.TRAIN] * len(questions.views))
    rows = []
    for ident, label, vectors in (
        ("naive-sampled", "Untuned model, sampled", None),
        ("tuned-sampled", "Tuned prompt, sampled", delivered.prompt.vectors),
    ):
        texts = sampled_responses(respondent, questions, slot=problem.slot, prompt=vectors, sampling=how)
        row = judge.row(ident, label, RowKind.SAMPLED, texts.response(), texts.note(how))
        rows.append(row.model_copy(update={"invalid_share": texts.invalid_share}))
    return rows


def _target(problem: Problem) -> TargetRecord:
    target = problem.target
    return TargetRecord(
        country=target.country,
        code=target.code,
        target_set=target.target_set,
        provenance=target.provenance,
        scores={d: target.scores.get(d) for d in problem.instrument.dimension_ids},
        note=explain_missing(target),
    )


def _instrument(problem: Problem) -> InstrumentRecord:
    """Describe the instrument as a report needs it, in the first language that is asked."""
    instrument = problem.instrument
    languages = dict.fromkeys(form.language for form in problem.everything.formats)
    language = next(iter(languages))
    wordings = [instrument.wording(one) for one in languages]
    return InstrumentRecord(
        id=instrument.id,
        name=instrument.name,
        version=instrument.version,
        citation=instrument.citation,
        constant=problem.constant,
        mas25=problem.mas25,
        wordings=tuple(
            WordingRecord(language=w.language, name=w.name, official=w.official, source=w.source) for w in wordings
        ),
        dimensions=tuple(
            DimensionRecord(id=d.id, name=d.name, low=d.low, high=d.high, about=d.about) for d in instrument.dimensions
        ),
        items=tuple(
            ItemText(
                id=item.id,
                topic=item.topic,
                question=instrument.question(item.id, language=language),
                options=instrument.options(item.id, language=language),
                values=instrument.scales[item.scale].values,
            )
            for item in instrument.items
        ),
    )
