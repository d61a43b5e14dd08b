"""A loaded model in Python: scored, audited and evaluated; instruments and targets to ask it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import pandas as pd

from acculturate.judge.audit import Audit
from acculturate.judge.audits import audit_model, ceilings, with_ceilings
from acculturate.knowledge.specimens import FLUENCY
from acculturate.knowledge.task import Task
from acculturate.model.answer_kind import answers_of
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt, read_prompt
from acculturate.model.tuned import TunedModel
from acculturate.runs.evaluate import Evaluated, tasks_of
from acculturate.runs.evaluate import evaluate as evaluate_respondent
from acculturate.runs.score import Asking, ScoreKeywords, Scores, score_respondent
from acculturate.survey.instrument import Instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.targets import Target, find_target, load_target_set

TASKS = ("mini", "general", "scenarios", FLUENCY)
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
        return score_respondent(self.respondent, laid_out, how, _prompt(prompt))

    def evaluate(
        self,
        tasks: str | Task | Sequence[str | Task] = TASKS,
        *,
        prompt: SoftPrompt | str | Path | None = None,
        answers: str = "probabilities",
        limit: int | None = None,
        countries: Sequence[str] = (),
    ) -> Evaluated:
        """Measure what the model knows and how it writes, without and with a soft prompt.

        Parameters
        ----------
        tasks
            Tasks, or their names: built in, published (``NAME=FILE`` for a file of one's own copy), or a file of
            questions; ``fluency`` for how it writes (docs/tasks.md).
        prompt
            A soft prompt, its file or its run; None for the untuned model alone.
        answers
            ``probabilities`` of the labels, averaged over all turns of the options, or another way but ``sampled``.
        limit
            Questions of each task to ask, at most.
        countries
            Ask only what is about these.

        Returns
        -------
        Evaluated
            ``to_frame()`` has every figure with its interval, paired with the untuned model; ``answers`` every answer.

        Raises
        ------
        UserError
            For a task that is unknown or cannot be read, and a prompt that does not fit.
        """
        chosen, writing = tasks_of(tasks, limit=limit, countries=countries)
        return evaluate_respondent(
            self.respondent,
            chosen,
            prompt=_prompt(prompt),
            prompt_from="" if prompt is None or isinstance(prompt, SoftPrompt) else str(prompt),
            answers=answers,
            writing=writing,
        )

    def tuned(self, prompt: SoftPrompt | str | Path) -> TunedModel:
        """Apply a soft prompt to the model, for everything that transformers does with a model (docs/serving.md).

        Parameters
        ----------
        prompt
            A soft prompt, its file or its run.

        Returns
        -------
        TunedModel
            A model of transformers, which generates with the prompt in its slot. This one stays as it is.

        Raises
        ------
        UserError
            For a prompt that does not fit the model, and a model that does not generate from embeddings.
        """
        soft = prompt if isinstance(prompt, SoftPrompt) else read_prompt(Path(prompt).expanduser())
        return TunedModel(self.respondent, soft)

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
    device_map: str = "none",
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
    device_map
        ``none``, or how to spread the model over all devices: ``auto``, ``balanced``, ``balanced_low_0`` or
        ``sequential`` (needs acculturate[large]).

    Returns
    -------
    Model
        The model in memory.

    Raises
    ------
    UserError
        Where it cannot be loaded, or is no model that can be asked.
    """
    return Model(ModelChoice(name, revision, dtype, device, quantize, trust_remote_code, device_map))


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


class EvaluateKeywords(TypedDict, total=False):
    """Name the keywords of ``Model.evaluate`` besides the tasks."""

    prompt: SoftPrompt | str | Path | None
    answers: str
    limit: int | None
    countries: Sequence[str]


def evaluate(
    model: str | Model = "embedded",
    tasks: str | Task | Sequence[str | Task] = TASKS,
    **how: Unpack[EvaluateKeywords],
) -> Evaluated:
    """Measure what a model knows and how it writes: ``Model.evaluate`` for a loaded model or one by name.

    Parameters
    ----------
    model
        A loaded model, or the name of one, which is loaded in float32 for this call.
    tasks, how
        As in ``Model.evaluate``.

    Returns
    -------
    Evaluated
        Every figure with its interval, and every answer.
    """
    return _measured(model).evaluate(tasks, **how)


def _prompt(named: SoftPrompt | str | Path | None) -> SoftPrompt | None:
    return named if named is None or isinstance(named, SoftPrompt) else read_prompt(Path(named).expanduser())


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


def _instrument(named: str | Instrument) -> Instrument:
    return named if isinstance(named, Instrument) else load_instrument(named)
