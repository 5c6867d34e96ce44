"""What visitors did so far: all their positive events, and their sessions."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from personalization.evaluation.query import Asker
from personalization.features.view import I64
from personalization.replaying.visitor_rows import Rest

_KEY = "history:"


class History:
    """The slots of each visitor's positive events, oldest first, in ``rest``: 4 bytes each."""

    def __init__(self, rest: Rest | None = None) -> None:
        self._rest: Rest = {} if rest is None else rest

    def add(self, visitor: str, slot: int) -> None:
        """A positive event."""
        key = _KEY + visitor
        self._rest[key] = (self._rest.get(key) or b"") + slot.to_bytes(4, "little")

    def of(self, visitor: str) -> I64:
        """All slots of a visitor's positive events."""
        return np.frombuffer(self._rest.get(_KEY + visitor) or b"", np.uint32).astype(np.int64)


@dataclass(slots=True)
class OpenSession:
    """A session that may go on: the slots of its positive events so far, in order."""

    id: str | None
    number: int
    last: int
    slots: list[int] = field(default_factory=list)


class Sessions:
    """The current session of every visitor seen lately, by the rule of the visitor's row.

    ``session`` given is a boundary, else a gap of ``gap`` ms. A session nobody went on with for
    ``kept`` ms is forgotten, so that memory holds those of one day. ``number`` counts from 0.
    """

    def __init__(self, gap: int, kept: int = 86_400_000) -> None:
        self._gap = gap
        self._kept = max(kept, gap)
        self._number = 0
        self._open: OrderedDict[str, OpenSession] = OrderedDict()

    def current(self, asker: Asker) -> OpenSession | None:
        """The session that an event of ``asker`` would go on with; ``None``: it opens one."""
        session = self._open.get(asker.key)
        if session is None or asker.at < session.last:
            return session
        if asker.session is not None:
            return session if asker.session == session.id else None
        return session if asker.at - session.last <= self._gap else None

    def touch(self, asker: Asker) -> OpenSession:
        """An event of ``asker`` happened: its session."""
        session = self.current(asker)
        if session is None:
            session = OpenSession(asker.session, self._number, asker.at)
            self._number += 1
        session.last = max(session.last, asker.at)
        self._open[asker.key] = session
        self._open.move_to_end(asker.key)
        while len(self._open) > 1:
            oldest = next(iter(self._open))
            if self._open[oldest].last >= asker.at - self._kept:
                break
            del self._open[oldest]
        return session
