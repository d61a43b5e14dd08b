"""One frozen, validated description of a run; the command line and configuration files fill it in."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from acculturate.errors import SettingError, UserError, setting
from acculturate.files.datafile import nearest, read_data_file
from acculturate.legible import legible, shown
from acculturate.model.answer_kind import AnswerKind
from acculturate.model.choice import ModelChoice
from acculturate.model.pool.parallel import Parallel
from acculturate.model.slot import Slot
from acculturate.search.start_kind import StartKind
from acculturate.survey.formats import ROLES, Format, parse_format
from acculturate.survey.protocols import protocol_formats

# Without it a search leaves what the model would ever say: option probabilities are renormalised, so a prompt may fit
# every score while an answer has become all but impossible (docs/validity.md).
MASS_PENALTY = 20.0

FRESH, CONSISTENCY = 4, 0.3
"""Of the crossed protocol: formats of a generation, and the share of what moves apart (docs/search.md)."""

BASELINES = ("persona", "in-context", "text", "random")
STARTS = tuple(kind.value for kind in StartKind)

BESIDE = ("parallel",)
"""Settings that decide no number: a run may be gone on with under others, and no record has them."""

TEXT, TEXT_METHOD = "text", "bocs"
"""The space of system messages, and the method that knows it."""
POPULATION = 20
MOST_TOKENS = 100_000
"""Virtual tokens of a population: in a model of 4,096 coordinates a search holds several gigabytes of them."""


_NOT_OF_TEXTS: Mapping[str, tuple[Any, ...]] = {
    "start": (None, "vocabulary"),
    "spread": (None, 1.0),
    "warm_start": (None,),
    "rows": (1,),
    "tokens": (2,),
    "parallel": ("none",),
    "fresh_formats": (None, 0),
}
"""What settings without a place among texts are where nobody gives them, here and in the record of a run."""


def _steady(text: str) -> str:
    """Refuse a text with control characters: it names no country, no model and no file that anybody means."""
    if legible(text) != text or any(mark in text for mark in "\n\t"):
        raise ValueError("expected text without line breaks and control characters")
    return text


Name = Annotated[str, Field(max_length=1000), AfterValidator(_steady)]
Names = Annotated[tuple[Name, ...], Field(max_length=200)]
Points = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Scalar = str | int | float | bool


@dataclass(frozen=True)
class Varies:
    """Say in words what holds where a setting is left out and its default is not one value."""

    default: str


_OF_PROTOCOL = Varies("the protocol's")


class RunSpec(BaseModel):
    """Hold the settings of a run: all that decides what it finds, and who computes it (``BESIDE``).

    Equal settings and code write equal files.
    The text under a field is its help on the command line, in docs/cli.md and in Python.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    model: Name = "embedded"
    """A Hugging Face id, a local directory, a GGUF file, or 'embedded'."""
    revision: Name | None = None
    """Revision of a Hugging Face model."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the search; results are measured in float32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model computes."""
    device_map: Literal["none", "auto", "balanced", "balanced_low_0", "sequential"] = "none"
    """Spread a model over all devices, main memory and disk (needs acculturate[large]; docs/scaling.md)."""
    quantize: Literal["none", "8bit", "4bit"] = "none"
    """Quantised loading (needs acculturate[quantized])."""

    country: Annotated[str, Field(max_length=100), AfterValidator(_steady)]
    """Whose scores to reach: ISO code, name or common alias."""
    targets: Name = "hofstede-2015"
    """Target set, or a CSV of your own (acculturate list targets)."""
    instrument: Name = "vsm2013"
    """Instrument id or file (acculturate list instruments)."""
    wording: Name | None = None
    """Your own text of the questionnaire, in any language (TOML or YAML)."""
    constant: Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)] = 50.0
    """Constant added to every dimension, in points."""
    mas25: bool = False
    """Legacy weight 25 in the second term of Masculinity (MAS)."""

    protocol: Literal["balanced", "crossed", "paper"] = "balanced"
    """'balanced': several formats, both option orders. 'crossed': more wordings, some a round. 'paper': one format."""
    train_formats: Annotated[Names | None, _OF_PROTOCOL] = None
    """Formats to train on: labels/layout/variant/language."""
    validation_formats: Annotated[Names | None, _OF_PROTOCOL] = None
    """Formats that help choose the winner; empty for none."""
    heldout_formats: Annotated[Names | None, _OF_PROTOCOL] = None
    """Formats the result is judged on; empty for none."""
    heldout_languages: Names = ()
    """Languages to be judged in too, like ar and zh: one held-out format each."""
    heldout_items: Names = ()
    """Items that the search does not ask, like m04 and m12, to see whether the prompt moves them."""
    answers: Literal["probabilities", "calibrated", "cloze", "cloze-prior", "cloze-sum", "sampled"] = "probabilities"
    """What counts as an answer: option labels, less their own pull, option texts or generated text (docs/method.md)."""
    baselines: Annotated[Names | None, Varies("as many as the budget affords")] = None
    """Rivals to measure beside the untuned model: persona, in-context, text and random; empty for none."""
    select_by: Name | None = None
    """Task that picks the winner among the best candidates, like general (docs/tasks.md)."""
    sampled: bool = False
    """At the end also ask by generated text, as the paper does."""

    slot: Literal["before_bos", "system", "user_end", "response_start"] = "response_start"
    """Where the prompt goes."""
    tokens: Annotated[int, Field(ge=1, le=512)] = 2
    """Virtual tokens of the soft prompt."""
    start: Annotated[Name | None, Varies("by protocol and slot")] = None
    """Begin from blank (line breaks), vocabulary, text, culture (texts on the country) or noise."""
    text: Annotated[str, Field(max_length=100_000)] | None = None
    """The text to begin from, where the start is text."""
    warm_start: Name | None = None
    """Begin from an earlier run's prompt (its directory or file) or a PEFT adapter."""
    spread: Annotated[
        Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None, Varies("2 for blank, 1 for text")
    ] = None
    """Spread of the first population around the text or line breaks, in embedding standard deviations."""
    space: Literal["full", "projection", "text"] = "full"
    """Search all coordinates ('full'), a random 'projection', or system messages made of value statements ('text')."""
    projection_dim: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Dimensions of a projection."""
    statements: Annotated[int, Field(ge=1, le=200)] = 12
    """Statements of a text at most, where texts are searched."""

    optimizer: Name = "auto"
    """Search method (acculturate list optimizers); 'auto' picks by evidence."""
    optimizer_options: dict[str, Scalar] = {}
    """Options of the search method by name (docs/search.md)."""
    population: Annotated[
        Annotated[int, Field(ge=2, le=10_000)], Varies(f"{POPULATION}, or the budget where that is less")
    ] = POPULATION
    """Candidates to begin with, and per generation of a population method."""
    budget: Annotated[int, Field(ge=1, le=10**9)] = 1000
    """Candidate evaluations to spend."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """All randomness follows from it."""
    anchor: Points = 0.0
    """Points of loss per nat of distance from the untuned answers."""
    fresh_formats: Annotated[Annotated[int, Field(ge=0, le=200)] | None, _OF_PROTOCOL] = None
    """Trained formats of each generation, drawn anew; 0: all of them in every generation."""
    consistency: Annotated[Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None, _OF_PROTOCOL] = None
    """Share of the points by which items move apart between formats to add to the loss."""
    response_style: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    """Share of the points to add to the loss by which shifts that all items of a scale share move the scores."""
    mass_penalty: Annotated[Points | None, _OF_PROTOCOL] = None
    """Points of loss per nat of answer mass lost; paper protocol 0, else 20."""
    rows: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Candidates per forward pass."""
    parallel: Name = "none"
    """Processes that share the candidates: none, local:N on this machine, ray or ray:N (docs/scaling.md)."""

    @model_validator(mode="before")
    @classmethod
    def _population_within_budget(cls, values: Any) -> Any:
        """Fill in the population that nobody gave: as many as usual, or as the budget pays for."""
        budget = values.get("budget")
        if "population" in values or not isinstance(budget, int) or budget >= POPULATION:
            return values
        return {**values, "population": max(2, budget)}

    @model_validator(mode="before")
    @classmethod
    def _texts_are_system_messages(cls, values: Any) -> Any:
        """Fill in the slot that nobody gave."""
        return {**values, "slot": Slot.SYSTEM.value} if values.get("space") == TEXT and "slot" not in values else values

    @field_validator("train_formats", "validation_formats", "heldout_formats")
    @classmethod
    def _readable(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in formats or ():
            try:
                parse_format(text)
            except UserError as error:
                raise ValueError(str(error)) from error
        return formats

    @field_validator("parallel")
    @classmethod
    def _parallel(cls, text: str) -> str:
        Parallel.parse(text)
        return text

    @model_validator(mode="after")
    def _consistent(self) -> RunSpec:
        for name in self.baselines or ():
            if name not in BASELINES:
                raise ValueError(
                    f"there is no baseline '{name}'; expected {', '.join(BASELINES[:-1])} or {BASELINES[-1]}"
                )
        if self.start is not None and self.start not in STARTS:
            raise ValueError(f"start is '{self.start}'; expected {', '.join(STARTS[:-1])} or {STARTS[-1]}")
        if self.start == "text" and not (self.text or "").strip():
            raise ValueError(f"start is 'text' but there is no text; give one with {setting('text')}")
        if self.start != "text" and self.text is not None:
            example = setting("start", "text")
            raise ValueError(f"there is a text but start is '{self.begins}'; give {example} or leave the text out")
        if self.answers == AnswerKind.SAMPLED and self.optimizer == "dfgn":
            example = setting("optimizer", "de")
            raise ValueError(f"dfgn models probabilities, and generated text has none; choose another, like {example}")
        if self.fresh_formats and self.fresh_formats >= len(self.formats("train")):
            raise ValueError(
                f"{self.fresh_formats} fresh formats are no choice among {len(self.formats('train'))} to train on; "
                f"give fewer, or 0 for all, or more formats with {setting('train_formats')}"
            )
        if not self.formats("train"):
            raise ValueError(f"there is no format to train on; name at least one with {setting('train_formats')}")
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

    @model_validator(mode="after")
    def _text_or_vectors(self) -> RunSpec:
        """Refuse settings of one kind of space in another."""
        if self.space != TEXT:
            if self.optimizer == TEXT_METHOD:
                example = setting("space", TEXT)
                raise ValueError(f"{TEXT_METHOD} chooses statements; give {example}, or another method")
            return self
        if self.slot != Slot.SYSTEM:
            raise ValueError(f"a text is a system message; leave {setting('slot')} out")
        for name, left in _NOT_OF_TEXTS.items():
            if getattr(self, name) not in left:
                raise ValueError(f"'{name}' has no place where texts are searched; leave it out")
        if self.optimizer == "dfgn" or self.answers == AnswerKind.SAMPLED:
            what = "dfgn moves vectors" if self.optimizer == "dfgn" else "generated text has no probabilities to model"
            raise ValueError(f"{what}; leave it out where texts are searched")
        if "random" in (self.baselines or ()):
            raise ValueError("there are no random prompts where texts are searched; leave that baseline out")
        return self

    @model_validator(mode="after")
    def _affordable(self) -> RunSpec:
        """Refuse sizes that no search spends and no memory holds."""
        if self.population > max(2, self.budget):
            raise ValueError(
                f"a population of {self.population:,} is more than the budget of {self.budget:,} candidates; "
                "give a smaller population or a larger budget"
            )
        if self.rows > self.population:
            raise ValueError(f"{self.rows:,} rows are more than the population of {self.population:,}; give fewer")
        if self.population * self.tokens > MOST_TOKENS:
            raise ValueError(
                f"a population of {self.population:,} prompts of {self.tokens} tokens is more than memory holds; "
                f"give less than {MOST_TOKENS:,} tokens in all"
            )
        return self

    @property
    def balanced(self) -> bool:
        """Whether every format is asked in both option orders."""
        return self.protocol != "paper"

    @property
    def fresh(self) -> int:
        """Trained formats of each generation: as given, else the protocol's, where the method can do with some."""
        if self.fresh_formats is not None:
            return self.fresh_formats
        some = self.protocol == "crossed" and self.optimizer in ("auto", "dfgn") and self.method == self.optimizer
        return FRESH if some and len(self.formats("train")) > FRESH else 0

    @property
    def agreement(self) -> float:
        """Share of the points by which items move apart between formats that is added: as given, else by protocol."""
        if self.consistency is not None:
            return self.consistency
        return CONSISTENCY if self.protocol == "crossed" else 0.0

    def formats(self, role: str) -> tuple[Format, ...]:
        """Return the formats of one role: train, validation or heldout."""
        named = getattr(self, f"{role}_formats")
        own = protocol_formats(self.protocol, role, in_words=self.answer.of_texts)
        formats = self.answer.formats(own if named is None else named)
        if role == "heldout" and self.heldout_languages:
            # The first trained format in another language: nothing but the language is new in it.
            model = self.formats("train")[0]
            formats += [replace(model, variant=0, language=language) for language in self.heldout_languages]
        # Balanced, both orders are asked whichever is named: two names of one presentation are the same format.
        return tuple(dict.fromkeys(replace(f, order="ascending") if self.balanced else f for f in formats))

    @property
    def answer(self) -> AnswerKind:
        """What counts as an answer."""
        return AnswerKind(self.answers)

    @property
    def method(self) -> str:
        """Search method by name: 'auto' knows texts, and generated text, which has no probabilities to model."""
        if self.optimizer != "auto":
            return self.optimizer
        return TEXT_METHOD if self.space == TEXT else "de" if self.answer is AnswerKind.SAMPLED else self.optimizer

    @property
    def lost_mass_penalty(self) -> float:
        """Points of loss per nat of answer mass lost: as given, else the protocol's (the paper's loss has none)."""
        if self.mass_penalty is not None:
            return self.mass_penalty
        return MASS_PENALTY if self.balanced else 0.0

    @property
    def begins(self) -> str:
        """Kind of start: as given, else by protocol and slot.

        The balanced protocol starts from line breaks at ``response_start``, because random tokens there suppress most
        answers (docs/search.md). The paper's method starts from random tokens.
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
        return ModelChoice(
            self.model,
            self.revision,
            self.dtype,
            self.device,
            self.quantize,
            self.trust_remote_code,
            self.device_map,
        )


def make_spec(values: Mapping[str, object], source: str = "the command line") -> RunSpec:
    """Validate a spec from plain values; a problem is one sentence that names the key and its place."""
    for key in values:
        if key not in RunSpec.model_fields:
            raise SettingError(
                f"Unknown key '{key}' in {source}{nearest(key, RunSpec.model_fields)}; correct or remove it."
            )
    try:
        # Files and Python have lists where the settings have tuples.
        return RunSpec.model_validate({k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if not first["loc"]:
            raise SettingError(f"Bad settings in {source}: {_sentence(first['msg'])}.") from None
        name = str(first["loc"][0])
        said = _sentence(first["msg"]) if first["type"] == "value_error" else f"expected {expected(name)}"
        if first["type"] == "string_unicode":
            said = "expected text in UTF-8"
        given = "" if first["type"] == "missing" else f" (given: {shown(first['input'])})"
        raise SettingError(f"Bad value for '{name}' in {source}{given}: {said}.") from None


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")


def expected(name: str) -> str:
    """Say in words what a setting may be, from its type and limits."""
    kind, limits = kind_and_limits(name)
    if get_origin(kind) is Literal:
        *others, last = map(repr, get_args(kind))
        return f"{', '.join(others)} or {last}"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(limits)
    if kind is bool:
        return "true or false"
    longest = limits.get("max_length")
    if kind is str:
        return f"text of at most {longest:,} characters"
    if get_origin(kind) is tuple:
        return f"a list of at most {longest} texts"
    return "a table of options, each a number, a text, true or false"


def kind_and_limits(name: str) -> tuple[Any, dict[str, Any]]:
    """Look up the plain type of a setting, and its limits by name: ge, gt, le and max_length."""
    kind, *around = _unwrapped(RunSpec.model_fields[name])
    return kind, {
        key: getattr(one, key) for one in around for key in ("ge", "gt", "le", "max_length") if hasattr(one, key)
    }


def default_in_words(name: str) -> str | None:
    """Say what holds where a setting is left out; None where nothing does."""
    field = RunSpec.model_fields[name]
    for one in field.metadata:
        if isinstance(one, Varies):
            return one.default
    value = field.default
    if field.is_required() or value is None or value is False or value in ((), {}):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _unwrapped(kind: Any) -> Iterator[Any]:
    """Return the plain type behind a field, and the limits around it."""
    if isinstance(kind, FieldInfo):
        yield from (*_unwrapped(kind.annotation), *kind.metadata)
    elif get_origin(kind) in (Union, types.UnionType):
        yield from _unwrapped(next(one for one in get_args(kind) if one is not types.NoneType))
    elif get_origin(kind) is Annotated:
        inner, *around = get_args(kind)
        yield from _unwrapped(inner)
        for limit in around:
            yield from limit.metadata if isinstance(limit, FieldInfo) else (limit,)
    else:
        yield kind


def _range(limits: Mapping[str, Any]) -> str:
    """Say a range in words: ``from 1 to 512``, ``above 0 and up to 1,000``."""
    most = f"{int(limits['le']):,}"
    return f" above {limits['gt']:,} and up to {most}" if "gt" in limits else f" from {limits['ge']:,} to {most}"


def read_spec_file(path: Path) -> dict[str, object]:
    """Read the keys of a TOML or YAML run file, to be validated together with the command line.

    Raises ``UserError`` for a file that would have a model's own code run: whoever wrote it, only the user of now may.
    """
    values = {key: node.value for key, node in read_data_file(path).entries().items()}
    check_no_code(values, str(path))
    return values


def check_no_code(values: Mapping[str, object], source: str) -> None:
    """Refuse settings of a file that would have a model's own code run; raises ``UserError``."""
    if values.get("trust_remote_code"):
        raise SettingError(
            f"{source} sets trust_remote_code, but no file may have the code of a model run; leave it out, read that "
            f"code, and give {setting('trust_remote_code', True)} yourself."
        )


def to_json(spec: RunSpec) -> dict[str, object]:
    """Fill in the protocol's defaults, so that old runs keep their meaning when defaults change."""
    given = json.loads(spec.model_dump_json(exclude=set(BESIDE)))
    for role in ROLES:
        forms = spec.formats(role)
        given[f"{role}_formats"] = [form.presentation if spec.balanced else form.name for form in forms]
    return given | {
        "start": spec.begins,
        "spread": spec.first_spread,
        "mass_penalty": spec.lost_mass_penalty,
        "fresh_formats": spec.fresh,
        "consistency": spec.agreement,
    }
