"""Search methods by the name a user gives them, with their options checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, get_args, get_type_hints

from acculturate.errors import SettingError, setting
from acculturate.files.datafile import nearest
from acculturate.legible import shown
from acculturate.search.optimizers.bocs import BOCS
from acculturate.search.optimizers.cma import CMAES, SepCMA
from acculturate.search.optimizers.de import DE
from acculturate.search.optimizers.dfgn import DFGN
from acculturate.search.optimizers.dfgn_parts import Parts
from acculturate.search.optimizers.jade import JADE
from acculturate.search.optimizers.jso import JSO
from acculturate.search.optimizers.lshade import LSHADE
from acculturate.search.optimizers.openai_es import OpenAIES
from acculturate.search.optimizers.protocol import Optimizer
from acculturate.search.optimizers.pso import PSO
from acculturate.search.optimizers.random_search import RandomSearch
from acculturate.search.optimizers.shade import SHADE
from acculturate.survey.loss import Loss


@dataclass(frozen=True)
class Method:
    """Describe an optimizer by name.

    Parameters
    ----------
    kind
        The class; its fields are the method's options.
    about
        One line for ``acculturate list optimizers``.
    defaults
        Options that the name stands for.
    """

    kind: type
    about: str
    defaults: Mapping[str, Any]


METHODS: dict[str, Method] = {
    "dfgn": Method(
        DFGN, "derivative-free Gauss-Newton on the structured response; far the closest at equal budget", {}
    ),
    "de": Method(DE, "Differential Evolution rand/1/bin, the paper's method (Storn & Price 1997)", {}),
    "de-best": Method(DE, "Differential Evolution best/1", {"strategy": "best/1"}),
    "de-rand2": Method(DE, "Differential Evolution rand/2", {"strategy": "rand/2"}),
    "de-current-to-best": Method(
        DE,
        "Differential Evolution current-to-best/1, dithered",
        {"strategy": "current-to-best/1", "F": (0.5, 1.0)},
    ),
    "de-current-to-pbest": Method(
        DE,
        "Differential Evolution current-to-pbest/1, dithered",
        {"strategy": "current-to-pbest/1", "F": (0.5, 1.0)},
    ),
    "jade": Method(JADE, "self-adapting DE with an archive (Zhang & Sanderson 2009)", {}),
    "shade": Method(SHADE, "DE with success-history adaptation (Tanabe & Fukunaga 2013)", {}),
    "lshade": Method(LSHADE, "SHADE with a shrinking population (Tanabe & Fukunaga 2014)", {}),
    "jso": Method(JSO, "L-SHADE with weighted mutation (Brest et al. 2017)", {}),
    "pso": Method(PSO, "particle swarm with constriction (Clerc & Kennedy 2002)", {}),
    "openai-es": Method(OpenAIES, "antithetic evolution strategy with Adam (Salimans et al. 2017)", {}),
    "cma-es": Method(CMAES, "full-covariance CMA-ES, up to 1,000 dimensions (Hansen)", {}),
    "sep-cma": Method(SepCMA, "CMA-ES with a diagonal covariance, any dimension (Ros & Hansen 2008)", {}),
    "bocs": Method(BOCS, "Bayesian search over statements of a text (Baptista & Poloczek 2018); for texts alone", {}),
    "random": Method(RandomSearch, "random search, the floor that every method must beat", {}),
}
AUTO = "dfgn"
_GONE = ("bounds", "handling")
"""Options of earlier versions, which no run could put to use."""


def method_name(name: str) -> str:
    """Return the method behind a name; ``auto`` is the one that the evidence in docs/search.md favours."""
    chosen = AUTO if name == "auto" else name
    if chosen not in METHODS:
        raise SettingError(
            f"Optimizer {shown(name)} is unknown{nearest(name, METHODS)}; see: acculturate list optimizers."
        )
    return chosen


def make_optimizer(
    name: str,
    options: Mapping[str, Any],
    *,
    survey: Loss,
    budget: int,
    parts: Parts | None = None,
    fresh: bool = False,
    most: int = 1,
) -> Optimizer[Any]:
    """Build the optimizer of a name with the user's options; a wrong one is a ``UserError`` naming the right ones.

    ``most``: statements of a text at most, where texts are searched.
    """
    if fresh and method_name(name) != AUTO:
        raise SettingError(
            f"Optimizer '{method_name(name)}' compares losses of different generations, which mean nothing where each "
            f"has formats of its own; leave {setting('fresh_formats')} out, or use {setting('optimizer', AUTO)}."
        )
    name, population = method_name(name), options.get("population")
    if isinstance(population, int) and population > budget:
        raise SettingError(
            f"Optimizer '{name}' has population = {shown(population)}, more than the budget of {budget:,} candidates; "
            "give a smaller one or a larger budget."
        )
    supplied = {"survey": survey, "budget": budget, "parts": parts, "fresh": fresh, "most": most}
    return configured(name, METHODS[name], options, supplied)


def configured(name: str, method: Method, options: Mapping[str, Any], supplied: Mapping[str, Any]) -> Optimizer[Any]:
    """Build a method with a user's options; ``supplied``: what follows from the run and is no option."""
    hints = get_type_hints(method.kind)
    types = {field.name: _members(hints[field.name]) for field in fields(method.kind)}
    arguments: dict[str, Any] = {**method.defaults}
    arguments |= {key: value for key, value in supplied.items() if key in types}
    for key, value in options.items():
        if key in _GONE:
            raise SettingError(
                f"Optimizer '{name}' has no option '{key}' any more: no search has bounds; leave it out."
            )
        if key not in types or key in supplied:
            raise SettingError(
                f"Optimizer '{name}' has no option {shown(key)}{nearest(key, sorted(set(types) - set(supplied)))}; "
                "see docs/search.md for its options."
            )
        if expected := _expected(types[key], value):
            raise SettingError(f"Optimizer '{name}' has {key} = {shown(value)}; expected {expected}.")
        arguments[key] = value
    build: Callable[..., Optimizer[Any]] = method.kind
    try:
        return build(**arguments)
    except (TypeError, ValueError) as error:
        raise SettingError(f"Optimizer '{name}' refuses its options: {str(error).rstrip('.')}.") from error


def _members(hint: Any) -> tuple[Any, ...]:
    """List the types that an annotation allows."""
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _expected(types: Sequence[Any], value: object) -> str | None:
    """Say what an option of these types should have been; None when the value will do.

    One value is all that an option takes, so a number is expected where a pair would do too.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if int in types:
        return None if whole else "a whole number"
    if float in types:
        return None if whole or isinstance(value, float) else "a number"
    return "true or false" if bool in types and not isinstance(value, bool) else None
