"""LightGBM itself as a scorer: what training measures with, and tests hold ours against.

Not for serving: a damaged text ends the process.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np

from personalization.features.view import F32, F64
from personalization.ranking.lifts import strongest_lifts
from personalization.ranking.tree_text import UnreadableModel


class BoosterScorer:
    """Scores rows of ``feature_set``, whose columns are ``columns``, with a model's ``text``.

    Raises ``UnreadableModel``.
    """

    def __init__(self, name: str, feature_set: str, columns: Sequence[str], text: str) -> None:
        self.name = name
        self.feature_set = feature_set
        self._columns = list(columns)
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise UnreadableModel(str(error)) from error
        if self._booster.num_feature() != len(self._columns):
            raise UnreadableModel(
                f"it has {self._booster.num_feature()} columns, not {len(self._columns)}"
            )

    def score(self, matrix: F32) -> F64:
        """Logits, float64[n], for ``matrix`` float32[n, k]."""
        if not len(matrix):
            return np.zeros(0)
        return np.asarray(self._booster.predict(matrix, raw_score=True, num_threads=1))

    def reasons(self, matrix: F32, rows: Sequence[int], most: int) -> list[list[str]]:
        """For each of ``rows`` the columns that lift it most above the mean of all (TreeSHAP)."""
        if not rows:
            return []
        parts = np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=1))
        return strongest_lifts(parts[:, :-1], rows, most, self._columns)
