"""What the request says of its moment."""

from typing import TYPE_CHECKING

from personalization.features.family import Feature
from personalization.features.view import F32, View

if TYPE_CHECKING:
    from personalization.spec import Spec

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
PARTS = ("hour", "weekday")


class ContextValue(Feature, frozen=True):
    """Which of the declared ``values`` the request's context has under ``name``.

    A float32[n] for each value, the same for all candidates: 1 for the one it is, else 0.
    """

    name: str
    values: tuple[str, ...]

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        return tuple(f"{self.name}_{value}" for value in self.values)

    def compute(self, view: View, out: F32) -> None:
        value = view.moment.context.get(self.name)
        if value in self.values:
            out[:, self.values.index(value)] = 1.0


class LocalTimePart(Feature, frozen=True):
    """The visitor's local time: ``hour`` (0 to 23) or ``weekday`` (0 is Monday).

    float32[n], the same for all candidates.
    """

    part: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if self.part not in PARTS:
            raise ValueError(f"{self.part!r} is none of {', '.join(PARTS)}")
        return (self.part,)

    def compute(self, view: View, out: F32) -> None:
        hours = (view.moment.now + view.moment.utc_offset * MINUTE_MS) // HOUR_MS
        # 1970-01-01 was a Thursday.
        out[:, 0] = hours % 24 if self.part == "hour" else (hours // 24 + 3) % 7
