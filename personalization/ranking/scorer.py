"""What scores candidates: the formula, and later a model."""

from collections.abc import Sequence
from typing import Protocol

from personalization.features.view import F32, F64


class Scorer(Protocol):
    """Scores rows of one feature set. Equal rows get equal bits, whatever stands beside them."""

    @property
    def name(self) -> str:
        """The model's name, as decisions record it."""
        ...

    @property
    def feature_set(self) -> str:
        """The feature set it can score."""
        ...

    def score(self, matrix: F32) -> F64:
        """Logits, float64[n], finite, for ``matrix`` float32[n, k], C-contiguous."""
        ...

    def reasons(self, matrix: F32, rows: Sequence[int], most: int) -> list[list[str]]:
        """For each of ``rows`` the names of what lifts it most above the others: at most
        ``most``, the strongest first."""
        ...
