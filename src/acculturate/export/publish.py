"""Uploads of exports to the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from acculturate.errors import SettingError, UserError, first_line, setting

_NAME = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}")
_UNREACHED = {"ConnectionError", "ConnectError", "ConnectTimeout", "OfflineModeIsEnabled", "ReadTimeout", "OSError"}


def check_name(repository: str) -> None:
    """Refuse what cannot name a repository of the hub; raises ``UserError``."""
    if not _NAME.fullmatch(repository):
        raise SettingError(
            f"{setting('push', repository[:60])} names no repository of the hub; expected OWNER/NAME, like "
            "me/prompt-sau."
        )


def publish(folder: Path, repository: str) -> None:
    """Upload a folder to a private repository of the hub, which is made where there is none.

    Raises ``UserError`` where the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Soft prompt")
    except Exception as error:  # the library's own, and those of what it is built on
        raise UserError(_why(error, folder, repository)) from error


def _why(error: Exception, folder: Path, repository: str) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _UNREACHED and "HfHubHTTPError" not in names:
        why = "the hub cannot be reached from here"
    elif (
        getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
        or "LocalTokenNotFoundError" in names
    ):
        why = "the hub asks for a login with the right to write there (hf auth login)"
    else:
        why = first_line(error)
    return f"The export is whole in '{folder}' but was not uploaded to '{repository}': {why}."
