"""Rows of the output head for tokens that are never written."""

from __future__ import annotations

import numpy as np
import pytest

from acculturate.export.unsampled import row_against


@pytest.mark.parametrize("lean, sure", [(2.0, True), (0.0, False)])
def test_a_direction_is_believed_only_where_hidden_states_lie_on_one_side(lean, sure):
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((2000, 64)) + lean
    largest = rng.uniform(-30, 20, 2000)
    found = row_against(hidden, largest)
    assert found.sure is sure and found.row.dtype == np.float32
    if sure:  # also where nobody looked
        fresh = rng.standard_normal((10_000, 64)) + lean
        assert (fresh @ found.row).max() < largest.min() - 50
    else:
        assert not found.row.any()
