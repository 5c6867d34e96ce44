"""A number of the item, as it is."""

from typing import TYPE_CHECKING

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View

if TYPE_CHECKING:
    from personalization.spec import Spec

UNKNOWN_AMOUNT = -1.0


class Amount(Feature, frozen=True):
    """The candidate's ``number``, such as its price.

    float32[n], log1p; ``UNKNOWN_AMOUNT`` where the item has none.
    """

    number: str = "price"

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.number not in spec.plan.numbers:
            raise ValueError(f"no number {self.number!r} is declared")
        return (f"amount_{self.number}",)

    def compute(self, view: View, out: F32) -> None:
        log_amount(view.candidates.numbers[self.number], out)


@kernel("void(float64[:], float32[:, :])")
def log_amount(numbers: F64, out: F32) -> None:
    """log1p of ``numbers`` [n] into ``out`` [n, 1]."""
    for i in range(len(numbers)):
        out[i, 0] = log1p(numbers[i]) if numbers[i] >= 0.0 else UNKNOWN_AMOUNT
