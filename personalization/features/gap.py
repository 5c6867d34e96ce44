"""Cheaper or dearer than the visitor's own."""

from typing import TYPE_CHECKING

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View
from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow

if TYPE_CHECKING:
    from personalization.spec import Spec

LEAST_WEIGHT = 1e-6


class PriceGap(Feature, frozen=True):
    """The candidate's ``number`` against what the visitor usually turns to.

    Two float32[n]: ``log1p(number) - m`` (above 0: dearer), and its absolute value, where m is
    the visitor's mean of log1p(number), weighted by interest; 0 where either is unknown.
    """

    number: str = "price"

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.number not in spec.plan.numbers:
            raise ValueError(f"no number {self.number!r} is declared")
        return (f"{self.number}_gap", f"{self.number}_distance")

    def compute(self, view: View, out: F32) -> None:
        mean = mean_log(view.visitor, self.number, view.plan)
        if mean is not None:
            log_gap(view.candidates.numbers[self.number], mean, out)


def mean_log(visitor: VisitorRow | None, number: str, plan: StatePlan) -> float | None:
    """The visitor's mean of log1p(number), weighted by interest; ``None`` where unknown."""
    if visitor is None:
        return None
    weight, total = visitor.numbers[plan.numbers.index(number)]
    return total / weight if weight > LEAST_WEIGHT else None


@kernel("void(float64[:], float64, float32[:, :])")
def log_gap(numbers: F64, mean: float, out: F32) -> None:
    """log1p(numbers) - mean, and its absolute value, into ``out`` [n, 2]; 0 for NaN."""
    for i in range(len(numbers)):
        if numbers[i] >= 0.0:
            gap = log1p(numbers[i]) - mean
            out[i, 0] = gap
            out[i, 1] = abs(gap)
