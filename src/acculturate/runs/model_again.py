"""The model of a finished run, loaded again: where the run found it or where it is now, and only if it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from acculturate.errors import RunDirectoryError, setting
from acculturate.judge.records import Result
from acculturate.legible import shown
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent

_CONTENT = ("sha256", "files_sha256", "config_sha256", "revision")
_DATE = "template_date"
"""The day that a chat template is told: another one puts other questions."""


@dataclass(frozen=True)
class ModelNow:
    """Say where the model of a run is now.

    Parameters
    ----------
    name
        A Hugging Face id, a local directory or a GGUF file; by default where the run found it.
    trust_remote_code
        Whether code that comes with the model may run: what the run's settings say of it was somebody else's word.
    """

    name: str | None = None
    trust_remote_code: bool = False

    def of(self, choice: ModelChoice) -> ModelChoice:
        """Return a run's choice of a model with the model of now."""
        # A directory or a file has no revisions, and its contents are compared.
        named = {} if self.name is None else {"name": self.name, "revision": None}
        return replace(choice, trust_remote_code=self.trust_remote_code, **named)


WHERE_IT_WAS = ModelNow()
"""The model is where the run found it."""


def model_again(run: Path, choice: ModelChoice, result: Result) -> Respondent:
    """Load the model of a run in float32, or quantised as it was; ``UserError`` where it is not the same.

    A model of another name is the same where its contents and its template are.
    """
    respondent = Respondent(choice if choice.quantize != "none" else replace(choice, dtype="float32"))
    before, now = result.model.root, respondent.identity
    if now == before:
        return respondent
    if now["model"] == before.get("model"):
        raise RunDirectoryError(
            f"The model of the run in '{run}' has changed since; restore it, name the place of the same one with "
            f"{setting('model')}, or make a new run with the one there is."
        )
    if not same_model(now, before) or now.get(_DATE) != before.get(_DATE):
        raise RunDirectoryError(
            f"Model {shown(choice.name)} is not the one of the run in '{run}' ({shown(before.get('model', ''))}), or "
            f"nothing shows that it is; name a copy of that one with {setting('model')}."
        )
    return respondent


def same_model(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tell whether two identities are of one model: by content where both say it, else by name."""
    shared = [key for key in _CONTENT if key in one and key in other and len(one[key]) == len(other[key])]
    return all(one[key] == other[key] for key in shared) if shared else one.get("model") == other.get("model")
