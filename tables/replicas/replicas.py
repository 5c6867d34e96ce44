"""The rows of every table as one API process reads them: local, and moments old."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Literal

from eventlog.protocol import EventLog, LogUnavailable, Reader, Record, TopicPartition
from personalization.codec import Codec
from personalization.columns import Columns
from personalization.events import Stamp
from personalization.plan import StatePlan
from personalization.state.keys import catalogue_key, subject_of
from personalization.state.rows import CatalogueRow, Watermark
from tables.replicas.applying import COLUMNAR, Applier
from tables.replicas.decisions import DecisionIndex
from tables.replicas.progress import Progress
from tables.replicas.stamps import Stamps
from tables.replicas.store import RowStore, StoredRow, identity
from tables.replicas.waiting import catalogue_passed, check, events_passed, signals_taken
from tables.replicas.watermarks import TablePartition, Watermarks
from tables.stopping import cancelled
from tables.tokens import Token
from tables.topics import (
    CATALOGUE_ROWS,
    TABLES,
    USERS,
    VISITORS,
    Table,
    changelog_topic,
)
from tables.turns import Turns

_logger = logging.getLogger(__name__)

_CATALOGUE_ROW = Codec(CatalogueRow)

_LIVE_RECORDS = 64
_LIVE_SLICE_SECONDS = 0.0004
_BULK_RECORDS = 32_768
_BULK_SLICE_SECONDS = 0.005
_POLL_SECONDS = 1.0
_MEASURE_SECONDS = 0.1
_MEASURE_TIMEOUT_SECONDS = 5.0


class Replicas:
    """Tails the changelogs of all tables into ``path`` and into ``columns``; writes nothing else.

    ``path`` is a cache: deleted, or left by another deployment, it is made again from the
    changelogs, in bulk. Reads give what is applied, from the first moment on; before
    ``progress.ready`` that is less than there is. One event loop uses it, in which no slice of
    its work takes longer than half a millisecond once it is ready. ``clock`` is in seconds.
    ``turns``, shared with the agents of the loop, hurry while a change of the catalogue is waited
    for.
    """

    def __init__(
        self,
        log: EventLog,
        plan: StatePlan,
        *,
        path: Path,
        app_id: str,
        clock: Callable[[], float] = perf_counter,
        turns: Turns | None = None,
    ) -> None:
        self.columns = Columns(plan)
        self.progress = Progress()
        self._log = log
        self._clock = clock
        self._turns = turns or Turns()
        self._topics = {changelog_topic(app_id, table, plan.state_id): table for table in TABLES}
        self._partitions = _table_partitions(log, self._topics)
        self._store = RowStore(
            path / "rows", identity(app_id, plan.state_id, len(self._partitions) // len(TABLES))
        )
        self._decisions = DecisionIndex(log, path / "decisions")
        self._stamps = Stamps(lambda item: self.catalogue_row(*subject_of(item)), plan)
        self._measured_at: float | None = None
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to catch up, in the background. The topics must exist.

        Where the log does not answer, ``LogUnavailable`` is raised; it may be called again.
        """
        ends = await self._log.end_offsets(self._partitions)
        positions = await self._positions(ends)
        decisions = await self._decisions.reader()
        reader = self._log.reader(positions)
        self._watermarks = Watermarks(self._store.watermarks())
        self._applier = Applier(
            self._store,
            self.columns,
            self._stamps,
            self._watermarks,
            self._clock,
            self._partitions.values() - self._store.positions().keys(),
        )
        self._behind = dict.fromkeys((table.name for table in TABLES), 0)
        self._tasks = [
            asyncio.create_task(self._tail(reader, ends), name="replicas"),
            asyncio.create_task(self._measure(reader), name="replicas measuring"),
            asyncio.create_task(self._decisions.tail(decisions), name="decision index"),
        ]

    async def ready(self) -> None:
        """Return once everything that was in the changelogs at the start is applied.

        Raises what stopped the replica, if something did. The caller bounds the wait.
        """
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait((ready, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    task.result()
        finally:
            ready.cancel()

    async def failed(self) -> None:
        """Return never; raise what stopped the replica: a row it cannot read, a full disk."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop tailing and close what is on disk. Before the log is stopped."""
        tasks, self._tasks = self._tasks, []
        await cancelled(tasks)
        self._store.close()
        self._decisions.close()

    def row(self, table: str, key: str) -> bytes | None:
        """An encoded row; of the catalogue the key is ``item:<id>``, ``seller:<id>``, …"""
        stored = self._store.get(table, key.encode())
        return None if stored is None else stored[1]

    def visitor(self, id: str) -> StoredRow | None:
        """The partition of a visitor's row, and the row, encoded."""
        return self._store.get(VISITORS.name, id.encode())

    def user(self, id: str) -> StoredRow | None:
        """The partition of a user's row, and the row, encoded."""
        return self._store.get(USERS.name, id.encode())

    def catalogue_row(self, kind: str, id: str) -> CatalogueRow | None:
        """Attributes of an ``item``, a ``seller`` or a ``user``; a deleted one says so."""
        row = self.row(CATALOGUE_ROWS.name, catalogue_key(kind, id))
        return None if row is None else _CATALOGUE_ROW.decode(row)

    def stamp(self, item: str) -> Stamp:
        """The item as an event that is accepted now records it."""
        return self._stamps.get(item)

    async def decision(self, id: str) -> bytes | None:
        """The record of a decision; ``None`` where it is unknown or no longer kept."""
        return await self._decisions.decision(id)

    @property
    def newest_event_at(self) -> int:
        """The time (ms) of the newest event in any visitor's row; 0 where there is none."""
        return self._applier.newest_event_at

    def behind(self) -> Mapping[str, int]:
        """For each table how many changelog records are not applied, as of 0.1 s ago at most."""
        return self._behind

    def measured_ms_ago(self) -> int | None:
        """How old what ``behind`` says is; ``None`` before the first measurement."""
        if self._measured_at is None:
            return None
        return int((self._clock() - self._measured_at) * 1000)

    def watermark(self, table: str, partition: int) -> Watermark:
        """How far the rows that are applied have read their topic."""
        return self._watermarks.get(TablePartition(table, partition))

    async def wait(self, token: Token, scope: Literal["own", "all"], timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until what the token stands for is applied.

        ``own``: in the rows of visitors and of the catalogue. ``all``: also in those of users,
        items, sellers and segments. Raises ``TokenError`` for a partition that this log does not
        have; an offset that it never reaches is waited for in vain.
        """
        check(token, self._log)
        try:
            async with asyncio.timeout(timeout):
                if token.catalogue:
                    with self._turns.hurry():  # not for its events: those the agents must fold
                        await catalogue_passed(token, self._watermarks)
                chains = await events_passed(token, self._watermarks)
                if scope == "all":
                    await signals_taken(chains, self._watermarks)
        except TimeoutError:
            return False
        return True

    async def _positions(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Where to go on; from the front, with nothing, where a changelog was made anew."""
        kept = self._store.positions()
        if any(kept.get(at, 0) > ends[tp] for tp, at in self._partitions.items()):
            _logger.warning("the changelogs were made anew: reading them from the front")
            self._store.clear()
            kept = {}
        starts = await self._log.start_offsets(self._partitions)
        return {tp: max(starts[tp], kept.get(at, 0)) for tp, at in self._partitions.items()}

    async def _tail(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> None:
        try:
            await self._catch_up(reader, ends)
            await self._load_columns()
            self._applier.columnar = True
            self.progress.total = self.progress.done
            self.progress.ready = True
            self._ready.set()
            while True:
                polled = await reader.poll(_LIVE_RECORDS, _POLL_SECONDS)
                await self._apply(polled, _LIVE_SLICE_SECONDS)
        finally:
            await reader.close()

    async def _catch_up(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> None:
        """Bring the store to where the changelogs ended at the start, without the columns."""
        tail = sum(max(0, end - reader.position(tp)) for tp, end in ends.items())
        self.progress.total = tail + self._store.size()
        while any(reader.position(tp) < end for tp, end in ends.items()):
            polled = await reader.poll(_BULK_RECORDS, _POLL_SECONDS)
            await self._apply(polled, _BULK_SLICE_SECONDS)
            self.progress.done += sum(map(len, polled.values()))

    async def _load_columns(self) -> None:
        self.progress.total = self.progress.done + self._store.size()
        for table in COLUMNAR:
            ends = self._clock() + _BULK_SLICE_SECONDS
            for key, row in self._store.rows(table):
                self._applier.load(table, key, row)
                self.progress.done += 1
                if self._clock() >= ends:
                    await asyncio.sleep(0)
                    ends = self._clock() + _BULK_SLICE_SECONDS

    async def _apply(
        self, polled: Mapping[TopicPartition, list[Record]], slice_seconds: float
    ) -> None:
        batches = [(self._partitions[tp], batch) for tp, batch in polled.items()]
        batches.sort(key=_waited_for, reverse=True)
        records = [(at, record) for at, batch in batches for record in batch]
        applied = 0
        while applied < len(records):
            applied = self._applier.apply(records, applied, slice_seconds)
            await asyncio.sleep(0)

    async def _measure(self, reader: Reader) -> None:
        known = True
        while True:
            try:
                async with asyncio.timeout(_MEASURE_TIMEOUT_SECONDS):
                    ends = await self._log.end_offsets(self._partitions)
            except (LogUnavailable, TimeoutError) as error:
                if known:
                    reason = str(error) or "no answer in time"
                    _logger.warning("how far the replicas are behind is unknown: %s", reason)
                known = False
            else:
                if not known:
                    _logger.info("how far the replicas are behind is known again")
                known = True
                self._measured_at = self._clock()
                behind = dict.fromkeys(self._behind, 0)
                for tp, end in ends.items():
                    behind[self._partitions[tp].table] += max(0, end - reader.position(tp))
                self._behind = behind
            await asyncio.sleep(_MEASURE_SECONDS)


def _waited_for(batch: tuple[TablePartition, list[Record]]) -> bool:
    """Whether tokens stand for rows of its table: few, and not to wait behind the many others."""
    return batch[0].table in (VISITORS.name, CATALOGUE_ROWS.name)


def _table_partitions(
    log: EventLog, topics: Mapping[str, Table]
) -> dict[TopicPartition, TablePartition]:
    return {
        TopicPartition(topic, number): TablePartition(table.name, number)
        for topic, table in topics.items()
        for number in range(log.partitions(topic))
    }
