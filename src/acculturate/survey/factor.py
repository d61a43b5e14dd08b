"""Exploratory factor analysis: how many factors answers share, and which items make each.

Correlations are factored by principal axes with as many factors as rise above chance (parallel analysis) and
rotated by varimax. ``fitting`` turns the solution into an instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc

SALIENT = 0.4
"""Absolute loading from which an item counts as belonging to a factor (the usual convention)."""


@dataclass(frozen=True, eq=False)
class Loadings:
    """Hold a factor solution. ``loadings``: correlations of items with the (orthogonal) factors."""

    loadings: Float[np.ndarray, "items factors"]
    communalities: Float[np.ndarray, "items"]
    iterations: int
    converged: bool
    heywood: bool
    """An item's communality reached 1: the solution is improper and says too many factors or too few people.
    """


def correlations(answers: Float[np.ndarray, "people items"]) -> tuple[Float[np.ndarray, "items items"], bool]:
    """Compute Pearson correlations over the pairs of answers that exist, and whether they had to be smoothed.

    Correlations from different people need not fit together; where they do not, negative eigenvalues are
    raised to zero and the diagonal is set back to one.
    """
    n = answers.shape[1]
    table = np.eye(n)
    for i in range(n):
        for j in range(i):
            both = ~np.isnan(answers[:, [i, j]]).any(axis=1)
            x, y = answers[both, i], answers[both, j]
            # Two people who differ on neither item tell nothing about how the items go together.
            usable = len(x) >= 3 and x.std() > 0 and y.std() > 0
            table[i, j] = table[j, i] = np.corrcoef(x, y)[0, 1] if usable else np.nan
    if np.isnan(table).any():
        return table, False
    values, vectors = np.linalg.eigh(table)
    if values[0] > 1e-8:
        return table, False
    fitted = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    scale = np.sqrt(np.diag(fitted))
    return fitted / np.outer(scale, scale), True


def kmo(r: Float[np.ndarray, "items items"]) -> tuple[float, Float[np.ndarray, "items"]]:
    """Compute sampling adequacy, 0..1, overall and per item (Kaiser 1974): shared against partial correlations."""
    inverse = np.linalg.pinv(r)
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    off = ~np.eye(len(r), dtype=bool)
    shared = np.where(off, r**2, 0.0)
    alone = np.where(off, partial**2, 0.0)
    total = shared.sum(axis=1) + alone.sum(axis=1)
    each = np.divide(shared.sum(axis=1), total, out=np.full(len(r), np.nan), where=total > 0)
    return float(shared.sum() / (shared.sum() + alone.sum())), each


def bartlett(r: Float[np.ndarray, "items items"], people: int) -> tuple[float, int, float]:
    """Test after Bartlett (1951) that no items correlate: chi-square, degrees of freedom, p."""
    n = len(r)
    _, logdet = np.linalg.slogdet(r)
    chi2 = max(0.0, -(people - 1 - (2 * n + 5) / 6) * logdet)
    freedom = n * (n - 1) // 2
    return float(chi2), freedom, float(chdtrc(freedom, chi2))


def parallel_analysis(
    r: Float[np.ndarray, "items items"], people: int, *, draws: int = 200, seed: int = 0
) -> tuple[int, Float[np.ndarray, "items"], Float[np.ndarray, "items"]]:
    """Count the factors after Horn (1965): leading eigenvalues above the 95th percentile of random data's.

    Returns the number, the eigenvalues (largest first) and the thresholds. Random data: as many people and
    items, independent standard normal.
    """
    rng = np.random.default_rng(seed)
    found = np.linalg.eigvalsh(r)[::-1]
    chance = np.stack(
        [
            np.linalg.eigvalsh(np.corrcoef(rng.standard_normal((people, len(r))), rowvar=False))[::-1]
            for _ in range(draws)
        ]
    )
    limit = np.quantile(chance, 0.95, axis=0)
    below = np.flatnonzero(found <= limit)
    return int(below[0]) if len(below) else len(r), found, limit


def principal_axes(
    r: Float[np.ndarray, "items items"], factors: int, *, tolerance: float = 1e-6, limit: int = 2000
) -> Loadings:
    """Factor by principal axes: eigenvectors of the correlations with communalities on the diagonal.

    Starts from squared multiple correlations; stops when no communality moves by more than ``tolerance``.
    """
    h = 1 - 1 / np.diag(np.linalg.pinv(r))
    h = np.clip(h, 0.05, 0.999)
    loadings, step, moved = np.zeros((len(r), factors)), 0, math.inf
    for step in range(1, limit + 1):  # noqa: B007 - how many there were is reported
        reduced = r.copy()
        np.fill_diagonal(reduced, h)
        values, vectors = np.linalg.eigh(reduced)
        top = np.argsort(values)[::-1][:factors]
        loadings = vectors[:, top] * np.sqrt(np.maximum(values[top], 0.0))
        new = (loadings**2).sum(axis=1)
        moved = float(np.abs(np.minimum(new, 1.0) - h).max())
        h = np.minimum(new, 1.0)
        if moved < tolerance:
            break
    return Loadings(loadings, h, step, moved < tolerance, bool((h >= 0.999).any()))


def varimax(
    loadings: Float[np.ndarray, "items factors"], *, tolerance: float = 1e-10, limit: int = 500
) -> Float[np.ndarray, "items factors"]:
    """Rotate orthogonally to large and small loadings (Kaiser 1958), rows normalised while rotating.

    Factors are ordered by the variance they explain, and each is turned so that its loadings sum to 0 or
    more.
    """
    n, k = loadings.shape
    size = np.sqrt((loadings**2).sum(axis=1))
    size = np.where(size > 0, size, 1.0)[:, None]
    x, rotation, last = loadings / size, np.eye(k), 0.0
    for _ in range(limit if k > 1 else 0):
        turned = x @ rotation
        u, s, v = np.linalg.svd(x.T @ (turned**3 - turned * (turned**2).sum(axis=0) / n))
        rotation, total = u @ v, s.sum()
        if total < last * (1 + tolerance):
            break
        last = total
    out = (x @ rotation) * size
    out = out[:, np.argsort(-(out**2).sum(axis=0), kind="stable")]
    return out * np.where(out.sum(axis=0) < 0, -1.0, 1.0)


def members(loadings: Float[np.ndarray, "items factors"]) -> dict[int, list[int]]:
    """Group the items by factor: those whose largest loading it is, if that is SALIENT."""
    best = np.abs(loadings).argmax(axis=1)
    salient = np.abs(loadings).max(axis=1) >= SALIENT
    found = {f: np.flatnonzero((best == f) & salient).tolist() for f in range(loadings.shape[1])}
    return {f: chosen for f, chosen in found.items() if chosen}
