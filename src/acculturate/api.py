"""The Python side: a loaded model that is reused, targets, instruments, kinds of run, and a search to iterate.

A mistake in what is asked raises ``UserError``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from acculturate.errors import RunDirectoryError, SettingError
from acculturate.files.run_directory import run_folder
from acculturate.judge.audit import Audit
from acculturate.judge.audits import audit_model, ceilings, with_ceilings
from acculturate.judge.compare import Compared, Comparison
from acculturate.judge.compare import compare as compare_results
from acculturate.keywords import Keywords
from acculturate.model.answer_kind import answers_of
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, read_prompt
from acculturate.report.front_page import write_front_page
from acculturate.report.run_page import write_report
from acculturate.runs import align as align_run
from acculturate.runs import multitask as multitask_run
from acculturate.runs import pareto as pareto_run
from acculturate.runs.load import FrontRun, MultitaskRun, Run, open_run
from acculturate.runs.resolve import prepare
from acculturate.runs.score import Asking, ScoreKeywords, Scores, score_respondent
from acculturate.runs.spec import make_spec
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.history import Generation
from acculturate.search.loop import Progress
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.targets import Target, find_target, load_target_set

DEFAULT_FORMATS = Asking().formats


class Model:
    """Hold a language model in memory, to be asked, audited and aligned as often as one likes (``load``).

    Parameters
    ----------
    choice
        Which model, and how it is held in memory.
    """

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice
        self.respondent = Respondent(choice)

    @property
    def identity(self) -> Mapping[str, str]:
        """What identifies the model in records: its name, and its revision or checksum."""
        return self.respondent.identity

    def audit(
        self,
        instrument: str | Instrument = "vsm2013",
        *,
        answers: str = "probabilities",
        country: str | Target | Sequence[str | Target] = (),
        short: bool = False,
        personas: bool = True,
    ) -> Audit:
        """Find out whether the model reads the options of a questionnaire at all.

        Parameters
        ----------
        instrument
            An instrument, its id or its file.
        answers
            ``probabilities`` of the labels, ``calibrated`` (less the labels' own pull), ``cloze`` (likelihood of the
            options' words per token), ``cloze-prior`` (less the words' own pull), ``cloze-sum``, or ``sampled`` (text
            is generated and read).
        country
            Countries, by name or as targets: also measure how far texts move the model towards each (``ceilings``).
        short
            Ask fewer formats, as a run does first.
        personas
            Also ask as people from several countries.

        Returns
        -------
        Audit
            ``verdict``, its reasons in ``sentences``, and every figure behind them.
        """
        answers_of(answers)
        asked = _instrument(instrument)
        named = [country] if isinstance(country, str | Target) else country
        wanted = [one if isinstance(one, Target) else target(one, instrument=asked) for one in named]
        found = audit_model(self.respondent, asked, answers, short=short, personas=personas)
        return with_ceilings(found, ceilings(self.respondent, asked, answers, wanted)) if wanted else found

    def score(
        self,
        instrument: str | Instrument = "vsm2013",
        *,
        prompt: SoftPrompt | str | Path | None = None,
        formats: Sequence[str] = DEFAULT_FORMATS,
        balanced: bool = True,
        answers: str = "probabilities",
        system: str | None = None,
        constant: float = 50.0,
        mas25: bool = False,
    ) -> Scores:
        """Put a questionnaire to the model and score its answers.

        Parameters
        ----------
        instrument
            An instrument, its id or its file.
        prompt
            A soft prompt, or the directory or file of one.
        formats
            ``labels/layout/variant/language``; the scores are their mean.
        balanced
            Ask every format in both orders of its options.
        answers
            As in ``audit``.
        system
            A system message.
        constant
            Added to every dimension, in points.
        mas25
            Give the second term of Masculinity (MAS) the legacy weight 25.

        Returns
        -------
        Scores
            ``scores`` (points), ``item_means`` (option values), ``answer_mass`` (0..1) and ``by_view``.
        """
        how = Asking(tuple(formats), balanced, constant, mas25, system, answers)
        laid_out = how.questionnaire(_instrument(instrument))
        soft = prompt if prompt is None or isinstance(prompt, SoftPrompt) else read_prompt(Path(prompt).expanduser())
        return score_respondent(self.respondent, laid_out, how, soft)

    def __repr__(self) -> str:
        """Say which model it is and how it is held."""
        return f"Model({self.choice.name!r}, dtype={self.choice.dtype!r}, device={self.choice.device!r})"


def load(
    name: str = "embedded",
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    quantize: str = "none",
    trust_remote_code: bool = False,
) -> Model:
    """Load a model once, to be used by everything else.

    Parameters
    ----------
    name
        A Hugging Face id, a local directory, a GGUF file, or ``embedded``.
    revision
        Revision of a Hugging Face model.
    dtype
        Precision: ``auto`` (bfloat16 on CUDA, float32 elsewhere), ``float32``, ``bfloat16`` or ``float16``. ``score``
        and ``audit`` of the loaded model measure in it.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    quantize
        ``none``, ``8bit`` or ``4bit`` (needs acculturate[quantized]).
    trust_remote_code
        Run code that comes with the model.

    Returns
    -------
    Model
        The model in memory.

    Raises
    ------
    UserError
        Where it cannot be loaded, or is no model that can be asked.
    """
    return Model(ModelChoice(name, revision, dtype, device, quantize, trust_remote_code))


def score(model: str | Model = "embedded", **how: Unpack[ScoreKeywords]) -> Scores:
    """Score a model's answers to a questionnaire: ``Model.score`` for a loaded model or one by name.

    Parameters
    ----------
    model
        A loaded model, or the name of one, which is loaded in float32 for this call.
    how
        The keywords of ``Model.score``: ``instrument``, ``prompt``, ``formats``, ``balanced``, ``answers``, ``system``,
        ``constant`` and ``mas25``.

    Returns
    -------
    Scores
        ``scores`` (points), ``item_means`` (option values), ``answer_mass`` (0..1) and ``by_view``.
    """
    return _measured(model).score(**how)


def audit(
    model: str | Model = "embedded",
    instrument: str | Instrument = "vsm2013",
    *,
    answers: str = "probabilities",
    short: bool = False,
    personas: bool = True,
) -> Audit:
    """Find out whether a model reads the options at all: ``Model.audit`` for a loaded model or one by name.

    Parameters
    ----------
    model
        A loaded model, or the name of one, which is loaded in float32 for this call.
    instrument, answers, short, personas
        As in ``Model.audit``.

    Returns
    -------
    Audit
        ``verdict``, its reasons in ``sentences``, and every figure behind them.
    """
    return _measured(model).audit(instrument, answers=answers, short=short, personas=personas)


def _measured(model: str | Model) -> Model:
    """Load a model that is named for one call in float32, in which the command line measures too."""
    return model if isinstance(model, Model) else load(model, dtype="float32")


def instrument(name: str = "vsm2013", *, wording: str | Path | None = None) -> Instrument:
    """Load an instrument: items, scales, dimensions and wordings.

    Parameters
    ----------
    name
        The id of a built-in instrument, or a TOML or YAML file.
    wording
        A file with the questionnaire's text in words of your own.

    Returns
    -------
    Instrument
        ``items``, ``scales``, ``dimensions`` and ``wordings``; ``dimension_ids`` and ``item_ids``.
    """
    return load_instrument(name, wording=None if wording is None else Path(wording))


def target(country: str, targets: str | Path = "hofstede-2015", *, instrument: str | Instrument = "vsm2013") -> Target:
    """Look up a country's published scores.

    Parameters
    ----------
    country
        ISO code, name or common alias.
    targets
        The id of a target set, or a CSV file.
    instrument
        Whose dimensions the scores are on; of use for a CSV file.

    Returns
    -------
    Target
        ``scores`` by dimension (points, None where there is none), ``country``, ``code`` and ``provenance``.
    """
    return find_target(country, targets, _instrument(instrument).dimension_ids)


def targets(name: str | Path = "hofstede-2015") -> pd.DataFrame:
    """List the published scores of a target set as a table.

    Parameters
    ----------
    name
        The id of a target set, or a CSV file.

    Returns
    -------
    DataFrame
        A row for each country by its ``code``; columns ``country`` and, in points, one for each dimension.
    """
    rows = {one.code: {"country": one.country, **one.scores} for one in load_target_set(name).targets}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("code")


def align(
    model: str | Model = "embedded",
    country: str | Target | None = None,
    *,
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> Run:
    """Search for a soft prompt that brings a model's scores to a country's; what ``acculturate align`` does.

    Parameters
    ----------
    model
        A loaded model, or the name of one.
    country
        Whose scores to reach: code, name, or a ``target`` of a built-in set.
    out
        The run directory: the same call goes on with an interrupted run and returns a finished one. By default a
        temporary directory.
    callbacks
        Who follows the run, and may stop the search.
    settings
        Settings of the run by name (docs/cli.md).

    Returns
    -------
    Run
        The finished run: ``verdict``, ``prompt``, tables and figures.

    Raises
    ------
    UserError
        For every mistake in the settings or the directory, in one sentence.
    """
    spec = make_spec(_values(model, country, settings), "the call of align")
    folder = run_folder(out)
    result = align_run.align(spec, folder, Callbacks.of(callbacks), _lent(model))
    write_report(folder, result)
    return Run(folder, result)


def multitask(
    model: str | Model,
    countries: Sequence[str],
    *,
    shared_tokens: int = multitask_run.SHARED_TOKENS,
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> MultitaskRun:
    """Search for soft prompts of several countries that share their first tokens.

    Parameters
    ----------
    model, out, callbacks, settings
        As in ``align``.
    countries
        Whose scores to reach; two or more.
    shared_tokens
        Virtual tokens that all of them share.

    Returns
    -------
    MultitaskRun
        The finished run: its table, and with ``country(code)`` the ``Run`` of one country.
    """
    values = _values(model, None, settings) | {"country": list(countries), "shared_tokens": shared_tokens}
    spec = multitask_run.multitask_spec(values, "the call of multitask")
    folder = run_folder(out)
    record = multitask_run.multitask(spec, folder, Callbacks.of(callbacks), _lent(model))
    multitask_run.write_reports(folder, record)
    return MultitaskRun(folder, record)


def pareto(
    model: str | Model = "embedded",
    country: str | Target | None = None,
    *,
    against: str | Path = "untuned",
    out: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    **settings: Unpack[Keywords],
) -> FrontRun:
    """Search for the front between closeness to a country's scores and a second objective.

    Parameters
    ----------
    model, country, out, callbacks, settings
        As in ``align``.
    against
        ``untuned`` (stay near its answers) or a CSV of questions to get right.

    Returns
    -------
    FrontRun
        The finished run: its table, and with ``prompt(point)`` the prompt of one point.
    """
    spec = make_spec(_values(model, country, settings), "the call of pareto")
    folder = run_folder(out)
    front = pareto_run.pareto(spec, str(against), folder, Callbacks.of(callbacks), _lent(model))
    write_front_page(folder, front)
    return FrontRun(folder, front)


def compare(runs: Iterable[Run | str | Path], targets: str | Path | None = None) -> Comparison:
    """Compare finished runs of different countries, to see whether each prompt is nearest to its own country.

    Parameters
    ----------
    runs
        Runs of ``align``, or their directories.
    targets
        Also rank each among all countries of this set.

    Returns
    -------
    Comparison
        ``to_frame()`` has every distance in points; ``find(row, role)`` one matrix, with its ranks and what chance
        gives; ``notes`` what could not be compared.
    """
    opened = [one if isinstance(one, Run) else open_run(one) for one in runs]
    for one in opened:
        if not isinstance(one, Run):
            raise RunDirectoryError(
                f"The run in '{one.path}' is of the kind {one.kind}; compare takes runs for one country."
            )
    results = [Compared.model_validate(one.to_dict()) for one in opened]
    table = None if targets is None else load_target_set(targets)
    return compare_results(results, table, names=[str(one.path) for one in opened])


class PromptSearch:
    """Search for a soft prompt in memory, generation by generation: iterate over it, and leave when you like.

    Nothing is written, audited or judged; ``align`` does that. The same settings give the same generations.

    Parameters
    ----------
    model, country, settings
        As in ``align``.
    """

    def __init__(
        self, model: str | Model = "embedded", country: str | Target | None = None, **settings: Unpack[Keywords]
    ) -> None:
        spec = make_spec(_values(model, country, settings), "the call of PromptSearch")
        prepared = prepare(spec)
        self.problem = prepared.problem
        self._ready = align_run.Ready(prepared, _lent(model) or Respondent(spec.choice))
        self._state = self._ready.loop.optimizer.init(self._ready.start, spec.seed)
        self.progress = Progress.before(self._ready.start, spec.seed)

    def __iter__(self) -> Iterator[Generation]:
        """Evaluate generation after generation until the budget is spent; a second loop goes on where one was left."""
        for state, progress, generation in self._ready.loop.steps(self._state, self.progress):
            self._state, self.progress = state, progress
            yield generation

    @property
    def prompt(self) -> SoftPrompt:
        """The best prompt so far.

        Raises
        ------
        UserError
            Before any candidate gave numbers.
        """
        if not np.isfinite(self.progress.winner_judged):
            raise SettingError("No candidate gave numbers yet, so there is no prompt; go on with the search.")
        return self._ready.prompt(self.progress)


def _instrument(named: str | Instrument) -> Instrument:
    return named if isinstance(named, Instrument) else load_instrument(named)


def _values(model: str | Model, country: str | Target | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put the settings of a run together, of which a loaded model and a target bring some."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    if isinstance(model, Model):
        choice = model.choice
        own = {name: value for name, value in asdict(choice).items() if name != "name"}
        for name, value in own.items():
            if values.get(name, value) != value:
                raise SettingError(
                    f"The model was loaded with {name} = {value!r}, and this call names {values[name]!r}; "
                    "load it as you want it."
                )
        values |= {"model": choice.name, **own}
    else:
        values["model"] = model
    if isinstance(country, Target):
        values = {"targets": country.target_set} | values | {"country": country.code}
    elif country is not None:
        values["country"] = country
    return values


def _lent(model: str | Model) -> Respondent | None:
    return model.respondent if isinstance(model, Model) else None
