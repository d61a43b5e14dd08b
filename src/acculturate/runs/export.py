"""Exports of finished runs: the prompt with its model in the form of another engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acculturate.errors import RunDirectoryError, SettingError
from acculturate.export.export import Exported, export_prompt
from acculturate.export.folder import check_place
from acculturate.export.kinds import ExportKind, check_form, kind_named
from acculturate.export.parity import check_library
from acculturate.export.publish import check_name, publish
from acculturate.export.subject import Subject
from acculturate.judge.records import Result
from acculturate.model.gguf import gguf_parts, is_gguf
from acculturate.model.loading import embedded_path, located
from acculturate.model.soft_prompt import read_prompt
from acculturate.runs.finished import RESULT, read_record, read_result
from acculturate.runs.model_again import WHERE_IT_WAS, ModelNow, model_again
from acculturate.runs.provenance import named_files
from acculturate.runs.records import MadeWith
from acculturate.runs.resolve import prepare
from acculturate.runs.spec import RunSpec, make_spec

FOLDER = "export"
"""Where exports stand in the directory of their run, each under the name of its form."""


def export_run(
    run: Path,
    to: str,
    *,
    out: Path | None = None,
    verify: bool = True,
    gguf: Path | None = None,
    push: str | None = None,
    model: ModelNow = WHERE_IT_WAS,
    stage: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the prompt of a finished run in the form of another engine, and compare the two.

    Parameters
    ----------
    run
        Directory of a finished run with one prompt for one country.
    to
        The form, one of ``export.kinds.ExportKind``.
    out
        Folder of the export; by default in the run.
    verify
        Whether the export is loaded by the other library and asked the run's questionnaire.
    gguf
        A GGUF file of the model, for the form gguf; by default the run's own.
    push
        A repository of the Hugging Face hub to upload the export to; None for nowhere.
    model
        Where the run's model is now.
    stage
        Is told what is being done.

    Raises
    ------
    UserError
        Where there is no such run, this form cannot hold its prompt, or the export answers otherwise than the run.
    """
    kind = kind_named(to)
    result = read_result(run)
    folder = run / FOLDER / kind.value if out is None else out
    check_place(folder)
    if verify:
        check_library(kind)
    if push is not None:
        check_name(push)
    exported = export_prompt(_subject(run, result, kind, gguf, model, stage), kind, folder, verify=verify, stage=stage)
    if push is not None:
        stage(f"uploading to {push}")
        publish(folder, push)
    return exported


def _subject(
    run: Path,
    result: Result,
    kind: ExportKind,
    gguf: Path | None,
    model: ModelNow,
    stage: Callable[[str], None],
) -> Subject:
    """Read a run and load its model; ``UserError`` where either has changed since."""
    prompt = read_prompt(run)
    spec = make_spec(result.spec, f"'{run / RESULT}'")
    if spec.quantize != "none" and kind is not ExportKind.SAFETENSORS:
        raise SettingError(
            f"This run measured a model loaded in {spec.quantize}, as no other library holds it; only "
            f"`to='{ExportKind.SAFETENSORS}'` exports its prompt."
        )
    _check_files(run, spec)
    choice = model.of(spec.choice)
    files = _gguf_files(choice.name, kind, gguf)
    check_form(kind, prompt.slot, files)
    problem = prepare(spec, check_method=False).problem
    stage("loading the model")
    respondent = model_again(run, choice, result)
    return Subject(
        respondent=respondent,
        prompt=prompt,
        result=result,
        questionnaire=problem.everything,
        loss=problem.survey(problem.everything),
        answers=spec.answers,
        source=located(choice)[0],
        gguf=files,
    )


def _check_files(run: Path, spec: RunSpec) -> None:
    """Refuse a run whose questionnaire can no longer be asked as it was."""
    file = run / "spec.json"
    before = read_record(file, MadeWith).files if file.is_file() else {}
    now = named_files(spec)
    changed = [name for name in ("instrument", "wording") if before.get(name, now.get(name)) != now.get(name)]
    if changed:
        raise RunDirectoryError(
            f"The {changed[0]} file of the run in '{run}' has changed since; restore it, or make a new run."
        )


def _gguf_files(model: str, kind: ExportKind, gguf: Path | None) -> tuple[Path, ...]:
    """Locate the GGUF files of a run's model: those named, or those that it was made with."""
    if kind is not ExportKind.GGUF:
        if gguf is not None:
            raise SettingError("`gguf` names a file for the form gguf; leave it out for any other.")
        return ()
    if gguf is not None and not gguf.is_file():
        raise SettingError(f"GGUF file '{gguf}' does not exist; give the path of a file of the run's model.")
    path = gguf or (embedded_path() if model == "embedded" else Path(model).expanduser())
    return tuple(gguf_parts(path)) if is_gguf(path) and path.is_file() else ()
