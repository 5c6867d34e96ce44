"""The windows of duplicates, one for each partition of visitor-events, rebuilt from the log."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing

from eventlog.protocol import EventLog, Record, TopicPartition
from personalization.codec import CodecError
from personalization.duplicates import DuplicateWindow
from tables.recovery import POLL_SECONDS, RecoveryStalled
from tables.topics import VISITOR_EVENT, VISITOR_EVENTS

SPAN = 100_000
"""How many offsets back a repeated event id is still a duplicate."""

_POLL_RECORDS = 2_000


class PassedOver(Exception):
    """A record was not folded, and one after it came."""


class Windows:
    """Which events of each partition are duplicates; what it needs of the past it reads."""

    def __init__(self, log: EventLog, span: int = SPAN) -> None:
        self._log = log
        self._span = span
        self._windows: dict[int, DuplicateWindow] = {}

    async def check_follows(self, partition: int, offset: int, folded: int) -> None:
        """See that nothing stands in the log between what is ``folded`` and the record at
        ``offset``, which came next: it would be lost for good.

        Raises ``PassedOver``, and ``RecoveryStalled``.
        """
        async with aclosing(self._between(partition, folded + 1, offset)) as missed:
            async for record in missed:
                raise PassedOver(
                    f"{VISITOR_EVENTS}[{partition}]: the record at offset {offset} came next, but "
                    f"the one at {record.offset} is not folded"
                )

    async def before(
        self, partition: int, offset: int, pause: Callable[[], Awaitable[None]]
    ) -> DuplicateWindow:
        """The partition's window, with what precedes the record at ``offset`` in it.

        ``pause`` is awaited after every record that is read. Raises ``RecoveryStalled``.
        """
        window = self._windows.get(partition)
        if window is None:
            window = self._windows[partition] = DuplicateWindow(self._span)
        start = max(window.end + 1, offset - self._span)
        async with aclosing(self._between(partition, start, offset)) as unknown:
            async for record in unknown:
                _feed(window, record)
                await pause()
        return window

    async def _between(
        self, partition: int, start: int, offset: int
    ) -> AsyncGenerator[Record, None]:
        """What the log has of the partition from ``start`` on and before ``offset``: nearly always
        nothing, and then it is not asked."""
        tp = TopicPartition(VISITOR_EVENTS, partition)
        if start < offset:
            start = max(start, (await self._log.start_offsets([tp]))[tp])
        if start >= offset:
            return
        reader = self._log.reader({tp: start})
        try:
            while reader.position(tp) < offset:
                polled = await reader.poll(_POLL_RECORDS, POLL_SECONDS)
                if not polled:
                    raise RecoveryStalled(f"no visitor events for {POLL_SECONDS:.0f} s")
                for record in polled[tp]:
                    if record.offset < offset:
                        yield record
        finally:
            await reader.close()

    def keep(self, partitions: Collection[int]) -> None:
        """Forget the windows of all others: whoever has them now is asked for their events."""
        for partition in self._windows.keys() - set(partitions):
            del self._windows[partition]


def _feed(window: DuplicateWindow, record: Record) -> None:
    try:
        id = VISITOR_EVENT.decode(record.value or b"").id
    except CodecError:
        id = None  # the fold leaves it out too
    window.seen(id, record.offset)
