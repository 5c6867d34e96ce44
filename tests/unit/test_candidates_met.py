"""What was met with several items, against NumPy."""

import numpy as np
import pytest

from personalization.candidates.met import met_with

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("seed", range(5))
def test_each_slot_comes_once_with_the_sum_of_its_weights(seed: int) -> None:
    """In ascending order, to the same bits; nothing, what has no weight and what is left out do
    not count."""
    drawn = np.random.default_rng(seed)
    codes = drawn.integers(-1, 40, (6, 12)).astype(np.int32)
    weights = np.where(drawn.random((6, 12)) < 0.2, 0.0, drawn.random((6, 12)))
    without = drawn.integers(1, 40, 5)
    there = (codes > 0) & (weights > 0.0) & ~np.isin(codes, without)
    slots, place = np.unique(codes[there], return_inverse=True)
    found, total = met_with(codes, weights, without)
    assert found.tolist() == slots.tolist()
    assert total.tobytes() == np.bincount(place, weights[there], len(slots)).tobytes()
