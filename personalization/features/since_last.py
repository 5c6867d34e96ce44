"""How long ago."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.view import F32, F64, View

if TYPE_CHECKING:
    from personalization.spec import Spec

LONGEST_MS = 365 * 86_400_000


class SinceLast(Feature, frozen=True):
    """Time since the visitor last touched this item (``"item"``) or did anything (``"visit"``).

    float32[n], log1p of seconds, from 0 to that of ``LONGEST_MS`` (a year), which also stands
    for never. An item counts if it is among the visitor's last interactions.
    """

    what: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.what not in ("item", "visit"):
            raise ValueError(f"{self.what!r} is none of item, visit")
        return (f"since_last_{self.what}",)

    def compute(self, view: View, out: F32) -> None:
        visitor, now, ids = view.visitor, view.moment.now, view.candidates.ids
        last: dict[str, int] = {}
        if visitor is None:
            elapsed = LONGEST_MS
        elif self.what == "visit":
            elapsed = now - visitor.last_at if visitor.last_at > 0 else LONGEST_MS
        else:
            elapsed = LONGEST_MS
            last = {interaction.item: interaction.at for interaction in visitor.last}
        if last.keys().isdisjoint(ids):
            out[:, 0] = log1p(min(max(elapsed, 0), LONGEST_MS) / 1000.0)
            return
        never = now - LONGEST_MS
        log_seconds(np.array([now - last.get(id, never) for id in ids], np.float64), out)


@kernel("void(float64[:], float32[:, :])")
def log_seconds(elapsed: F64, out: F32) -> None:
    """log1p of the seconds in ``elapsed`` ms, within its bounds, into ``out`` [n, 1]."""
    for i in range(len(elapsed)):
        out[i, 0] = log1p(min(max(elapsed[i], 0.0), LONGEST_MS) / 1000.0)
