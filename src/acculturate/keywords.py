"""The settings of a run as keywords, for editors and type checkers; tools/keywords.py writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class Keywords(TypedDict, total=False):
    """Name every setting of a run but its model and country."""

    revision: str | None
    """Revision of a Hugging Face model."""
    trust_remote_code: bool
    """Run code that comes with the model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    """Precision of the search; results are measured in float32."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Where the model computes."""
    device_map: Literal["none", "auto", "balanced", "balanced_low_0", "sequential"]
    """Spread a model over all devices, main memory and disk (needs acculturate[large]; docs/scaling.md)."""
    quantize: Literal["none", "8bit", "4bit"]
    """Quantised loading (needs acculturate[quantized])."""
    targets: str
    """Target set, or a CSV of your own (acculturate list targets)."""
    instrument: str
    """Instrument id or file (acculturate list instruments)."""
    wording: str | None
    """Your own text of the questionnaire, in any language (TOML or YAML)."""
    constant: float
    """Constant added to every dimension, in points."""
    mas25: bool
    """Legacy weight 25 in the second term of Masculinity (MAS)."""
    protocol: Literal["balanced", "crossed", "paper"]
    """'balanced': several formats, both option orders. 'crossed': more wordings, some a round. 'paper': one format."""
    train_formats: Sequence[str] | None
    """Formats to train on: labels/layout/variant/language."""
    validation_formats: Sequence[str] | None
    """Formats that help choose the winner; empty for none."""
    heldout_formats: Sequence[str] | None
    """Formats the result is judged on; empty for none."""
    heldout_languages: Sequence[str]
    """Languages to be judged in too, like ar and zh: one held-out format each."""
    heldout_items: Sequence[str]
    """Items that the search does not ask, like m04 and m12, to see whether the prompt moves them."""
    answers: Literal["probabilities", "calibrated", "cloze", "cloze-prior", "cloze-sum", "sampled"]
    """What counts as an answer: option labels, less their own pull, option texts or generated text (docs/method.md)."""
    baselines: Sequence[str] | None
    """Rivals to measure beside the untuned model: persona, in-context, text and random; empty for none."""
    select_by: str | None
    """Task that picks the winner among the best candidates, like general (docs/tasks.md)."""
    sampled: bool
    """At the end also ask by generated text, as the paper does."""
    slot: Literal["before_bos", "system", "user_end", "response_start"]
    """Where the prompt goes."""
    tokens: int
    """Virtual tokens of the soft prompt."""
    start: str | None
    """Begin from blank (line breaks), vocabulary, text, culture (texts on the country) or noise."""
    text: str | None
    """The text to begin from, where the start is text."""
    warm_start: str | None
    """Begin from an earlier run's prompt (its directory or file) or a PEFT adapter."""
    spread: float | None
    """Spread of the first population around the text or line breaks, in embedding standard deviations."""
    space: Literal["full", "projection", "text"]
    """Search all coordinates ('full'), a random 'projection', or system messages made of value statements ('text')."""
    projection_dim: int
    """Dimensions of a projection."""
    statements: int
    """Statements of a text at most, where texts are searched."""
    optimizer: str
    """Search method (acculturate list optimizers); 'auto' picks by evidence."""
    optimizer_options: Mapping[str, str | int | float | bool]
    """Options of the search method by name (docs/search.md)."""
    population: int
    """Candidates to begin with, and per generation of a population method."""
    budget: int
    """Candidate evaluations to spend."""
    seed: int
    """All randomness follows from it."""
    anchor: float
    """Points of loss per nat of distance from the untuned answers."""
    fresh_formats: int | None
    """Trained formats of each generation, drawn anew; 0: all of them in every generation."""
    consistency: float | None
    """Share of the points by which items move apart between formats to add to the loss."""
    response_style: float
    """Share of the points to add to the loss by which shifts that all items of a scale share move the scores."""
    mass_penalty: float | None
    """Points of loss per nat of answer mass lost; paper protocol 0, else 20."""
    rows: int
    """Candidates per forward pass."""
    parallel: str
    """Processes that share the candidates: none, local:N on this machine, ray or ray:N (docs/scaling.md)."""
