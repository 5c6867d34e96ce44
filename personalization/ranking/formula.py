"""The formula: what ranks before there is a model.

=================================  ======  =====================================================
column                             weight  what it says
=================================  ======  =====================================================
item_click_per_impression             0.5  log-odds of a click when seen, smoothed through seller
                                           and category, so that new items start at their parent's
popularity_1d, popularity_30d        0.1,  what many want: alone at the first request of a new
                                     0.03  shop or visitor
item_age                            -0.15  what is new gets a little more (log1p of hours)
session_category, _brand,         6, 0.6,  what this session is after: one click decides
_seller, _tags                   0.2, 0.1
affinity_category_weight, _brand,    0.4,  what the visitor liked before, by how much and how often
_seller; affinity_tags              0.15,
                                0.05, 0.3
affinity_category_daypart_weight      0.5  the same at this part of the day
covisited                             6.0  what others had together with the visitor's last items:
                                           all there is where nothing has categories
embedding_near, embedding_nearest      2,  near by the caller's vectors, where they are called
                                      1.0  ``embedding``: all there is of what nobody saw yet
price_distance                      -0.15  far from the visitor's usual price
candidate_score                       1.0  the caller's own score, a logit
=================================  ======  =====================================================

Only the columns that a feature set has are summed. The weights were chosen, and rounded, on
simulated visitors (with seeds that no published figure uses) and on shop baskets; those of vectors
are a guess. A model that is trained takes the formula's place.
"""

from collections.abc import Sequence

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.view import F32, F64, I64, Bool
from personalization.ranking.lifts import strongest_lifts

LEAST_RATE = 1e-6

LOG_ODDS = ("item_click_per_impression",)

WEIGHTS = {
    "item_click_per_impression": 0.5,
    "popularity_1d": 0.1,
    "popularity_30d": 0.03,
    "item_age": -0.15,
    "session_category": 6.0,
    "session_brand": 0.6,
    "session_seller": 0.2,
    "session_tags": 0.1,
    "affinity_category_weight": 0.4,
    "affinity_brand_weight": 0.15,
    "affinity_seller_weight": 0.05,
    "affinity_tags": 0.3,
    "affinity_category_daypart_weight": 0.5,
    "covisited": 6.0,
    "embedding_near": 2.0,
    "embedding_nearest": 1.0,
    "price_distance": -0.15,
    "candidate_score": 1.0,
}


class Formula:
    """A weighted sum of columns, in log-odds: what is there of ``WEIGHTS`` in the feature set.

    Raises ``ValueError`` where the feature set has none of its columns.
    """

    name = "formula"

    def __init__(self, columns: Sequence[str], feature_set: str) -> None:
        self.feature_set = feature_set
        self._names = [name for name in WEIGHTS if name in columns]
        if not self._names:
            raise ValueError(f"feature set {feature_set} has no column that the formula knows")
        self._places: I64 = np.array([columns.index(n) for n in self._names], np.int64)
        self._weights: F64 = np.array([WEIGHTS[n] for n in self._names])
        self._log_odds: Bool = np.array([n in LOG_ODDS for n in self._names], np.bool_)

    def score(self, matrix: F32) -> F64:
        """Logits, float64[n], for ``matrix`` float32[n, k]."""
        return self._contributions(matrix)[1]

    def reasons(self, matrix: F32, rows: Sequence[int], most: int) -> list[list[str]]:
        """For each of ``rows`` the columns that lift it most above the mean of all."""
        if not rows:
            return []
        parts = self._contributions(matrix)[0]
        return strongest_lifts(parts, rows, most, self._names)

    def _contributions(self, matrix: F32) -> tuple[F64, F64]:
        parts = np.empty((len(matrix), len(self._places)))
        scores = np.empty(len(matrix))
        weighted_sum(matrix, self._places, self._weights, self._log_odds, parts, scores)
        return parts, scores


@kernel(
    "void(float32[:, :], int64[::1], float64[::1], boolean[::1], float64[:, ::1], float64[::1])"
)
def weighted_sum(
    matrix: F32, places: I64, weights: F64, log_odds: Bool, parts: F64, scores: F64
) -> None:
    """What each column adds into ``parts`` [n, m], their sum in order into ``scores`` [n].

    A loop, not a matrix product: the bits must not depend on how many rows there are.
    """
    for i in range(len(matrix)):
        total = 0.0
        for c in range(len(places)):
            value = float(matrix[i, places[c]])
            if log_odds[c]:
                value = min(max(value, LEAST_RATE), 1.0 - LEAST_RATE)
                value = log1p(value - 1.0) - log1p(-value)
            part = weights[c] * value
            parts[i, c] = part
            total += part
        scores[i] = total
