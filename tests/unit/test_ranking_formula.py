"""The formula: a weighted sum whose bits depend on nothing but the row."""

import math

import numpy as np
import pytest

from personalization.features.view import F32
from personalization.ranking.formula import LOG_ODDS, WEIGHTS, Formula
from tests.vector_spec import SPEC

pytestmark = pytest.mark.kernel
COLUMNS = SPEC.columns


def matrix(n: int) -> F32:
    return np.random.default_rng(1).random((n, len(COLUMNS)), np.float32)


def test_the_marketplace_with_a_vector_has_every_column() -> None:
    """A weight for a column that nobody computes would be a mistake."""
    assert set(WEIGHTS) <= set(COLUMNS)
    assert set(LOG_ODDS) <= set(WEIGHTS)


def test_the_score_is_the_sum_of_the_table() -> None:
    """Rates as log-odds, the others as they are."""
    rows = matrix(5)
    expected = []
    for row in rows.astype(np.float64).tolist():
        total = 0.0
        for name, weight in WEIGHTS.items():
            value = row[COLUMNS.index(name)]
            total += weight * (math.log(value / (1 - value)) if name in LOG_ODDS else value)
        expected.append(total)
    assert Formula(COLUMNS, "f").score(rows).tolist() == pytest.approx(expected, rel=1e-9)


def test_a_row_scores_the_same_bits_in_any_company() -> None:
    """Alone, reversed, or as one of many: replays score other sets of rows."""
    rows, formula = matrix(64), Formula(COLUMNS, "f")
    together = formula.score(rows)
    alone = np.concatenate([formula.score(rows[i : i + 1]) for i in range(64)])
    assert together.tobytes() == alone.tobytes()
    assert formula.score(rows[::-1].copy()).tobytes() == together[::-1].tobytes()


def test_rates_of_nothing_and_everything_are_finite() -> None:
    """0 and 1 have no log-odds; what is close to them has."""
    rows = np.zeros((2, len(COLUMNS)), np.float32)
    rows[1] = 1.0
    assert np.isfinite(Formula(COLUMNS, "f").score(rows)).all()


def test_a_set_with_some_of_the_columns_will_do() -> None:
    """Whatever there is; with nothing the formula knows, it refuses."""
    assert Formula(("x", "covisited"), "f").score(np.ones((1, 2), np.float32)) == [
        WEIGHTS["covisited"]
    ]
    with pytest.raises(ValueError, match="no column"):
        Formula(("x", "y"), "f")


def test_reasons_are_what_stands_out() -> None:
    """Columns that lift a row above the mean of all, the strongest first."""
    rows = np.full((3, len(COLUMNS)), 0.5, np.float32)
    rows[1, COLUMNS.index("session_category")] = 1.0
    rows[1, COLUMNS.index("candidate_score")] = 0.7
    assert Formula(COLUMNS, "f").reasons(rows, [1, 0], 1) == [["session_category"], []]
    assert Formula(COLUMNS, "f").reasons(rows, [1], 9) == [["session_category", "candidate_score"]]
    assert Formula(COLUMNS, "f").reasons(rows, [], 3) == []
