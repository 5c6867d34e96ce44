"""Taking events: check, stamp, append, and say what became of each."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence, Set
from time import perf_counter

from msgspec import structs

from api.metrics import Metrics
from api.overlay import Overlay, RecentItems
from api.results import EventResult, Taken
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, LogUnavailable, Topic, TopicPartition
from personalization.events import CatalogueRecord, StampedEvent
from personalization.plan import StatePlan
from personalization.state.keys import catalogue_key
from personalization.wire import FieldError, Line, Rejected, accept
from tables.tokens import Token
from tables.topics import CATALOGUE, CATALOGUE_RECORD, VISITOR_EVENT, VISITOR_EVENTS

APPEND = 500  # events in one append, which holds the loop for about a millisecond
MAX_RECORD_BYTES = Topic(VISITOR_EVENTS, 1).max_record_bytes
_SLICE_SECONDS = 0.0005
_CHECK_TIME_EVERY = 16
_FIRST_NAME = re.compile(r"\w+")


class NotAppended(Exception):
    """The log did not take the events at ``indexes``; ``taken`` says all there is to say."""

    def __init__(self, indexes: list[int], taken: Taken, reason: str) -> None:
        self.indexes = indexes
        self.taken = taken
        super().__init__(reason)


class _Batch:
    """What one append will take."""

    def __init__(self, under: RecentItems, plan: StatePlan) -> None:
        self.items = Overlay(under, plan)
        self.entries: dict[TopicPartition, list[Entry]] = {}
        self.indexes: dict[TopicPartition, list[int]] = {}
        self.records: list[tuple[CatalogueRecord, TopicPartition]] = []
        self.kinds: dict[TopicPartition, list[str]] = {}


class Intake:
    """The way of every event, from any route, into the log."""

    def __init__(
        self,
        log: EventLog,
        plan: StatePlan,
        items: RecentItems,
        metrics: Metrics,
        clock: Callable[[], int],
        append_timeout: float,
    ) -> None:
        self._log = log
        self._plan = plan
        self._items = items
        self._metrics = metrics
        self._clock = clock
        self._append_timeout = append_timeout

    async def take(
        self, lines: Sequence[Line], belongs: Callable[[Line], str | None] | None = None
    ) -> Taken:
        """Check, stamp and append ``lines`` in order; ``belongs`` may say why one does not.

        Raises ``NotAppended``. Up to 500 lines are one append.
        """
        now = self._clock()
        token = Token()
        results: list[EventResult] = []
        for start in range(0, len(lines), APPEND):
            batch = _Batch(self._items, self._plan)
            self._items.forget_applied()
            began = perf_counter()
            for index, line in enumerate(lines[start : start + APPEND], start):
                errors = self._check(batch, index, line, now, belongs)
                results.append(
                    EventResult(index, "rejected" if errors else "accepted", line.id, errors)
                )
                if index % _CHECK_TIME_EVERY == 0 and perf_counter() - began > _SLICE_SECONDS:
                    await asyncio.sleep(0)
                    began = perf_counter()
            failed, lasts = await self._append(batch)
            token = token.merged(Token.of(lasts))
            if failed is not None:
                later = lines[start + APPEND :]
                raise self._not_appended(failed, batch, results, later, token)
        return Taken(results, token.text())

    async def record(self, record: CatalogueRecord) -> str:
        """Append one change of the catalogue; its token. Raises ``NotAppended``."""
        self._items.forget_applied()
        batch = _Batch(self._items, self._plan)
        self._add(batch, 0, record, self._clock())
        failed, lasts = await self._append(batch)
        if failed is not None:
            results = [EventResult(0, "accepted", None)]
            raise self._not_appended(failed, batch, results, [], Token())
        return Token.of(lasts).text()

    def _check(
        self,
        batch: _Batch,
        index: int,
        line: Line,
        now: int,
        belongs: Callable[[Line], str | None] | None,
    ) -> list[FieldError]:
        """Add ``line`` to ``batch``, or say what is wrong with it."""
        try:
            if belongs is not None and (reason := belongs(line)) is not None:
                raise Rejected([FieldError("type", reason)])
            record = accept(line, plan=self._plan, now=now, stamp=batch.items.stamp)
            self._add(batch, index, record, now)
        except Rejected as error:
            for field in error.errors:
                name = _FIRST_NAME.match(field.field)
                self._metrics.rejected.labels(name[0] if name else "").inc()
            return error.errors
        return []

    def _add(
        self, batch: _Batch, index: int, record: StampedEvent | CatalogueRecord, now: int
    ) -> None:
        """Raises ``Rejected`` where the record is too large for the log."""
        if isinstance(record, StampedEvent):
            topic, kind = VISITOR_EVENTS, record.type
            key, value = record.visitor.encode(), VISITOR_EVENT.encode(record)
        else:
            topic, kind = CATALOGUE, f"{record.kind} {record.op}"
            key = catalogue_key(record.kind, record.id).encode()
            value = CATALOGUE_RECORD.encode(record)
        if len(key) + len(value) > MAX_RECORD_BYTES:
            reason = f"with their attributes take more than {MAX_RECORD_BYTES} bytes"
            raise Rejected([FieldError("items", reason)])
        tp = TopicPartition(topic, partition_for(key, self._log.partitions(topic)))
        batch.entries.setdefault(tp, []).append(Entry(key, value, now))
        batch.indexes.setdefault(tp, []).append(index)
        batch.kinds.setdefault(tp, []).append(kind)
        if isinstance(record, CatalogueRecord):
            batch.records.append((record, tp))
            batch.items.add(record)

    async def _append(
        self, batch: _Batch
    ) -> tuple[LogUnavailable | None, dict[TopicPartition, int]]:
        """Append all of ``batch``: what failed, and up to where the other partitions go."""
        if not batch.entries:
            return None, {}
        failed = None
        try:
            async with asyncio.timeout(self._append_timeout):
                lasts = await self._log.append(batch.entries)
        except TimeoutError:
            reason = "no answer in time; they may be in it: send them again with their ids"
            failed, lasts = LogUnavailable(batch.entries, reason), {}
        except LogUnavailable as error:
            failed, lasts = error, await self._ends(batch.entries.keys() - error.partitions)
        taken = [(record, tp) for record, tp in batch.records if tp in lasts]
        self._items.appended(taken, lasts)
        for kind, count in Counter(k for tp in lasts for k in batch.kinds[tp]).items():
            self._metrics.accepted.labels(kind).inc(count)
        return failed, lasts

    async def _ends(self, partitions: Set[TopicPartition]) -> dict[TopicPartition, int]:
        """Offsets at or after what was appended to ``partitions`` a moment ago."""
        if not partitions:
            return {}
        try:
            async with asyncio.timeout(self._append_timeout):
                ends = await self._log.end_offsets(partitions)
        except (LogUnavailable, TimeoutError):
            return {}  # their events are in the log, but the token will not say so
        return {tp: end - 1 for tp, end in ends.items()}

    def _not_appended(
        self,
        failed: LogUnavailable,
        batch: _Batch,
        results: list[EventResult],
        later: Sequence[Line],
        token: Token,
    ) -> "NotAppended":
        """The partitions' events, and all ``later`` lines: what comes after must not overtake."""
        indexes = sorted(index for tp in failed.partitions for index in batch.indexes.get(tp, ()))
        for index in indexes:
            results[index] = structs.replace(results[index], status="not_appended")
        for index, line in enumerate(later, len(results)):
            results.append(EventResult(index, "not_appended", line.id))
            indexes.append(index)
        self._metrics.not_appended.inc(len(indexes))
        return NotAppended(indexes, Taken(results, token.text()), str(failed))
