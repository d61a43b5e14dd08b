"""Soft prompts of any directory or file that holds some, by name, and the one model that all of them are of."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acculturate.errors import RunDirectoryError, SettingError, setting
from acculturate.judge.records import Result, Verdict
from acculturate.legible import shown
from acculturate.model.choice import ModelChoice
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import FILE, SoftPrompt, check_fits, read_prompt, read_prompts
from acculturate.runs.finished import RESULT, read_record
from acculturate.runs.front import FRONT, PROMPTS
from acculturate.runs.model_again import same_model
from acculturate.runs.multitask import RECORD as MULTITASK
from acculturate.runs.records import Multitask
from acculturate.runs.spec import make_spec

UNTUNED = "untuned"
"""The name of the model without a prompt."""

_NAMED = re.compile(r"([\w.-]+)=(.+)", re.S)


@dataclass(frozen=True, eq=False)
class StoredPrompt:
    """Hold a soft prompt as it was stored.

    Parameters
    ----------
    name
        What it is called.
    prompt
        Its vectors, slot and model.
    path
        Where it stands.
    verdict
        What its run says of it; None where there is no such record.
    choice
        The model of its run and how that held it; from the prompt's identity where there is no record.
    """

    name: str
    prompt: SoftPrompt
    path: Path
    verdict: Verdict | None
    choice: ModelChoice


@dataclass(frozen=True, eq=False)
class Prompts:
    """Hold a model in memory and soft prompts for it by name, ``untuned`` (None) the last."""

    respondent: Respondent
    stored: tuple[StoredPrompt, ...]

    @property
    def by_name(self) -> dict[str, SoftPrompt | None]:
        """The prompts by name, in the order in which they were named."""
        return {one.name: one.prompt for one in self.stored} | {UNTUNED: None}


def stored_prompts(named: str | Path) -> list[StoredPrompt]:
    """Read the prompts at a path.

    Parameters
    ----------
    named
        A run directory, a prompt file or a PEFT adapter, as ``PATH`` or ``NAME=PATH``. Directories of several prompts
        (``multitask``, ``pareto``) add a country's code or a point's number to the name.

    Raises
    ------
    UserError
        Where there is no prompt, or its files are damaged.
    """
    match = None if Path(named).exists() else _NAMED.fullmatch(str(named))
    path = Path(match[2] if match else named).expanduser()
    name = match[1] if match else _name_of(path)
    if (path / MULTITASK).is_file():
        record = read_record(path / MULTITASK, Multitask)
        return [_of_result(f"{name}-{one.code}", path / one.code) for one in record.countries]
    if (path / RESULT).is_file():
        return [_of_result(name, path)]
    if (path / FRONT).is_file():
        return [_alone(f"{name}-{k}", one, path) for k, one in enumerate(read_prompts(path / PROMPTS), start=1)]
    return [_alone(name, read_prompt(path), path)]


def _name_of(path: Path) -> str:
    whole = path.resolve()
    return whole.parent.name if whole.name == FILE else whole.stem if whole.is_file() else whole.name


def _of_result(name: str, path: Path) -> StoredPrompt:
    result = read_record(path / RESULT, Result)
    # Code that comes with a model runs only where whoever is here now has read it.
    choice = replace(make_spec(result.spec, f"'{path / RESULT}'").choice, trust_remote_code=False)
    revision = result.model.root.get("revision", choice.revision)
    return StoredPrompt(name, read_prompt(path), path, result.verdict, replace(choice, revision=revision))


def _alone(name: str, prompt: SoftPrompt, path: Path) -> StoredPrompt:
    identity = prompt.identity
    if "model" not in identity:
        raise RunDirectoryError(f"The soft prompt at '{path}' does not say which model it is of; name one.")
    return StoredPrompt(name, prompt, path, None, ModelChoice(identity["model"], identity.get("revision")))


def named_prompts(paths: Sequence[str | Path]) -> tuple[StoredPrompt, ...]:
    """Read the prompts at several paths; ``UserError`` where two share a name, or are of different models."""
    stored = [one for path in paths for one in stored_prompts(path)]
    names = [one.name for one in stored]
    if UNTUNED in names:
        raise SettingError(f"'{UNTUNED}' names the model without a prompt; give the prompt another name: NAME=PATH.")
    for k, one in enumerate(stored):
        if one.name in names[:k]:
            first = stored[names.index(one.name)].path
            raise SettingError(
                f"'{first}' and '{one.path}' are both called {shown(one.name)}; give them names: NAME=PATH."
            )
        if not same_model(stored[0].prompt.identity, one.prompt.identity):
            raise SettingError(
                f"'{stored[0].path}' is of the model {shown(stored[0].choice.name)} and '{one.path}' of another "
                f"({shown(one.choice.name)}); one process holds one model, so name prompts of one."
            )
    return tuple(stored)


def load_prompts(
    paths: Sequence[str | Path],
    *,
    model: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Prompts:
    """Read prompts and load their model.

    Parameters
    ----------
    paths
        Where the prompts stand; none for the untuned model alone.
    model
        The model, by name; by default that of the first prompt.
    dtype
        Precision; by default float32, in which runs measure (a model that was quantised stays so).
    device
        Where to compute; by default as the first prompt's run did.
    trust_remote_code
        Run code that comes with the model.

    Raises
    ------
    UserError
        For prompts that are not of one model, a model that cannot be loaded or has changed since, and one that does not
        generate text from embeddings.
    """
    stored = named_prompts(paths)
    if model is None and not stored:
        raise SettingError(f"There is no model; give the directory of a run, or a model with {setting('model')}.")
    choice = stored[0].choice if model is None else ModelChoice(model)
    changes = {"dtype": dtype or (choice.dtype if choice.quantize != "none" else "float32")}
    changes |= {"device": device} if device else {}
    respondent = Respondent(replace(choice, **changes, trust_remote_code=trust_remote_code))
    for one in stored:
        note = check_fits(one.prompt, respondent.identity, respondent.hidden)
        if note and model is None:
            raise RunDirectoryError(
                f"The model of the prompt in '{one.path}' has changed since; restore it, or name one with "
                f"{setting('model')}."
            )
        if note:
            warnings.warn(note, stacklevel=2)
    _ = respondent.generated_side_by_side  # refuses an architecture that generates nothing
    return Prompts(respondent, stored)


def load_prompt(
    path: str | Path | None,
    *,
    model: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[Respondent, SoftPrompt | None]:
    """Load a model with one prompt, or none; as ``load_prompts``.

    Raises
    ------
    UserError
        Also for a directory of several prompts.
    """
    if path is not None and len(several := stored_prompts(path)) > 1:
        example = "one of its countries" if (Path(path) / MULTITASK).is_file() else "a point that acculturate pick took"
        raise SettingError(f"'{path}' holds {len(several)} prompts; give the directory of {example}.")
    prompts = load_prompts(
        [] if path is None else [path], model=model, dtype=dtype, device=device, trust_remote_code=trust_remote_code
    )
    return prompts.respondent, prompts.stored[0].prompt if prompts.stored else None
