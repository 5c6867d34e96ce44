"""What of a partition was handed to Faust's agents and is not acknowledged yet."""

from collections import defaultdict
from collections.abc import Callable

from faust.types import TP


class InFlight:
    """One partition's delivered offsets that wait for their acknowledgement, in order.

    Faust keeps a sorted list and a set of acknowledged offsets and looks for the first gap at
    every commit. Records are delivered in order, so what waits says it all: it may be committed
    up to the first that still waits. ``append``, ``add`` and ``in`` are what Faust (also its
    compiled stream iterator) does to its list and its set.
    """

    def __init__(self, acked: Callable[[], None]) -> None:
        self._acked = acked
        self._waiting: dict[int, None] = {}
        self._behind_last: int | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, offset: int) -> bool:
        """Whether ``offset`` was acknowledged (or never delivered)."""
        return offset not in self._waiting

    def deliver(self, offset: int) -> None:
        """``offset`` is on its way to the agents."""
        self._waiting[offset] = None
        self._behind_last = offset + 1

    def append(self, offset: int) -> None:
        """``offset`` was acknowledged."""
        self._waiting.pop(offset, None)
        self._acked()

    def add(self, offset: int) -> None:
        """Faust notes an acknowledgement twice; ``append`` does it."""

    def committable(self) -> int | None:
        """Everything below this offset was acknowledged; ``None`` if nothing was delivered."""
        return next(iter(self._waiting), self._behind_last)

    def restart(self) -> None:
        """The partition is read again from another offset."""
        self._waiting.clear()
        self._behind_last = None


class InFlightByPartition(defaultdict[TP, InFlight]):
    """``InFlight`` for every partition; ``acked`` is called with the partition."""

    def __init__(self, acked: Callable[[TP], None]) -> None:
        super().__init__()
        self._acked = acked

    def __missing__(self, tp: TP) -> InFlight:
        in_flight = self[tp] = InFlight(lambda: self._acked(tp))
        return in_flight
