"""One run from its settings to a finished directory, whatever its kind.

What a kind adds is how it is laid out, searched and measured; that it resumes, refuses another run's directory, is
audited, measured in float32 and finished with checksums stands here once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from acculturate.files.record import RunRecord
from acculturate.files.run_directory import RunDirectory
from acculturate.judge.audit import Audit
from acculturate.judge.audits import short_audit
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.opening import shared
from acculturate.model.pool.protocol import Pool
from acculturate.model.respondent import Respondent
from acculturate.runs.finished import finish, finished
from acculturate.runs.provenance import in_float32
from acculturate.runs.records import RunKind
from acculturate.search.callbacks import SILENT, Callbacks
from acculturate.survey.instrument import Instrument

F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)
R = TypeVar("R", bound=RunRecord)
R_co = TypeVar("R_co", bound=RunRecord, covariant=True)


@runtime_checkable
class LaidOut(Protocol[F_co]):
    """Describe a search with its model, ready to begin or to go on."""

    def search(self, directory: RunDirectory, callbacks: Callbacks) -> F_co:
        """Search until the budget is spent and return what is found, without the model."""
        ...


@runtime_checkable
class Kind(Protocol[F, R_co]):
    """Describe what one kind of run adds to the skeleton.

    Attributes
    ----------
    name
        Stands in spec.json and in the record.
    record, shape
        The file that is written last, and what it holds.
    beside
        Files that a finished run has besides its record, journal and checkpoints.
    instrument
        What the model is audited with; None for a kind that trusts an earlier audit.
    answers
        What counts as an answer, one of ``answer_kind.ANSWERS``.
    choice
        The model, and the precision of the search.
    parallel
        Who evaluates candidates (``RunSpec.parallel``).
    """

    @property
    def name(self) -> RunKind: ...

    @property
    def record(self) -> str: ...

    @property
    def shape(self) -> type[R_co]: ...

    @property
    def beside(self) -> Sequence[str]: ...

    @property
    def instrument(self) -> Instrument | None: ...

    @property
    def answers(self) -> str: ...

    @property
    def choice(self) -> ModelChoice: ...

    @property
    def parallel(self) -> str: ...

    def settings(self) -> Mapping[str, Any]:
        """Return what has to be equal for a directory to be gone on with, known before the model is loaded."""
        ...

    def made_with(self, respondent: Respondent) -> Mapping[str, Any]:
        """Return what else decides the numbers, known once the model is loaded."""
        ...

    def lay_out(self, respondent: Respondent) -> LaidOut[F]:
        """Prepare the search. All that can go wrong with this model goes wrong here, before a directory is made."""
        ...

    def measure(
        self, found: F, respondent: Respondent, audit: Audit | None, directory: RunDirectory, callbacks: Callbacks
    ) -> R_co:
        """Measure what was found, in float32, write the files beside the record and return the record."""
        ...


def carry_out(kind: Kind[F, R], out: Path, callbacks: Callbacks = SILENT, lent: Respondent | None = None) -> R:
    """Run, or go on with, a search in a directory and return its record.

    A finished run is returned as it is, and nothing is written. ``lent``: a model that is in memory already; it is
    used where it is the one of this run, and stays with its owner. Raises ``UserError`` for every mistake in the
    settings or the directory.
    """
    directory, settings = RunDirectory(out), settings_of(kind)
    if (done := _finished(kind, directory, settings)) is not None:
        return done
    if lent is None or lent.choice != kind.choice:
        callbacks.stage("loading the model")
        lent = None
    respondent = lent or Respondent(kind.choice)
    with shared(respondent, kind.parallel) as pool:
        return _worked(kind, directory, settings, callbacks, _Held(respondent, pool, lent=lent is not None))


@dataclass
class _Held:
    """Hold the model of a run; ``lent``: it stays with its owner."""

    respondent: Respondent
    pool: Pool | None
    lent: bool

    def to_float32(self) -> bool:
        """Put the model into float32, in all processes, and tell whether it was in another precision."""
        searched = self.respondent.model.dtype
        self.respondent = in_float32(self.respondent, keep=self.lent)
        self.respondent.pool = self.pool
        return self.respondent.model.dtype != searched


def _worked(
    kind: Kind[F, R], directory: RunDirectory, settings: Mapping[str, Any], callbacks: Callbacks, held: _Held
) -> R:
    callbacks.stage("laying out the questionnaire")
    laid_out = kind.lay_out(held.respondent)
    audit = _audited(kind, held.respondent, callbacks)
    # A kind may name more files than the settings do: its own word counts, in the place where it stands.
    made_with = {**settings, **kind.made_with(held.respondent), **settings}
    with directory.claimed(made_with), callbacks.during(directory.path):
        found = laid_out.search(directory, callbacks)
        del laid_out  # it holds the model, of which there may be room for one only
        callbacks.stage("measuring in float32")
        if held.to_float32() and audit is not None and kind.instrument is not None:
            audit = short_audit(held.respondent, kind.instrument, kind.answers)
        measured = kind.measure(found, held.respondent, audit, directory, callbacks)
        record = measured.model_copy(update={"kind": str(kind.name)})
        finish(directory, kind.record, record, beside=kind.beside)
        return record


def finished_record(kind: Kind[F, R], out: Path) -> R | None:
    """Read the record of a finished run; None where there is work to do, in a directory fit for it.

    Raises ``UserError`` where the directory holds something else, or a run that cannot go on.
    """
    return _finished(kind, RunDirectory(out), settings_of(kind))


def settings_of(kind: Kind[F, R]) -> dict[str, Any]:
    """Return what has to be equal for a directory to be gone on with, the kind of run included."""
    return {"kind": kind.name, **kind.settings()}


def _finished(kind: Kind[F, R], directory: RunDirectory, settings: Mapping[str, Any]) -> R | None:
    return finished(directory, settings, kind.record, kind.shape, beside=kind.beside)


def _audited(kind: Kind[F, R], respondent: Respondent, callbacks: Callbacks) -> Audit | None:
    if kind.instrument is None:
        return None
    callbacks.stage("auditing the model")
    audit = short_audit(respondent, kind.instrument, kind.answers)
    callbacks.stage(f"audit: {audit.verdict}")
    return audit
