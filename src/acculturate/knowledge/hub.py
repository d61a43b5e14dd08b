"""Published data from the Hugging Face hub, through the optional library ``datasets``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from acculturate.errors import FileError, SettingError, first_line
from acculturate.files.rows import Row


def hub_rows(dataset: str, config: str | None, split: str, local: str, reading: Mapping[str, object]) -> list[Row]:
    """Download the rows of a dataset, or take them from the library's cache.

    Parameters
    ----------
    dataset, config, split
        Where they are: the id on the hub, the part of it (None where it has none), and the split.
    local
        What the user can write for a local file, to end complaints with.
    reading
        Settings for reading the dataset's files, used where they are of a kind that has these settings.

    Raises
    ------
    UserError
        Where the library is missing, or the dataset cannot be had: offline, not there, not open to all.
    """
    library = _library(dataset, local)
    try:
        found = _loaded(library, dataset, config, split, reading)
        rows = [Row(dataset, f"row {number}", dict(row)) for number, row in enumerate(found, start=1)]
    # The library raises what its own libraries do: of networks, of files, of formats.
    except Exception as error:
        part = ", ".join(part for part in (config, f"split {split}") if part)
        raise FileError(
            f"Cannot load {dataset} ({part}) from the hub: {_why(error)}; {_instead(dataset, local)}."
        ) from None
    if not rows:
        raise FileError(f"{dataset}: expected at least one row, found none.")
    return rows


def _library(dataset: str, local: str) -> Any:
    try:
        # Only tasks from the hub need it, and few users have it.
        library = importlib.import_module("datasets")
    except ImportError:
        library = None
    # A folder of this name, in which Python was started, is a module too.
    if library is None or not hasattr(library, "load_dataset"):
        raise SettingError(
            f"Loading {dataset} from the hub needs the package datasets: pip install 'acculturate[datasets]'; "
            f"or {_instead(dataset, local)}."
        )
    return library


def _loaded(library: Any, dataset: str, config: str | None, split: str, reading: Mapping[str, object]) -> Any:
    try:
        return library.load_dataset(dataset, config, split=split, **reading)
    except (TypeError, ValueError) as error:
        # The files are no longer of the kind that these settings are for.
        if not any(name in str(error) for name in reading):
            raise
        return library.load_dataset(dataset, config, split=split)


def _why(error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    said = str(error).casefold()
    if "GatedRepoError" in kinds or "gated dataset" in said:
        return "its makers open it only to those who ask on its page and log in"
    if isinstance(error, ConnectionError | TimeoutError) or "offline" in said:
        return "the hub cannot be reached from here, and the data are not in the cache"
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError", "DataFilesNotFoundError"}:
        return "it is not there, or not open to all"
    return first_line(error, 120)


def _instead(dataset: str, local: str) -> str:
    return f"get a file from https://huggingface.co/datasets/{dataset} and give {local}"
