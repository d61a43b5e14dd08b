"""One frozen, validated description of a run; the command line and configuration files fill it in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acculturate.datafile import nearest, read_data_file
from acculturate.errors import UserError
from acculturate.formats import ROLES, Format, parse_format
from acculturate.loading import ModelChoice

# What each protocol asks where the user names no formats. The paper's: one format in one order. The balanced
# one: many different presentations in both orders to train on, since variety is what carries over (docs/validity.md),
# one to select the winner by, others to judge by.
PROTOCOLS: dict[str, dict[str, tuple[str, ...]]] = {
    "paper": {
        "train": ("digits/question-first/0/en/ascending",),
        "validation": (),
        "heldout": ("letters/question-first/1/en/ascending", "digits/options-first/2/en/descending"),
    },
    "balanced": {
        "train": (
            "letters/options-first/0/en",
            "digits/question-first/1/en",
            "letters/question-first/1/en",
            "digits/options-first/0/en",
            "lower/one-line/0/en",
            "symbols/options-first/1/en",
        ),
        "validation": ("digits/options-first/3/en",),
        "heldout": ("letters/question-first/2/en", "digits/options-first/2/en"),
    },
}

# Without it a search leaves what the model would ever say: option probabilities are renormalised, so a prompt may fit
# every score while an answer has become all but impossible (docs/validity.md).
MASS_PENALTY = 20.0

STARTS = ("blank", "vocabulary", "text", "culture", "noise")

Scalar = str | int | float | bool


class RunSpec(BaseModel):
    """Everything that decides what a run finds. Two runs with equal specs and code write equal files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    revision: str | None = None
    trust_remote_code: bool = False
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    quantize: Literal["none", "8bit", "4bit"] = "none"

    country: str
    targets: str = "hofstede-2015"
    instrument: str = "vsm2013"
    wording: str | None = None
    constant: Annotated[float, Field(allow_inf_nan=False)] = 50.0
    mas25: bool = False

    protocol: Literal["balanced", "paper"] = "balanced"
    train_formats: tuple[str, ...] | None = None
    validation_formats: tuple[str, ...] | None = None
    heldout_formats: tuple[str, ...] | None = None
    heldout_languages: tuple[str, ...] = ()
    heldout_items: tuple[str, ...] = ()
    sampled: bool = False

    slot: Literal["before_bos", "system", "user_end", "response_start"] = "response_start"
    tokens: Annotated[int, Field(ge=1, le=512)] = 2
    start: str | None = None
    text: str | None = None
    warm_start: str | None = None
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    space: Literal["full", "projection"] = "full"
    projection_dim: Annotated[int, Field(ge=1)] = 500

    optimizer: str = "auto"
    optimizer_options: dict[str, Scalar] = {}
    population: Annotated[int, Field(ge=2)] = 20
    budget: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
    anchor: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    mass_penalty: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    rows: Annotated[int, Field(ge=1)] = 1

    @field_validator("train_formats", "validation_formats", "heldout_formats")
    @classmethod
    def _readable(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in formats or ():
            try:
                parse_format(text)
            except UserError as error:
                raise ValueError(str(error)) from error
        return formats

    @model_validator(mode="after")
    def _consistent(self) -> RunSpec:
        if self.start is not None and self.start not in STARTS:
            raise ValueError(f"start is '{self.start}'; expected {', '.join(STARTS[:-1])} or {STARTS[-1]}")
        if self.start == "text" and not (self.text or "").strip():
            raise ValueError("start is 'text' but there is no text; give one with --text")
        if self.start != "text" and self.text is not None:
            raise ValueError(f"there is a text but start is '{self.begins}'; give --start text or leave the text out")
        if not self.formats("train"):
            raise ValueError("there is no format to train on; name at least one with --train-formats")
        known = {form.language for role in ("train", "validation") for form in self.formats(role)}
        for language in self.heldout_languages:
            if language in known:
                raise ValueError(f"the language '{language}' is asked during the search; hold out another one")
        seen = set(self.formats("train"))
        for role in ("validation", "heldout"):
            if not seen.isdisjoint(self.formats(role)):
                raise ValueError(f"a format for {role} is among those used before it; name each format once")
            seen |= set(self.formats(role))
        return self

    @property
    def balanced(self) -> bool:
        return self.protocol == "balanced"

    def formats(self, role: str) -> tuple[Format, ...]:
        """The formats of one role: train, validation or heldout."""
        named = getattr(self, f"{role}_formats")
        texts = PROTOCOLS[self.protocol][role] if named is None else named
        formats = [parse_format(text) for text in texts]
        if role == "heldout" and self.heldout_languages:
            # The first trained format in another language: nothing but the language is new in it.
            model = self.formats("train")[0]
            formats += [replace(model, variant=0, language=language) for language in self.heldout_languages]
        # Balanced, both orders are asked whichever is named: two names of one presentation are the same format.
        return tuple(dict.fromkeys(replace(f, order="ascending") if self.balanced else f for f in formats))

    @property
    def lost_mass_penalty(self) -> float:
        """Points of loss per nat of answer mass lost: as given, else the protocol's (the paper's loss has none)."""
        if self.mass_penalty is not None:
            return self.mass_penalty
        return MASS_PENALTY if self.balanced else 0.0

    @property
    def begins(self) -> str:
        """What the first population is made of: as given, else line breaks where random tokens would be the last thing
        before the answer, most of which they take away (docs/search.md). The paper's method begins with random tokens,
        and its loss has no price on lost answers.
        """
        if self.start is not None:
            return self.start
        return "blank" if self.balanced and self.slot == "response_start" else "vocabulary"

    @property
    def first_spread(self) -> float:
        """Length of the first population's offsets from a text, in embedding standard deviations per coordinate.

        As given; else 1 around a text, and 2 around line breaks: nearer to them the answers hardly move, farther away
        there are none (docs/search.md).
        """
        if self.spread is not None:
            return self.spread
        return 2.0 if self.begins == "blank" else 1.0

    @property
    def choice(self) -> ModelChoice:
        return ModelChoice(self.model, self.revision, self.dtype, self.device, self.quantize, self.trust_remote_code)


def make_spec(values: Mapping[str, object], source: str = "the command line") -> RunSpec:
    """A validated spec from plain values; every problem is one sentence that names the key and where it stands."""
    for key in values:
        if key not in RunSpec.model_fields:
            raise UserError(
                f"Unknown key '{key}' in {source}{nearest(key, RunSpec.model_fields)}; correct or remove it."
            )
    try:
        return RunSpec.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the run"
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        given = "" if not first["loc"] else f" (given: {first['input']!r})"
        raise UserError(f"Bad value for '{place}' in {source}{given}: {message}.") from error


def read_spec_file(path: Path) -> dict[str, object]:
    """The keys of a TOML or YAML run file, still to be validated together with the command line."""
    return {key: node.value for key, node in read_data_file(path).entries().items()}


def to_json(spec: RunSpec) -> dict[str, object]:
    """The settings as a record keeps them, with what the protocol gives: a later version may give something else."""
    given = json.loads(spec.model_dump_json())
    for role in ROLES:
        forms = spec.formats(role)
        given[f"{role}_formats"] = [form.presentation if spec.balanced else form.name for form in forms]
    return given | {"start": spec.begins, "spread": spec.first_spread, "mass_penalty": spec.lost_mass_penalty}
