"""Duplicates: a client's retry has the id of an event not far before it."""

from collections import OrderedDict


class DuplicateWindow:
    """Which events of one partition repeat an id within the preceding ``span`` offsets.

    Answers follow from ids and offsets alone: fed from ``span`` offsets before a record on, it
    says of that record what it would have said if fed from the start. Offsets must be fed in
    order; what was answered within the window may be asked again, as after a failed batch.
    Records without an id, or that are no events, are fed too: ``end`` says how far it knows.
    Holds at most ``span + 1`` ids.

    >>> window = DuplicateWindow(span=10)
    >>> [window.seen(id, offset) for id, offset in [("a", 0), ("a", 4), ("a", 4), ("a", 15)]]
    [False, True, True, False]
    """

    def __init__(self, span: int = 100_000) -> None:
        self._span = span
        self._end = -1
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._duplicates: OrderedDict[int, None] = OrderedDict()

    @property
    def end(self) -> int:
        """The greatest offset fed so far; -1 before any."""
        return self._end

    def seen(self, id: str | None, offset: int) -> bool:
        """Whether the event at ``offset`` with this ``id`` is a duplicate; it is remembered.

        Without an id it is none. Raises ``ValueError`` for an offset that has left the window: what
        it would need is gone.
        """
        if id is None:
            self._end = max(self._end, offset)
            return False
        if offset <= self._end:
            if offset < self._end - self._span:
                raise ValueError(f"offset {offset} is more than {self._span} before {self._end}")
            return offset in self._duplicates
        self._end = offset
        horizon = offset - self._span
        duplicate = self._newest.get(id, horizon - 1) >= horizon
        self._newest[id] = offset
        self._newest.move_to_end(id)
        if duplicate:
            self._duplicates[offset] = None
        self._forget(horizon)
        return duplicate

    def _forget(self, horizon: int) -> None:
        """Two of each per call: more than come in, and never a long pause after a gap."""
        for _ in range(2):
            if next(iter(self._newest.values())) < horizon:
                self._newest.popitem(last=False)
            if self._duplicates and next(iter(self._duplicates)) < horizon:
                self._duplicates.popitem(last=False)
