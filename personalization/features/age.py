"""How new something is."""

from typing import TYPE_CHECKING

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, FIRST_AT, I64, ITEM, SELLER, View

if TYPE_CHECKING:
    from personalization.spec import Spec

UNKNOWN = -1.0
HOUR_MS = 3_600_000.0


class Age(Feature, frozen=True):
    """Time since the item, or its seller, was first listed, or else first seen in an event.

    float32[n], log1p of hours, at least 0; ``UNKNOWN`` where it was neither.
    """

    entity: str = ITEM

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.entity not in (ITEM, SELLER):
            raise ValueError(f"{self.entity!r} is none of {ITEM}, {SELLER}")
        return (f"{self.entity}_age",)

    def compute(self, view: View, out: F32) -> None:
        candidates = view.candidates
        listed = candidates.created_at if self.entity == ITEM else candidates.seller_created_at
        layer = candidates.levels.index(self.entity)
        hours_since(listed, candidates.stats[layer, :, FIRST_AT], view.moment.now, out)


@kernel("void(int64[:], int64[:], int64, float32[:, :])")
def hours_since(listed: I64, seen: I64, now: int, out: F32) -> None:
    """log1p of the hours since ``listed``, or ``seen`` where that is 0, into ``out`` [n, 1]."""
    for i in range(len(listed)):
        since = listed[i] if listed[i] > 0 else seen[i]
        if since > 0:
            out[i, 0] = log1p(max(now - since, 0) / HOUR_MS)
        else:
            out[i, 0] = UNKNOWN
