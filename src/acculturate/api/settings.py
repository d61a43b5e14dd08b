"""Settings of a run as Python gives them: a loaded model and a target bring some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acculturate.api.model import Model
from acculturate.errors import SettingError
from acculturate.model.respondent import Respondent
from acculturate.survey.targets import Target


def run_values(model: str | Model, country: str | Target | None, settings: Mapping[str, Any]) -> dict[str, Any]:
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


def lent(model: str | Model) -> Respondent | None:
    """Return the respondent of a loaded model; None where the run loads it."""
    return model.respondent if isinstance(model, Model) else None
