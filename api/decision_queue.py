"""Decisions on their way into the log: queued, bounded, appended within 100 ms."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from msgspec import structs

from api.metrics import Metrics
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision, pack
from personalization.events import SERVED, Stamp, StampedEvent
from personalization.plan import StatePlan
from personalization.ranking.surface import SCORES
from personalization.ranking.ulid import partition_of
from personalization.state.keys import USER_VISITOR
from tables.topics import DECISIONS, MAX_DECISION_BYTES, VISITOR_EVENT, VISITOR_EVENTS

_LINGER_SECONDS = 0.05
_BATCH = 4  # decisions in one append: 0.1 ms, which a ranking hardly notices
_SERVED = 8  # of what they served: agents take 0.2 ms to skip that many
_SHARE = 32  # of a longer queue this part is appended at once, so that it does not grow
_PAUSE_SECONDS = 0.001
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0
_WRITTEN = 256
_PAGES = 10_000

IMPRESSION = "impression"

Batches = dict[TopicPartition, list[Entry]]

_logger = structlog.get_logger(__name__)


class _Queued(NamedTuple):
    """A decision's record, and what it says to its visitor's own log."""

    id: str
    at: TopicPartition
    record: Entry
    served: list[tuple[TopicPartition, Entry]]


class DecisionQueue:
    """Takes decisions from rankings and appends them, with what was served, behind their backs.

    Each is encoded as soon as its ranking was answered: bytes wait at no cost, where the objects
    they are made of would be looked at by every collection of garbage.

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
        self._decided: deque[Decision] = deque()
        self._queue: deque[_Queued] = deque()
        self._writing: list[_Queued] = []
        self._written: dict[str, bytes] = {}
        self._pages: dict[str, list[str]] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def put(self, decision: Decision) -> None:
        """Queue a decision that is about to be served."""
        if len(self._queue) + len(self._decided) >= self._size:
            (self._queue or self._decided).popleft()
            self._metrics.decisions_dropped.labels("queue full").inc()
        self._decided.append(decision)
        asyncio.get_running_loop().call_soon(self._encode_one)
        self._pages[decision.id] = shown_so_far(decision)
        _bound(self._pages, _PAGES)

    def queued(self) -> int:
        """How many decisions are not in the log yet."""
        return len(self._decided) + len(self._queue) + len(self._writing)

    def pages(self, id: str) -> list[str] | None:
        """The items shown by a recent decision and by the pages before it."""
        return self._pages.get(id)

    def recent(self, id: str) -> bytes | None:
        """The record of a decision that an index may not have yet."""
        written = self._written.get(id)
        if written is not None:
            return written
        for queued in (*self._writing, *self._queue):
            if queued.id == id:
                return queued.record.value
        for decision in self._decided:
            if decision.id == id:
                return DECISION.encode(decision)
        return None

    async def run(self) -> None:
        """Append what is queued, until ``stop`` and nothing is left."""
        while self._decided or self._queue or not self._stopping.is_set():
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            if not self._stopping.is_set():
                # Several are written together: one by one they would cost agents more.
                await asyncio.sleep(_LINGER_SECONDS)
            await self._write_queued()

    def stop(self) -> None:
        """Let ``run`` return once the queue is empty."""
        self._stopping.set()
        self._wake.set()

    async def _write_queued(self) -> None:
        """Append the decisions queued now, then all that they served, a few at a time."""
        served: list[tuple[TopicPartition, Entry]] = []
        left = len(self._queue)
        while left > 0 and self._queue:
            batch = max(_BATCH, left // _SHARE)
            self._writing = [self._queue.popleft() for _ in range(min(batch, len(self._queue)))]
            left -= batch
            served += [entry for queued in self._writing for entry in queued.served]
            await self._write(self._writing)
            self._writing = []
            await self._pause()
        batch = max(_SERVED, len(served) // _SHARE)
        for start in range(0, len(served), batch):
            await self._try_append(_by_partition(served[start : start + batch]))
            await self._pause()

    async def _pause(self) -> None:
        if not self._stopping.is_set():
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _write(self, queued: Sequence[_Queued]) -> None:
        for decision in queued:
            if decision.record.value is not None:
                self._written[decision.id] = decision.record.value
        _bound(self._written, _WRITTEN)
        await self._try_append(_by_partition([(one.at, one.record) for one in queued]))

    def _encode_one(self) -> None:
        """Encode the decision that waits longest, if any does."""
        if not self._decided:
            return
        decision = self._decided.popleft()
        try:
            queued = self._encoded(decision)
        except Exception:
            # It must not stop all that come after it.
            _logger.exception("decision not recorded", decision=decision.id)
            self._metrics.decisions_dropped.labels("error").inc()
        else:
            if queued is not None:
                self._queue.append(queued)
        self._wake.set()

    def _encoded(self, decision: Decision) -> _Queued | None:
        """``decision`` in bytes; ``None`` where these are too many."""
        key, value = decision.id.encode(), DECISION.encode(pack(decision))
        if len(key) + len(value) > MAX_DECISION_BYTES:
            self._metrics.decisions_dropped.labels("too large").inc()
            return None
        served = []
        for event in self._served(decision):
            visitor = event.visitor.encode()
            partition = partition_for(visitor, self._log.partitions(VISITOR_EVENTS))
            entry = Entry(visitor, VISITOR_EVENT.encode(event), decision.at)
            served.append((TopicPartition(VISITOR_EVENTS, partition), entry))
        at = TopicPartition(DECISIONS, partition_of(decision.id))
        return _Queued(decision.id, at, Entry(key, value, decision.at), served)

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
        if decision.surface.name == SCORES:
            return []
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


def _by_partition(entries: Sequence[tuple[TopicPartition, Entry]]) -> Batches:
    batches: Batches = {}
    for tp, entry in entries:
        batches.setdefault(tp, []).append(entry)
    return batches


def _bound(kept: dict[str, Any], size: int) -> None:
    """Drop what was kept first."""
    while len(kept) > size:
        del kept[next(iter(kept))]
