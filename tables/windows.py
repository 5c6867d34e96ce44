"""The windows of duplicates, one for each partition of visitor-events, rebuilt from the log."""

from collections.abc import Awaitable, Callable, Collection

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
        if offset <= folded + 1:
            return
        tp = TopicPartition(VISITOR_EVENTS, partition)
        start = max(folded + 1, (await self._log.start_offsets([tp]))[tp])
        if start >= offset:
            return
        reader = self._log.reader({tp: start})
        try:
            polled = await reader.poll(1, POLL_SECONDS)
        finally:
            await reader.close()
        if not polled:
            raise RecoveryStalled(f"no visitor events for {POLL_SECONDS:.0f} s")
        first = polled[tp][0].offset
        if first < offset:
            raise PassedOver(
                f"{VISITOR_EVENTS}[{partition}]: the record at offset {offset} came next, but the "
                f"one at {first} is not folded"
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
        fed = window.end + 1
        if fed >= offset:
            return window
        tp = TopicPartition(VISITOR_EVENTS, partition)
        starts = await self._log.start_offsets([tp])
        start = max(fed, offset - self._span, starts[tp])
        if start >= offset:
            return window
        reader = self._log.reader({tp: start})
        try:
            while reader.position(tp) < offset:
                polled = await reader.poll(_POLL_RECORDS, POLL_SECONDS)
                if not polled:
                    raise RecoveryStalled(f"no visitor events for {POLL_SECONDS:.0f} s")
                for record in polled[tp]:
                    if record.offset < offset:
                        _feed(window, record)
                        await pause()
        finally:
            await reader.close()
        return window

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
