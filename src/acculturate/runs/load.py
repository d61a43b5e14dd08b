"""Finished runs as objects: verdict, prompt and figures as data frames, read from a directory."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pandas as pd
import pyarrow

from acculturate.errors import RunDirectoryError
from acculturate.export.export import Exported
from acculturate.files.checksums import check_sum
from acculturate.files.record import RunRecord
from acculturate.files.run_directory import run_folder
from acculturate.judge.front import Front
from acculturate.judge.records import Result, Verdict
from acculturate.knowledge.task import Task
from acculturate.model.soft_prompt import FILE, SoftPrompt, read_prompt, read_prompts
from acculturate.model.tuned import TunedModel
from acculturate.report import plots
from acculturate.runs.evaluate import Evaluated, evaluate_run, tasks_of
from acculturate.runs.export import export_run
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.front import FRONT, PROMPTS
from acculturate.runs.model_again import ModelNow
from acculturate.runs.multitask import RECORD as MULTITASK
from acculturate.runs.prompts import load_prompt
from acculturate.runs.records import Multitask, RunKind, Steered, kind_of
from acculturate.runs.steer import RECORD as STEERED
from acculturate.runs.steer import steer
from acculturate.search.callbacks import Callback, Callbacks
from acculturate.search.history import EVALUATIONS
from acculturate.survey.formats import ROLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

R = TypeVar("R", bound=RunRecord)


@dataclass(frozen=True, eq=False)
class FinishedRun(Mapping[str, Any], Generic[R]):
    """Hold a finished run: its directory and its record, whose JSON can be read as that of a dict.

    Parameters
    ----------
    path
        The run's directory.
    record
        Its record, like ``result.json``.
    """

    path: Path
    record: R

    @cached_property
    def _json(self) -> dict[str, Any]:
        return self.record.to_json()

    def __getitem__(self, key: str) -> Any:
        return self._json[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)

    @property
    def kind(self) -> RunKind:
        """What this is a run of."""
        return kind_of(self.record)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it stands on disk."""
        return self.record.to_json()

    def table(self) -> pd.DataFrame:
        """Return the figures that sum the run up."""
        raise NotImplementedError

    def model(
        self,
        *,
        model: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        trust_remote_code: bool = False,
    ) -> TunedModel:
        """Load the run's model and apply its prompt; a run with several prompts is refused.

        Parameters
        ----------
        model
            Where the run's model is now; by default where the run found it.
        dtype
            Precision; runs measure in float32.
        device
            Where to compute; by default as the run did.
        trust_remote_code
            Run code that comes with the model.

        Returns
        -------
        TunedModel
            A model of transformers, which generates with the prompt in its slot.

        Raises
        ------
        UserError
            Where the run has several prompts, or its model has changed since.
        """
        respondent, prompt = load_prompt(
            self.path, model=model, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )
        assert prompt is not None
        return TunedModel(respondent, prompt)

    def _title(self) -> str:
        return f"{self.kind} run in {self.path}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self._title())}</b></p>{self.table().to_html(float_format='%.3g')}"


@dataclass(frozen=True, eq=False)
class Run(FinishedRun[Result]):
    """Hold a finished run for one country (``align``, or one country of ``multitask``)."""

    @property
    def verdict(self) -> Verdict:
        """Whether the prompt aligned the model, in plain words."""
        return self.record.verdict

    @cached_property
    def prompt(self) -> SoftPrompt:
        """The tuned prompt; raises ``UserError`` where its file is missing or damaged."""
        return read_prompt(self.path)

    def table(self) -> pd.DataFrame:
        """Return the table of the run: one row for each way of asking, like ``naive`` and ``tuned``.

        Returns
        -------
        DataFrame
            Columns: ``label``, and for every role that was asked ``loss`` (points), ``mae`` (points per dimension)
            and ``mass`` (0..1), like ``heldout_loss``.
        """
        rows = {}
        for row in self.record.rows:
            line: dict[str, Any] = {"label": row.label}
            for role in ROLES:
                if (figures := row.on(role)) is not None:
                    line |= {f"{role}_loss": figures.loss, f"{role}_mae": figures.mae, f"{role}_mass": figures.mass}
            rows[row.id] = line
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("row")

    def scores(self) -> pd.DataFrame:
        """Return the dimension scores in long form, in points.

        Returns
        -------
        DataFrame
            One line for each row of the table, view and dimension: ``row``, ``role``, ``view``, ``dimension``,
            ``score``, ``target`` (NaN where the target set has none).
        """
        target = self.record.target.scores
        lines = [
            {"row": row.id, "role": view.role.value, "view": view.view, "dimension": name, "score": score}
            | {"target": target.get(name)}
            for row in self.record.rows
            for view in row.by_view
            for name, score in view.scores.items()
        ]
        return pd.DataFrame(lines).astype({"score": float, "target": float})

    def curve(self) -> pd.DataFrame:
        """Return the course of the search, one line for each generation.

        Returns
        -------
        DataFrame
            ``evaluations``; ``best`` and ``median`` training loss and ``validation`` loss, in points; ``mass`` (0..1).
        """
        return pd.DataFrame([point.to_json() for point in self.record.search.curve]).astype(
            dict.fromkeys(("best", "median", "mass", "validation"), float)
        )

    def evaluations(self) -> pd.DataFrame:
        """Return every candidate that the search evaluated; raises ``UserError`` where the file is missing.

        Returns
        -------
        DataFrame
            ``generation``, ``index`` in it, ``loss`` (points), ``mass`` (0..1) and ``scores`` by view.
        """
        file = next((p for p in (self.path / EVALUATIONS, self.path.parent / EVALUATIONS) if p.is_file()), None)
        if file is None:
            raise RunDirectoryError(
                f"The run in '{self.path}' has no {EVALUATIONS}; give its command again to write it anew."
            )
        check_sum(file)
        try:
            return pd.read_parquet(file)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise RunDirectoryError(
                f"'{file}' is cut off or damaged; restore it, or remove the run's {RESULT} and give its command again, "
                "which writes both anew."
            ) from error

    def steer(
        self,
        scores: Mapping[str, int | float],
        *,
        out: str | Path | None = None,
        budget: int = 100,
        free: bool = False,
        parallel: str = "none",
        callbacks: Iterable[Callback] = (),
    ) -> SteeredRun:
        """Propose a prompt for scores of one's own; what ``acculturate steer`` does with a run of dfgn.

        Parameters
        ----------
        scores
            Dimension to points, like ``{"PDI": 80}``.
        out
            Directory of the steered prompt; by default a temporary one.
        budget
            Candidate evaluations beyond the first proposals.
        free
            Let dimensions that are not named go anywhere instead of keeping them.
        parallel
            Processes that share the candidates, as for ``align`` (docs/scaling.md).
        callbacks
            Who follows the search.

        Returns
        -------
        SteeredRun
            The steered prompt, and the table of what was wanted and reached.

        Raises
        ------
        UserError
            For a run that was not searched with dfgn, and for scores that no answers give.
        """
        folder = run_folder(out)
        watchers, wanted = Callbacks.of(callbacks), {name: float(points) for name, points in scores.items()}
        how = {"free": free, "budget": budget, "parallel": parallel}
        record = steer(self.path, wanted, folder, **how, callbacks=watchers)
        watchers.finished(folder)
        return SteeredRun(folder, record)

    def evaluate(
        self,
        tasks: str | Task | Sequence[str | Task],
        *,
        answers: str | None = None,
        limit: int | None = None,
        countries: Sequence[str] = (),
        model: str | None = None,
        trust_remote_code: bool = False,
    ) -> Evaluated:
        """Measure what the prompt changes beyond the survey, as ``acculturate evaluate`` does; the report shows it.

        Parameters
        ----------
        tasks
            Tasks or their names, and ``fluency`` (docs/tasks.md).
        answers
            How answers are read; by default as in the run.
        limit, countries
            Questions of each task to ask, at most, and whom they are about.
        model
            Where the run's model is now; by default where the run found it.
        trust_remote_code
            Whether code that comes with the model may run, whatever the run's settings say.

        Returns
        -------
        Evaluated
            Every figure with its interval, paired with the untuned model, and every answer.

        Raises
        ------
        UserError
            For a task that is unknown or cannot be read, and a model that has changed since.
        """
        chosen, writing = tasks_of(tasks, limit=limit, countries=countries)
        now = ModelNow(model, trust_remote_code)
        return evaluate_run(self.path, chosen, answers=answers, writing=writing, model=now)

    def export(
        self,
        to: str,
        *,
        out: str | Path | None = None,
        verify: bool = True,
        gguf: str | Path | None = None,
        push: str | None = None,
        model: str | None = None,
        trust_remote_code: bool = False,
    ) -> Exported:
        """Write the prompt in the form of another engine, and compare the two; what ``acculturate export`` does.

        Parameters
        ----------
        to
            ``safetensors``, ``peft``, ``peft-tokens``, ``tokens``, ``embeds`` or ``gguf`` (docs/export.md).
        out
            Folder of the export; by default in the run.
        verify
            Whether the export is loaded by the other library in a new process and asked the run's questionnaire.
        gguf
            A GGUF file of the model, for the form ``gguf``; by default the run's own.
        push
            A repository of the Hugging Face hub to upload the export to; by default none.
        model
            Where the run's model is now; by default where the run found it.
        trust_remote_code
            Whether code that comes with the model may run, whatever the run's settings say.

        Returns
        -------
        Exported
            Its folder, and how far its answers are from the run's.

        Raises
        ------
        UserError
            Where this form cannot hold the prompt, or the export answers otherwise than the run.
        """
        return export_run(
            self.path,
            to,
            out=None if out is None else Path(out),
            verify=verify,
            gguf=None if gguf is None else Path(gguf),
            push=push,
            model=ModelNow(model, trust_remote_code),
        )

    def plot_curve(self) -> Figure:
        """Draw the course of the search for a paper (needs acculturate[plots])."""
        return plots.curve(self.curve())

    def plot_scores(self) -> Figure:
        """Draw untuned, tuned and target scores by dimension for a paper (needs acculturate[plots])."""
        return plots.scores(self.scores())

    def _title(self) -> str:
        return self.verdict.headline


@dataclass(frozen=True, eq=False)
class MultitaskRun(FinishedRun[Multitask]):
    """Hold a finished run for several countries; ``country`` gives the run of one."""

    @property
    def countries(self) -> tuple[str, ...]:
        """The codes of the countries."""
        return tuple(one.code for one in self.record.countries)

    def country(self, code: str) -> Run:
        """Return the run of one country by its code; raises ``UserError`` for a code that it does not have."""
        if code not in self.countries:
            raise RunDirectoryError(
                f"The run in '{self.path}' has no country '{code}'; name one of {', '.join(self.countries)}."
            )
        return Run(self.path / code, read_record(self.path / code / RESULT, Result))

    def table(self) -> pd.DataFrame:
        """Return losses in points, untuned (columns ``naive``) and tuned, by country and role."""
        rows = {}
        for one in self.record.countries:
            line: dict[str, Any] = {"country": one.country, "verdict": one.verdict.value}
            for role in ROLES:
                if (losses := one.on(role)) is not None:
                    line |= {f"{role}_naive": losses.untuned, f"{role}_tuned": losses.tuned}
            rows[one.code] = line
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("code")


@dataclass(frozen=True, eq=False)
class FrontRun(FinishedRun[Front]):
    """Hold a finished front: prompts between closeness to a country and a second objective."""

    def prompt(self, point: int) -> SoftPrompt:
        """Return the prompt of one point, by its number from 1; raises ``UserError`` if there is none."""
        prompts = read_prompts(self.path / PROMPTS)
        if not 1 <= point <= len(prompts):
            raise RunDirectoryError(
                f"The front in '{self.path}' has no point {point}; name one from 1 to {len(prompts)}."
            )
        return prompts[point - 1]

    def table(self) -> pd.DataFrame:
        """Return the points of the front: ``survey`` (points), ``second`` (see the record) and ``mass`` by role."""
        rows = {}
        for point in self.record.points:
            line: dict[str, Any] = {}
            for role in ROLES:
                if (figures := point.on(role)) is not None:
                    line |= {f"{role}_{name}": getattr(figures, name) for name in ("survey", "second", "mass")}
            rows[point.point] = line
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("point")


@dataclass(frozen=True, eq=False)
class SteeredRun(FinishedRun[Steered]):
    """Hold a prompt that was steered to scores of one's own."""

    @cached_property
    def prompt(self) -> SoftPrompt:
        """The steered prompt; raises ``UserError`` where its file is missing or damaged."""
        return read_prompt(self.path)

    def table(self) -> pd.DataFrame:
        """Return what was wanted and what was reached by dimension, in points."""
        return (
            pd.DataFrame([one.to_json() for one in self.record.dimensions])
            .set_index("id")
            .rename_axis("dimension")
            .astype(float)
        )


def open_run(path: str | Path) -> Run | MultitaskRun | FrontRun | SteeredRun:
    """Open the directory of a finished run.

    Parameters
    ----------
    path
        The directory that ``align``, ``multitask``, ``pareto`` or ``steer`` was given.

    Returns
    -------
    Run, MultitaskRun, FrontRun or SteeredRun
        By the kind of run.

    Raises
    ------
    UserError
        Where there is no finished run, or where its record is damaged.
    """
    folder = Path(path).expanduser()
    if (folder / RESULT).exists():
        return Run(folder, read_record(folder / RESULT, Result))
    if (folder / MULTITASK).exists():
        return MultitaskRun(folder, read_record(folder / MULTITASK, Multitask))
    if (folder / FRONT).exists():
        return FrontRun(folder, read_record(folder / FRONT, Front))
    if (folder / STEERED).exists():
        return SteeredRun(folder, read_record(folder / STEERED, Steered))
    if (folder / "spec.json").exists():
        raise RunDirectoryError(f"The run in '{folder}' is not finished; give its command again to finish it.")
    raise RunDirectoryError(
        f"There is no run in '{folder}'; give the directory of a finished one, where its {FILE} lies."
    )
