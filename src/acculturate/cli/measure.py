"""The verbs that measure: ``score``, ``audit``, ``compare``, ``oracle``, ``bench`` and ``fit``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acculturate.cli.flags import in_flags, option_of
from acculturate.cli.printing import Json, figure, is_json, print_json
from acculturate.cli.settings import check_range, warn_if_slow
from acculturate.cli.terminal import Console, say
from acculturate.errors import SettingError

if TYPE_CHECKING:
    from acculturate.runs.score import Scores
    from acculturate.survey.targets import Target

Instrument = Annotated[str, option_of("instrument", own_default=True)]
Precision = Annotated[str, option_of("dtype", "Precision.", own_default=True)]
Device = Annotated[str, option_of("device", own_default=True)]
Answers = Annotated[str, option_of("answers", own_default=True)]


def score(
    model: Annotated[str | None, typer.Option(help="Put the questionnaire to this model.")] = None,
    prompt: Annotated[
        Path | None, typer.Option(help="Soft prompt: a run directory, a .safetensors file or a PEFT adapter.")
    ] = None,
    item_means: Annotated[
        Path | None, typer.Option(help="Score means from elsewhere: a CSV with the columns item,mean.")
    ] = None,
    instrument: Instrument = "vsm2013",
    wording: Annotated[Path | None, option_of("wording")] = None,
    formats: Annotated[str, typer.Option(help="Formats to ask, comma-separated.")] = "letters/options-first/0/en",
    unbalanced: Annotated[bool, typer.Option("--unbalanced", help="Ask in the given option order only.")] = False,
    country: Annotated[str | None, typer.Option(help="Also print the distance to this country.")] = None,
    targets: Annotated[str, typer.Option(help="Target set for --country.")] = "hofstede-2015",
    system: Annotated[str | None, typer.Option(help="A system message for the model.")] = None,
    answers: Answers = "probabilities",
    mas25: Annotated[bool, option_of("mas25")] = False,
    constant: Annotated[float, option_of("constant", own_default=True)] = 50.0,
    dtype: Precision = "float32",
    device: Device = "auto",
    trust_remote_code: Annotated[bool, option_of("trust_remote_code")] = False,
    output: Json = "text",
) -> None:
    """Score a model's answers by dimension, with or without a soft prompt, or item means from elsewhere.

    Examples: acculturate score --model embedded --prompt runs/sau
              acculturate score --item-means people.csv --constant 0
    """
    as_json = is_json(output)
    check_range("--constant", constant, -1000, 1000)
    if (model is None) == (item_means is None):
        raise SettingError("Give either --model, to ask a model, or --item-means, to score means from a file.")
    if item_means is not None:
        _refuse_asking(locals())
    from acculturate.survey.instrument_files import load_instrument

    chosen = load_instrument(instrument, wording=wording)
    target = None if country is None else _target(country, targets, chosen.dimension_ids)
    if item_means is not None:
        from acculturate.runs.score import score_means_file

        record = score_means_file(chosen, item_means, constant=constant, mas25=mas25)
    else:
        from acculturate.model.choice import ModelChoice
        from acculturate.runs.score import Asking, score_model

        assert model is not None
        choice = ModelChoice(model, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        presentations = tuple(part.strip() for part in formats.split(",") if part.strip())
        asking = Asking(presentations, not unbalanced, constant, mas25, system, answers)
        warn_if_slow(dtype, device)
        record = score_model(chosen, choice, asking, prompt=prompt)
    if target is not None:
        from acculturate.runs.score import with_distance

        record = with_distance(record, target)
    if as_json:
        print_json(record)
    else:
        _show_scores(record)


def _target(country: str, targets: str, dimensions: Sequence[str]) -> Target:
    """Look up whose scores a distance is to, before a model is loaded."""
    from acculturate.survey.targets import find_target

    target = find_target(country, targets, dimensions)
    target.vector(dimensions)
    return target


_ASKING = ("prompt", "wording", "formats", "unbalanced", "system", "answers", "dtype", "device", "trust_remote_code")


def _refuse_asking(given: Mapping[str, object]) -> None:
    """Refuse flags of ``score`` on how a model is asked, where none is asked; one at its default says nothing."""
    for name in _ASKING:
        if given[name] != inspect.signature(score).parameters[name].default:
            flag = "--" + name.replace("_", "-")
            raise SettingError(
                f"{flag} is about how a model is asked, and item means come from a file; leave {flag} out, or give "
                "--model instead of --item-means."
            )


def _show_scores(record: Scores) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("dimension")
    table.add_column("score", justify="right")
    for dimension, value in record.scores.items():
        table.add_row(dimension.upper(), "missing" if value is None else f"{value:.1f}")
    console.print(table)
    if record.answer_mass is not None and record.answers is not None:
        from acculturate.model.answer_kind import answers_of

        console.print(f"Answer mass {record.answer_mass:.3f} ({answers_of(record.answers).mass_means})")
    if record.distance is not None:
        gap = record.distance
        console.print(
            f"Distance to {gap.country}: {gap.l1:.1f} points (L1), {gap.mae:.1f} per dimension",
        )
    for note in record.notes:
        console.print(note)


def audit(
    model: Annotated[str, option_of("model", own_default=True)],
    instrument: Instrument = "vsm2013",
    short: Annotated[bool, typer.Option("--short", help="Fewer formats, as align runs it first.")] = False,
    personas: Annotated[bool, typer.Option(help="Also ask as people from several countries.")] = True,
    answers: Answers = "probabilities",
    country: Annotated[
        str | None, typer.Option(help="Also measure how far texts move the model towards these countries.")
    ] = None,
    targets: Annotated[str, typer.Option(help="Target set for --country.")] = "hofstede-2015",
    dtype: Precision = "float32",
    device: Device = "auto",
    output: Json = "text",
) -> None:
    """Find out whether a model reads the options of a questionnaire at all, before anything is tuned.

    A model that answers by position gives other answers when the options stand in the other order; its scores mean
    nothing, and tuning would tune noise. With --country it also tries texts, since what no text can move no soft prompt
    can be expected to move by meaning. Example: acculturate audit --model embedded --country USA,CHN --answers cloze
    """
    as_json = is_json(output)
    from acculturate.judge.audits import audit_model, ceilings, with_ceilings
    from acculturate.model.answer_kind import answers_of
    from acculturate.model.choice import ModelChoice
    from acculturate.model.respondent import Respondent
    from acculturate.survey.instrument_files import load_instrument

    chosen = load_instrument(instrument)
    answers_of(answers)
    names = [name.strip() for name in (country or "").split(",") if name.strip()]
    wanted = [_target(name, targets, chosen.dimension_ids) for name in names]
    warn_if_slow(dtype, device)
    respondent = Respondent(ModelChoice(model, dtype=dtype, device=device))
    found = audit_model(respondent, chosen, answers, personas=personas, short=short)
    if wanted:
        found = with_ceilings(found, ceilings(respondent, chosen, answers, wanted, watch=Console(stderr=True).print))
    if as_json:
        print_json(found.to_json())
        return
    console = Console()
    console.print(f"{model}: {found.verdict}\n")
    for sentence in found.sentences:
        console.print(f"  {sentence}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories of different countries.")],
    targets: Annotated[str | None, typer.Option(help="Also rank among all countries of this set.")] = None,
    output: Json = "text",
) -> None:
    """Compare runs: is the prompt for country A nearest to A's scores, are countries ranked as published.

    Example: acculturate compare runs/usa runs/sau runs/chn
    """
    as_json = is_json(output)
    from acculturate.judge.compare import Compared
    from acculturate.judge.compare import compare as examine
    from acculturate.runs.finished import RESULT, read_record
    from acculturate.survey.targets import load_target_set

    results = [read_record(run / RESULT if run.is_dir() else run, Compared) for run in runs]
    chosen = load_target_set(targets) if targets is not None else None
    found = examine(results, chosen, names=[str(run) for run in runs])
    if as_json:
        print_json(found.to_json())
    else:
        say(found.to_markdown())


def oracle(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    steps: Annotated[int, typer.Option(help="Gradient steps.")] = 60,
    rate: Annotated[float, typer.Option(help="First step per coordinate, in embedding standard deviations.")] = 0.3,
    output: Json = "text",
) -> None:
    """Measure how far from the optimum a search stopped, by gradient descent on its loss.

    The descent is for comparison only. It starts where the search started and is judged on the same held-out formats;
    its prompt is not kept. Example: acculturate oracle runs/usa
    """
    as_json = is_json(output)
    from acculturate.runs.oracle import Descent, compare_with_oracle

    err = Console(stderr=True)
    found = compare_with_oracle(run, Descent(steps=steps, rate=rate), err.print)
    if as_json:
        print_json(found.to_json())
        return
    table = Table(box=None, pad_edge=False)
    for name in ("", "trained", "held out"):
        table.add_column(name, justify="left" if not name else "right")
    search = f"{found.optimizer}, {found.evaluations} evaluations"
    rows = [("Untuned model", *found.untuned), (f"Search ({search})", *found.tuned)]
    rows += [(f"Oracle after {point.step} steps", point.train, point.heldout) for point in found.curve]
    for label, *losses in rows:
        table.add_row(label, *map(figure, losses))
    Console().print(table)


def bench(
    model: Annotated[str, option_of("model", own_default=True)] = "embedded",
    shape: Annotated[
        str | None, typer.Option(help="Random weights of a known shape instead of a model: llama-8b, tiny.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Virtual tokens of the soft prompt.")] = 8,
    repeats: Annotated[int, typer.Option(help="Rounds through all methods; medians are shown.")] = 3,
    populations: Annotated[
        list[int] | None, typer.Option("--population", help="Also time so many candidates at once; repeat for more.")
    ] = None,
    clock: Annotated[str, typer.Option(help="wall, or cpu for processor seconds on a busy machine.")] = "wall",
    device: Device = "auto",
    output: Json = "text",
) -> None:
    """Time one candidate on this machine: this engine, the usual ways, and the floor of the matrix products."""
    as_json = is_json(output)
    check_range("--tokens", tokens, 1, 512)
    check_range("--repeats", repeats, 1, 1000)
    for population in populations or ():
        check_range("--population", population, 1, 10_000)
    from acculturate.model.choice import ModelChoice
    from acculturate.performance.bench import run_bench
    from acculturate.performance.bench_plan import BenchPlan
    from acculturate.performance.bench_table import format_table

    plan = BenchPlan(n_tokens=tokens, repeats=repeats, clock=clock, populations=tuple(populations or ()), shape=shape)
    err = Console(stderr=True)
    table = run_bench(ModelChoice(model, device=device), plan, err.print)
    if as_json:
        print_json(table.to_json())
    else:
        say(format_table(table))


def fit(
    respondents: Annotated[Path, typer.Argument(help="CSV of people's answers: a row a person, a column an item.")],
    out: Annotated[Path, typer.Option(help="Instrument file to write (TOML).")],
    items: Annotated[
        Path | None, typer.Option(help="CSV with the columns item,text: which items, and their wording.")
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            help="Codes that stand for no answer, comma-separated, like 9,-1,99 or DK; none if there are none."
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="Lowest and highest answer of every item, like 1-7; by default what is observed.")
    ] = None,
    factors: Annotated[
        int | None, typer.Option(help="Number of factors; by default parallel analysis decides.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the instrument.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the parallel analysis.")] = 0,
    output: Json = "text",
) -> None:
    """Build an instrument from respondent-level data by factor analysis, with its diagnostics.

    Example: acculturate instrument fit people.csv --items items.csv --out values.toml
    """
    as_json = is_json(output)
    check_range("--seed", seed, 0, 2**63 - 1)
    from acculturate.survey.fitting import fit_instrument

    if out.exists():
        raise SettingError(f"'{out}' exists already; choose another file with --out.")
    codes = [code.strip() for code in (missing or "").split(",") if code.strip()]
    ends = None if scale is None else _scale(scale)
    fitted = fit_instrument(respondents, items=items, scale=ends, missing=codes, factors=factors, name=name, seed=seed)
    fitted.write(out)
    if as_json:
        print_json(fitted.diagnostics.to_json())
    else:
        sys.stdout.write(in_flags("\n".join(fitted.diagnostics.notes)) + f"\nInstrument: {out}\n")


def _scale(text: str) -> tuple[int, int]:
    """Read the lowest and the highest answer from ``1-7`` or ``-2-2``."""
    ends = re.fullmatch(r"\s*(-?\d{1,9})\s*-\s*(-?\d{1,9})\s*", text, re.ASCII)
    if ends is None or int(ends[1]) >= int(ends[2]):
        raise SettingError(f"--scale '{text[:40]}' is not of the form LOWEST-HIGHEST, like 1-7.")
    return int(ends[1]), int(ends[2])
