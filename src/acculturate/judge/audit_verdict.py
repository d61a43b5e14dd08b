"""The rules and thresholds that lead to the verdict of an audit."""

from __future__ import annotations

import math

from acculturate.judge.audit_records import AuditVerdict

MASS_LOW = 0.1
"""Mean answer mass below this: nine tenths of the model's reply is something other than an answer. Small chat
models that do answer hold 0.15 to 0.5 (they begin a sentence instead), so a higher bar would call their
answers none."""
MASS_MODEST = 0.5
"""Under this the likeliest reply may well be no answer. The audit's sentences say so."""
MISSING_HIGH = 0.5
"""Share of missing answers above this: most of what would be scored is not there."""
FLAT_SPREAD = 0.01
"""Standard deviation of item means, as share of the scale, under which answers are flat. It is 0.04 on a scale of
1 to 5. A VSM dimension then varies by 2 to 3 points, about what reduced precision alone does."""
SAME = 1e-6
"""Spread under which answers are one answer to the last digits, as those of constant logits are."""
NEAR_FLAT = 0.025
"""Spread of order-balanced means under which scores stay near the constant. A VSM dimension then varies by about
6 points, under a third of how much countries differ (about 20)."""
FLAT_SHIFT = 0.05
"""Mean difference between the orders, as share of the scale, from which flat answers are picks of one place:
five times what FLAT_SPREAD calls nothing."""
CLEAR = 0.3
"""Order correlation that counts as clear, on either side. Among 24 unrelated items one pair of orders reaches
it by chance once in 13 times; the mean over several presentations far more rarely."""


def verdict_of_orders(*, mass: float, missing: float, spread: float, shift: float, correlation: float) -> AuditVerdict:
    """Judge labelled answers by how they change between the two option orders.

    Parameters
    ----------
    mass, missing
        Mean answer mass and share of missing answers, 0 to 1.
    spread, shift
        Standard deviation of item means and mean difference between the orders, as shares of the scale.
    correlation
        Correlation of item means between the orders.
    """
    if spread < SAME and shift < SAME:
        return AuditVerdict.FLAT  # whatever else a model would say, this is what its scores are made of
    if mass < MASS_LOW or missing > MISSING_HIGH:
        return AuditVerdict.NO_ANSWER
    if spread < FLAT_SPREAD:
        return AuditVerdict.POSITION if shift >= FLAT_SHIFT else AuditVerdict.FLAT
    if correlation <= -CLEAR:
        return AuditVerdict.POSITION
    if correlation >= CLEAR:
        return AuditVerdict.READS
    return AuditVerdict.WEAK if correlation > 0 else AuditVerdict.UNCLEAR


def verdict_of_wordings(*, missing: float, spread: float, correlation: float) -> AuditVerdict:
    """Judge answers without labels by how item means correlate between wordings (``correlation``).

    ``missing`` is a share of the answers, ``spread`` the standard deviation of item means as share of the scale.
    """
    if missing > MISSING_HIGH:
        return AuditVerdict.NO_ANSWER
    if spread < FLAT_SPREAD:
        return AuditVerdict.FLAT
    if math.isnan(correlation):
        return AuditVerdict.ONE_WORDING
    if correlation >= CLEAR:
        return AuditVerdict.READS
    return AuditVerdict.WEAK if correlation > 0 else AuditVerdict.WORDING
