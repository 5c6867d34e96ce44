"""In which sessions an item was wanted: what sessions like the visitor's are found by.

With an event of interest the session that it is in is told to its items; where the plan wants it,
the row of each keeps the last ones, the newest last, in 4 bytes each. 24 bits mark the session and
name nobody: they are made of the offset of the event that opened it and of its time. 8 bits say how
many events of interest it had by then (255: or more), as long sessions say less of their items.
"""

from personalization.events import StampedEvent
from personalization.plan import StatePlan
from personalization.state.rows import Session

WIDTH = 4
LENGTH_BITS = 8
LONGEST = (1 << LENGTH_BITS) - 1
_MARKS = (1 << (8 * WIDTH - LENGTH_BITS)) - 1
_ALL = (1 << 64) - 1


def mark(opened: int, start: int) -> int:
    """Of the session that the record at offset ``opened`` opened at ``start`` (ms): 1 to 2**24 - 1.

    Of two partitions the same offset may open one, but hardly in the same millisecond. (Mixed as
    in splitmix64: Steele, Lea & Flood, OOPSLA 2014.)

    >>> mark(17, 1_700_000_000_000) == mark(17, 1_700_000_000_001)
    False
    """
    mixed = (opened * 0x9E3779B97F4A7C15 + start) & _ALL
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _ALL
    return (mixed >> 32) & _MARKS or 1


def told(session: Session | None, event: StampedEvent, offset: int, plan: StatePlan) -> int:
    """What ``event``, at ``offset``, tells its items of its session, which is ``session`` as it was
    before (``None``: the event opens one)."""
    if session is None:
        opened, start, length = offset, event.at, 0
    else:
        opened, start = session.opened, session.start
        counted = zip(session.counts, plan.weights, strict=True)
        length = sum([count for count, weight in counted if weight > 0])
    return mark(opened, start) << LENGTH_BITS | min(length + len(event.items), LONGEST)


def add(kept: bytes, session: int, plan: StatePlan) -> bytes:
    """``kept`` and ``session``, as it was told, of which the plan's number stay: each session once.

    >>> plan = StatePlan((), (), (), (), (), (), (), (), (), sessions=2)
    >>> add(add(add(b"", 0x101, plan), 0x202, plan), 0x103, plan)
    b'\\x01\\x01\\x00\\x00\\x02\\x02\\x00\\x00'
    """
    more = session.to_bytes(WIDTH, "little")
    place = kept.find(more[1:])
    while place >= 0:
        if place % WIDTH == 1:
            return kept
        place = kept.find(more[1:], place + 1)
    return (kept + more)[-WIDTH * plan.sessions :]
