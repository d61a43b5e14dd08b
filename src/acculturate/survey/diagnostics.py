"""Diagnostics of a factor analysis of people's answers: how many factors, which items, and whether one may ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from acculturate.errors import FileError, SettingError
from acculturate.survey.factor import (
    SALIENT,
    Loadings,
    bartlett,
    correlations,
    kmo,
    members,
    parallel_analysis,
    principal_axes,
    varimax,
)
from acculturate.survey.reliability import cronbach_alpha
from acculturate.survey.respondents import Answers


@dataclass(frozen=True)
class FactorDiagnostics:
    """Hold what judges a factor solution. Chance is reckoned with the people who answered the rarest pair of items.

    Parameters
    ----------
    people, complete
        How many people answered, and how many without a gap.
    items, missing
        Ids of the items, and the share of empty answers of each.
    kmo, kmo_items
        Sampling adequacy, 0 to 1 (Kaiser 1974), overall and per item.
    bartlett_chi2, bartlett_freedom, bartlett_p
        Bartlett's (1951) test that no items correlate.
    eigenvalues, thresholds, suggested
        Parallel analysis (Horn 1965): eigenvalues above their thresholds, and how many factors they suggest.
    factors
        How many factors the solution has.
    loadings, communalities
        Correlations of every item with the factors, and the share of its variance that they explain.
    explained
        Share of the items' variance per factor.
    alpha
        Cronbach's alpha per dimension, items keyed.
    left_out
        Items that load on no factor.
    notes
        Sentences on whatever a reader should know.
    """

    people: int
    complete: int
    items: tuple[str, ...]
    missing: dict[str, float]
    kmo: float
    kmo_items: dict[str, float]
    bartlett_chi2: float
    bartlett_freedom: int
    bartlett_p: float
    eigenvalues: tuple[float, ...]
    thresholds: tuple[float, ...]
    suggested: int
    factors: int
    loadings: dict[str, tuple[float, ...]]
    communalities: dict[str, float]
    explained: tuple[float, ...]
    alpha: dict[str, float]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values; NaN as null."""
        return json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)


def diagnose(path: Path, answers: Answers, factors: int | None, seed: int) -> FactorDiagnostics:
    """Factor people's answers; ``factors`` instead of the number that parallel analysis suggests.

    Raises ``UserError``, naming the file, where items cannot be correlated or are too few for the factors.
    """
    ids, table = answers.items, answers.table
    people, n = table.shape
    r, smoothed = correlations(table)
    if np.isnan(r).any():
        i, j = np.argwhere(np.isnan(r))[0]
        raise FileError(
            f"{path}: the items '{ids[j]}' and '{ids[i]}' have no three varying answers in common, so they "
            "cannot be correlated; leave one of them out."
        )
    there = (~np.isnan(table)).astype(float)
    # The pair of items that fewest people answered sets how much chance there is.
    both = int((there.T @ there).min())
    suggested, eigenvalues, limits = parallel_analysis(r, both, seed=seed)
    used = max(suggested, 1) if factors is None else factors
    if not 1 <= used <= n // 2:
        raise SettingError(
            f"{path}: {used} factors were asked of {n} items; expected 1 to {n // 2} (two items per factor)."
        )
    solution = principal_axes(r, used)
    turned = varimax(solution.loadings)
    groups = members(turned)
    adequacy, by_item = kmo(r)
    chi2, freedom, p = bartlett(r, both)
    left = tuple(ids[i] for i in range(n) if np.abs(turned[i]).max() < SALIENT)
    notes = [
        *_on_number(suggested, factors),
        *_on_sample(people, n, adequacy, p),
        *_on_solution(smoothed, solution),
        *_on_groups(groups, left),
    ]
    return FactorDiagnostics(
        people=people,
        complete=int((~np.isnan(table).any(axis=1)).sum()),
        items=ids,
        missing=dict(zip(ids, np.isnan(table).mean(axis=0).tolist(), strict=True)),
        kmo=adequacy,
        kmo_items=dict(zip(ids, by_item.tolist(), strict=True)),
        bartlett_chi2=chi2,
        bartlett_freedom=freedom,
        bartlett_p=p,
        eigenvalues=tuple(eigenvalues.tolist()),
        thresholds=tuple(limits.tolist()),
        suggested=suggested,
        factors=used,
        loadings={i: tuple(row) for i, row in zip(ids, turned.tolist(), strict=True)},
        communalities=dict(zip(ids, solution.communalities.tolist(), strict=True)),
        explained=tuple(((turned**2).sum(axis=0) / n).tolist()),
        alpha={
            f"f{f + 1}": cronbach_alpha(table[:, chosen] * np.sign(turned[chosen, f])) for f, chosen in groups.items()
        },
        left_out=left,
        notes=tuple(notes),
    )


def _on_number(suggested: int, requested: int | None) -> list[str]:
    """Say what speaks against the number of factors."""
    notes = []
    if suggested == 0:
        notes.append("No factor rises above chance (parallel analysis): these items do not measure anything in common.")
    if requested is not None and requested != suggested:
        notes.append(f"{requested} factors were asked for; parallel analysis suggests {suggested}.")
    return notes


def _on_sample(people: int, n: int, adequacy: float, p: float) -> list[str]:
    """Say what speaks against factoring the answers of these people at all."""
    notes = []
    if people < 5 * n:
        notes.append(f"{people} people for {n} items are few (under five per item): loadings will not be stable.")
    if adequacy < 0.6:
        notes.append(f"Sampling adequacy (KMO) is {adequacy:.2f}; under 0.6 the items share too little to be factored.")
    if p > 0.05:
        notes.append(f"Bartlett's test does not rule out that no items correlate (p = {p:.2f}).")
    return notes


def _on_solution(smoothed: bool, solution: Loadings) -> list[str]:
    """Say what speaks against the solution."""
    notes = []
    if smoothed:
        notes.append(
            "Correlations from different people did not fit together and were smoothed; missing answers matter."
        )
    if not solution.converged:
        notes.append("The factor solution did not settle; do not rely on its loadings.")
    if solution.heywood:
        notes.append("An item's communality reached 1 (a Heywood case): try fewer factors.")
    return notes


def _on_groups(groups: Mapping[int, Sequence[int]], left: Sequence[str]) -> list[str]:
    """Say which factors have a single item, and which items have no factor."""
    notes = [
        f"Factor f{f + 1} has a single item, so its reliability is unknown."
        for f, chosen in groups.items()
        if len(chosen) == 1
    ]
    if left:
        notes.append(f"No factor holds {', '.join(left)} (all loadings under {SALIENT}); they are left out.")
    return notes
