"""Finished runs: whether all that they leave is there, and as it was written.

A record is checked once, where it is read: whoever is given one can count on its shape.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from acculturate.errors import RunDirectoryError, SettingError
from acculturate.files.checksums import SPEC, SUMS, check_sum, digest, read_sums, write_sums
from acculturate.files.record import Record
from acculturate.files.run_directory import RunDirectory, dump_json, read_json
from acculturate.files.tensor_file import DamagedFileError, read_tensors
from acculturate.files.whole_file import write_whole
from acculturate.judge.records import Result
from acculturate.legible import shown

RESULT = "result.json"
_PARQUET = b"PAR1"

R = TypeVar("R", bound=Record)


def read_record(path: Path, shape: type[R]) -> R:
    """Read a record of a run; ``UserError`` where it is not what was written or of this shape."""
    check_sum(path)
    read_json(path)  # says in its own words what is no JSON at all
    try:
        return shape.from_json(path.read_bytes())
    except ValidationError as error:
        raise RunDirectoryError(
            f"'{path}' is damaged or not of this version: {_complaint(error)}; restore it from a copy, or remove it "
            "and give its command again, which writes it anew."
        ) from error


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:60]
    if first["type"] == "missing":
        return f"'{place}' is missing"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    return f"'{place}' cannot be {shown(first['input'])}"


def read_result(run: Path, otherwise: str = "") -> Result:
    """Read the record of a finished run for one country; ``UserError`` where a directory holds none.

    ``otherwise``: what could be given in place of a run, to end the sentence.
    """
    if not (run / RESULT).is_file():
        raise SettingError(
            f"There is no finished run for one country in '{run}'; give the directory of one (acculturate align), or "
            f"of one country of a multitask run{otherwise}."
        )
    return read_record(run / RESULT, Result)


def finished(
    directory: RunDirectory, spec: Mapping[str, object], record: str, shape: type[R], *, beside: Sequence[str]
) -> R | None:
    """Read the record of a finished run of this spec; None where there is work to do, in a directory fit for it.

    ``record``: the file that is written last. ``beside``: the files that a finished run has too. Where one is missing
    or damaged, the run counts as interrupted: it goes on from its last checkpoint and writes all of them anew, byte for
    byte. ``UserError`` where it cannot.
    """
    directory.check(spec)
    directory.check_places(*beside, record, SUMS)
    last = directory.path / record
    if last.exists():
        whole = read_record(last, shape)
        harm = _harm(directory, beside)
        if harm is None:
            return whole
        if not directory.can_go_on():
            raise RunDirectoryError(
                f"In the finished run in '{directory.path}', {harm}, and it cannot be made anew from the journal and "
                "the checkpoints; restore it from a copy, or remove the directory to begin anew."
            )
        warnings.warn(
            f"In the finished run in '{directory.path}', {harm}; it goes on from its last checkpoint and writes its "
            "files anew.",
            stacklevel=3,
        )
    directory.check_writable()
    return None


def _harm(directory: RunDirectory, beside: Sequence[str]) -> str | None:
    """Say which file of a finished run is missing or not as it was written; None where all is well.

    A journal may be missing: nothing more is read from it.
    """
    folder = directory.path
    for name in beside:
        if not (folder / name).is_file():
            return f"{name} is missing"
    sums = read_sums(folder)
    for name in (*beside, directory.journal.name):
        path = folder / name
        if path.is_file() and (digest(path) != sums[name] if name in sums else _cut(path)):
            return f"{name} is cut off or damaged"
    return None


def _cut(path: Path) -> bool:
    """Tell whether a file from before there were checksums is visibly not whole, by what its kind says."""
    if path.suffix == ".safetensors":
        try:
            read_tensors(path, "acculturate")
        except DamagedFileError:
            return True
    if path.suffix == ".parquet":
        with path.open("rb") as file:
            first = file.read(4)
            file.seek(-min(4, path.stat().st_size), os.SEEK_END)
            return first != _PARQUET or file.read() != _PARQUET
    return False


def finish(directory: RunDirectory, record: str, value: Record, *, beside: Iterable[str]) -> None:
    """Write a run's record, with which it is finished, and before it the checksums.

    ``beside``: the files that were written before it, which the checksums name too.
    """
    directory.check_held()
    journal = [directory.journal.name] if directory.journal.is_file() else []
    write_last(directory.path, record, value, beside=(SPEC, *journal, *beside))


def write_last(folder: Path, record: str, value: Record, *, beside: Iterable[str]) -> None:
    """Write a record into a folder after the checksums of it and of the files ``beside`` it.

    In this order: whoever finds the record finds its checksum.
    """
    content = dump_json(value)
    digests = {name: digest(folder / name) for name in beside} | {record: hashlib.sha256(content).hexdigest()}
    write_sums(folder, digests)
    write_whole(folder / record, content)
