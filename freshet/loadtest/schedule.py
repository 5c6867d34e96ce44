"""When requests are due, and starting each at that time whatever became of the others.

That is an open loop: clients do not wait for each other, so a server that stalls is sent just as
much. What is measured from ``Due.at`` has no coordinated omission (Tene, How NOT to Measure
Latency).
"""

import asyncio
import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import NamedTuple


class Due(NamedTuple):
    """``what`` is to be started ``at`` a time of ``perf_counter``."""

    at: float
    what: str


def schedule(rates: Mapping[str, float], start: float, seconds: float) -> Iterator[Due]:
    """Each name of ``rates`` so many times a second, evenly, in order of time.

    >>> [(due.at, due.what) for due in schedule({"a": 2.0, "b": 1.0}, 10.0, 1.5)]
    [(10.0, 'a'), (10.0, 'b'), (10.5, 'a'), (11.0, 'a'), (11.0, 'b')]
    """
    streams = (_evenly(what, rate, start, seconds) for what, rate in rates.items() if rate > 0)
    return heapq.merge(*streams)


def _evenly(what: str, rate: float, start: float, seconds: float) -> Iterator[Due]:
    number = 0
    while number / rate < seconds:  # not a sum of periods, whose errors would add up
        yield Due(start + number / rate, what)
        number += 1


def keep_time(
    dues: Iterable[Due],
    clock: Callable[[], float],
    wait: Callable[[float], bool],
    start: Callable[[Due], object],
) -> None:
    """Call ``start`` with each when it is due; the late ones at once, with the time they had.

    ``wait(seconds)`` waits, and is true if all is to end.
    """
    for due in dues:
        if wait(max(0.0, due.at - clock())):
            return
        start(due)


async def pace(dues: Iterable[Due], start: Callable[[Due], None], stop: threading.Event) -> None:
    """Call ``start`` in the event loop with each when it is due, until ``stop``.

    A thread keeps the time: an event loop's own timers tick once a millisecond.
    """
    loop = asyncio.get_running_loop()

    def call(due: Due) -> None:
        loop.call_soon_threadsafe(start, due)

    await asyncio.to_thread(keep_time, dues, perf_counter, stop.wait, call)
