"""Stamps of items, kept ready: an impression of twenty items is stamped in microseconds."""

from collections.abc import Callable

from personalization.events import Stamp
from personalization.plan import StatePlan
from personalization.stamping import stamp_items
from personalization.state.rows import CatalogueRow

_KEPT = 1 << 18


class Stamps:
    """The stamp of each item as its catalogue row is now; the oldest made are dropped first."""

    def __init__(
        self, read: Callable[[str], CatalogueRow | None], plan: StatePlan, kept: int = _KEPT
    ) -> None:
        self._read = read
        self._plan = plan
        self._kept = kept
        self._made: dict[str, Stamp] = {}

    def get(self, item: str) -> Stamp:
        """The stamp of ``item``; of an unknown one its id alone."""
        made = self._made.get(item)
        return self._make(item) if made is None else made

    def forget(self, item: str) -> None:
        """The item's catalogue row changed."""
        self._made.pop(item, None)

    def clear(self) -> None:
        """Forget all."""
        self._made.clear()

    def _make(self, item: str) -> Stamp:
        if len(self._made) >= self._kept:
            del self._made[next(iter(self._made))]
        [stamp] = stamp_items([item], self._read, self._plan)
        self._made[item] = stamp
        return stamp
