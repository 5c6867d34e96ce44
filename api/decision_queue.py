"""Decisions on their way into the log: queued, bounded, appended within 100 ms."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec import structs

from api.metrics import Metrics
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision, pack
from personalization.events import SERVED, Stamp, StampedEvent
from personalization.plan import StatePlan
from personalization.ranking.ulid import partition_of
from personalization.state.keys import USER_VISITOR
from tables.topics import DECISIONS, MAX_DECISION_BYTES, VISITOR_EVENT, VISITOR_EVENTS

_LINGER_SECONDS = 0.05
_BATCH = 2  # decisions in one append: little, so that a ranking hardly notices
_SHARE = 32  # of a longer queue this part is appended at once, so that it does not grow
_PAUSE_SECONDS = 0.0005
_SHORT_BYTES = 48 << 10  # of vectors, compressed in 0.2 ms
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0
_WRITTEN = 256
_PAGES = 10_000

IMPRESSION = "impression"

Batches = dict[TopicPartition, list[Entry]]

_logger = structlog.get_logger(__name__)


class DecisionQueue:
    """Takes decisions from rankings and appends them, with what was served, behind their backs.

    A killed process loses what is queued: at most about 100 ms of decisions; the sequence numbers
    in the log show how many. Where the log does not take them, the newest ``size`` are kept, and
    those dropped are counted.
    """

    def __init__(
        self,
        log: EventLog,
        plan: StatePlan,
        stamp: Callable[[str], Stamp],
        metrics: Metrics,
        *,
        size: int,
        append_timeout: float,
    ) -> None:
        self._log = log
        self._plan = plan
        self._stamp = stamp
        self._metrics = metrics
        self._size = size
        self._append_timeout = append_timeout
        self._queue: deque[Decision] = deque()
        self._writing: list[Decision] = []
        self._written: dict[str, bytes] = {}
        self._pages: dict[str, list[str]] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def put(self, decision: Decision) -> None:
        """Queue a decision that was just served."""
        if len(self._queue) >= self._size:
            self._queue.popleft()
            self._metrics.decisions_dropped.labels("queue full").inc()
        self._queue.append(decision)
        self._wake.set()
        self._pages[decision.id] = shown_so_far(decision)
        _bound(self._pages, _PAGES)

    def queued(self) -> int:
        """How many decisions are not in the log yet."""
        return len(self._queue) + len(self._writing)

    def pages(self, id: str) -> list[str] | None:
        """The items shown by a recent decision and by the pages before it."""
        return self._pages.get(id)

    def recent(self, id: str) -> bytes | None:
        """The record of a decision that an index may not have yet."""
        written = self._written.get(id)
        if written is not None:
            return written
        for decision in (*self._writing, *self._queue):
            if decision.id == id:
                return DECISION.encode(decision)
        return None

    async def run(self) -> None:
        """Append what is queued, until ``stop`` and nothing is left."""
        while self._queue or not self._stopping.is_set():
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            if not self._stopping.is_set():
                # What comes together is written together: agents fold many events at once for
                # a fraction of what they cost one by one.
                await asyncio.sleep(_LINGER_SECONDS)
            await self._write_queued()

    def stop(self) -> None:
        """Let ``run`` return once the queue is empty."""
        self._stopping.set()
        self._wake.set()

    async def _write_queued(self) -> None:
        """Append the decisions queued now, a few at a time, then all that they served at once."""
        served: Batches = {}
        left = len(self._queue)
        while left > 0 and self._queue:
            batch = max(_BATCH, left // _SHARE)
            self._writing = [self._queue.popleft() for _ in range(min(batch, len(self._queue)))]
            left -= batch
            await self._write(self._writing, served)
            self._writing = []
            if not self._stopping.is_set():
                await asyncio.sleep(_PAUSE_SECONDS)
        await self._try_append(served)

    async def _write(self, decisions: Sequence[Decision], served: Batches) -> None:
        batches: Batches = {}
        for number, decision in enumerate(decisions, 1):
            value = await self._encode(decision)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
            if value is None:
                continue
            if len(value) + len(decision.id) > MAX_DECISION_BYTES:
                self._metrics.decisions_dropped.labels("too large").inc()
                continue
            tp = TopicPartition(DECISIONS, partition_of(decision.id))
            entry = Entry(decision.id.encode(), value, decision.at)
            batches.setdefault(tp, []).append(entry)
            self._written[decision.id] = value
            for event in self._served(decision):
                key = event.visitor.encode()
                partition = partition_for(key, self._log.partitions(VISITOR_EVENTS))
                entry = Entry(key, VISITOR_EVENT.encode(event), decision.at)
                served.setdefault(TopicPartition(VISITOR_EVENTS, partition), []).append(entry)
        _bound(self._written, _WRITTEN)
        await self._try_append(batches)

    async def _encode(self, decision: Decision) -> bytes | None:
        """The record, compressed: in a thread where that takes long; a short one costs the loop
        less than changing threads does."""
        try:
            if len(decision.vectors) > _SHORT_BYTES:
                return await asyncio.to_thread(_pack_and_encode, decision)
            return _pack_and_encode(decision)
        except Exception:
            # It must not stop all that come after it.
            _logger.exception("decision not recorded", decision=decision.id)
            self._metrics.decisions_dropped.labels("error").inc()
            return None

    async def _try_append(self, batches: Batches) -> None:
        """Append. What no log takes must not stop all that comes after it."""
        try:
            await self._append(batches)
        except Exception:
            lost = sum(len(batch) for tp, batch in batches.items() if tp.topic == DECISIONS)
            _logger.exception(
                "not appended", decisions=lost, records=sum(map(len, batches.values()))
            )
            self._metrics.decisions_dropped.labels("error").inc(lost)

    async def _append(self, batches: Batches) -> None:
        """Append, again and again with longer pauses where the log does not take them."""
        pause = _FIRST_RETRY_SECONDS
        while batches:
            left: Batches = {}
            try:
                async with asyncio.timeout(self._append_timeout):
                    await self._log.append(batches)
            except LogUnavailable as error:
                _logger.warning("decisions not appended, trying again", reason=str(error))
                left = {tp: batches[tp] for tp in batches if tp in error.partitions}
            except TimeoutError:
                _logger.warning("decisions not appended in time, trying again")
                left = batches
            written = [len(batches[tp]) for tp in batches.keys() - left if tp.topic == DECISIONS]
            self._metrics.decisions.inc(sum(written))
            if left:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
            batches = left

    def _served(self, decision: Decision) -> list[StampedEvent]:
        """What the visitor's own log says of the decision: what was shown to them."""
        visitor, user = decision.visitor, decision.request.user
        if visitor is None:
            if user is None:
                return []
            visitor = USER_VISITOR + user
        shown = [decision.candidates[shown.candidate] for shown in decision.shown]
        served = StampedEvent(
            SERVED, visitor, decision.at, [Stamp(item) for item in shown], decision=decision.id
        )
        if not (decision.surface.counts_served and IMPRESSION in self._plan.event_index):
            return [served]
        stamped = [self._stamp(item) for item in shown]
        seen = structs.replace(served, type=IMPRESSION, items=stamped, id=decision.id)
        return [served, seen]


def shown_so_far(decision: Decision) -> list[str]:
    """The items of this page and of those before it."""
    page = [decision.candidates[shown.candidate] for shown in decision.shown]
    return [*decision.shown_before, *page]


def _pack_and_encode(decision: Decision) -> bytes:
    return DECISION.encode(pack(decision))


def _bound(kept: dict[str, Any], size: int) -> None:
    """Drop what was kept first."""
    while len(kept) > size:
        del kept[next(iter(kept))]
