"""What a worker does with the partitions it is assigned: recover, fold, look after them."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

import structlog

from agents.hand_over import HandOver
from agents.slices import Slices
from api.readiness import Readiness
from eventlog.kafka import Connection, KafkaLog
from eventlog.protocol import LogUnavailable, TopicPartition
from freshet.settings import Settings
from freshet.state import StageProgress, now_ms
from freshet.worker_faust import make_worker_app, read_offset
from freshet.worker_http import WorkerMetrics
from personalization.plan import StatePlan
from tables.bulk import Bulk
from tables.owned_store import OwnedStore
from tables.recovery import RecoveryStalled, TablePartition, recover
from tables.topics import TABLES
from tables.turns import Turns
from tables.windows import Windows
from tables.writer import BatchWriter, FoldedBatch

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_SETTLE_SECONDS = 5.0
_SLICE_SECONDS = 0.02

_GIVE_UP_SECONDS = 120.0
"""A broker that was killed looks through all its partitions before it takes anything."""

_TOPICS = sorted({table.source for table in TABLES})

_logger = structlog.get_logger(__name__)


class _MeasuredWriter(BatchWriter):
    def __init__(self, metrics: WorkerMetrics, log: KafkaLog, store: OwnedStore, app_id: str):
        super().__init__(log, store, app_id=app_id, clock=now_ms, give_up=_GIVE_UP_SECONDS)
        self._metrics = metrics

    async def write(self, batch: FoldedBatch) -> None:
        began = time.perf_counter()
        await super().write(batch)
        if batch.tables:
            source = batch.tables[0].table.source
            self._metrics.written.labels(source).observe(time.perf_counter() - began)
        for part in batch.tables:
            self._metrics.rows.labels(part.table.name).inc(len(part.rows))
        self._metrics.dead_letters.inc(len(batch.dead_letters))


class Folding:
    """The agents of one worker, and the partitions they own."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        *,
        client_id: str,
        log: KafkaLog,
        store: OwnedStore,
        plan: StatePlan,
        readiness: Readiness,
        metrics: WorkerMetrics,
        progress: StageProgress,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._client_id = client_id
        self._log = log
        self._store = store
        self._plan = plan
        self._readiness = readiness
        self._metrics = metrics
        self._progress = progress
        self._windows = Windows(log)
        self._writer = _MeasuredWriter(metrics, log, store, settings.app_id)
        self._hand_over = HandOver(settings.session_timeout_seconds)
        self._owned: list[TablePartition] = []
        self._app: Any = None

    @property
    def partitions(self) -> set[int]:
        """Those that are this worker's, and up to date."""
        return {part.partition for part in self._owned}

    async def start(self) -> None:
        """Join the group; return when what was assigned first is recovered."""
        self._app = make_worker_app(
            self._settings,
            self._connection,
            client_id=self._client_id,
            log=self._log,
            store=self._store,
            plan=self._plan,
            windows=self._windows,
            writer=self._writer,
            hand_over=self._hand_over,
            recover_tables=self._recover,
        )
        self._app.on_partitions_revoked.connect(self._revoked, weak=False)
        await self._app.start()
        recovered = asyncio.create_task(self._app.tables.recovery.completed.wait())
        crashed = asyncio.create_task(self.crashed())
        try:
            await asyncio.wait((recovered, crashed), return_when=asyncio.FIRST_COMPLETED)
            if crashed.done():
                crashed.result()
        finally:
            recovered.cancel()
            crashed.cancel()

    async def crashed(self) -> None:
        """Ends when the agents do, by raising why."""
        await self._app.wait_until_stopped()
        raise self._app.crash_reason or RuntimeError("the agents have stopped")

    async def look(self) -> None:
        """Once a second: what have others written to our changelogs, and what is left to fold?

        Ends only by raising.
        """
        told = False
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            owned = self._owned
            try:
                unread = await self._store.unread(owned)
                await self._measure()
            except LogUnavailable as error:
                if not told:
                    _logger.warning("the log cannot be asked", reason=str(error))
                told = True
                continue
            told = False
            if unread:
                async with self._hand_over.alone(_SETTLE_SECONDS) as alone:
                    if alone:
                        await self._read(unread)

    async def _read(self, parts: Collection[TablePartition]) -> None:
        """Until all is read: nothing may be folded on what was read in part."""
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                return await self._store.read(parts)
            except (LogUnavailable, RecoveryStalled):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def stop(self) -> None:
        """Finish and commit the batches under way, then leave the agents' work to the next start.

        The group is not left: the partitions wait for us until the session time-out.
        """
        app, self._app = self._app, None
        if app is None:
            return
        if app.crash_reason is None and app.consumer.started:
            app.consumer.stop_flow()
            app.flow_control.suspend()
            app.flow_control.clear()
            if not await self._hand_over.settled(_SETTLE_SECONDS):
                _logger.warning("a batch was not written in time; it is folded again")
            await app.consumer.commit()
        await app.stop()

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self._owned = []
        self._metrics.partitions.set(0)
        await self._hand_over.settled(_SETTLE_SECONDS)

    async def _recover(self, parts: Collection[TablePartition]) -> None:
        partitions = sorted({part.partition for part in parts})
        self._windows.keep(partitions)
        began = time.monotonic()
        while True:
            try:
                records = await recover(
                    self._log,
                    self._store,
                    app_id=self._settings.app_id,
                    of=parts,
                    progress=lambda done, total: self._progress("changelogs", done, total),
                )
                records += await self._refold(parts)
                break
            except (LogUnavailable, RecoveryStalled) as error:
                self._readiness.waiting = f"recovery waits for the log: {error}"
                _logger.warning("recovery waits for the log", reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
        self._readiness.waiting = None
        self._owned = list(parts)
        self._metrics.partitions.set(len(partitions))
        _logger.info(
            "assigned",
            partitions=partitions,
            recovered=records,
            seconds=round(time.monotonic() - began, 3),
        )

    async def _refold(self, parts: Collection[TablePartition]) -> int:
        """Fold in bulk where a table has nothing of its topic: its changelog is new, or was lost.

        How many records that were.
        """
        sources = {part: TopicPartition(part.table.source, part.partition) for part in parts}
        starts = await self._log.start_offsets(sources.values())
        ends = await self._log.end_offsets(sources.values())
        if not any(
            starts[tp] < ends[tp]
            and self._store.watermark(part.table.name, tp.partition).offset < 0
            for part, tp in sources.items()
        ):
            return 0
        slices = Slices(Turns(), _SLICE_SECONDS)
        bulk = Bulk(
            self._log,
            self._store,
            self._plan,
            app_id=self._settings.app_id,
            windows=self._windows,
            clock=now_ms,
            of=sorted({part.partition for part in parts}),
            pause=slices.pause,
            writer=self._writer,
        )
        return await bulk.catch_up(lambda done, total: self._progress("entity topics", done, total))

    async def _measure(self) -> None:
        sources = [TopicPartition(topic, p) for topic in _TOPICS for p in self.partitions]
        ends = await self._log.end_offsets(sources)
        behind = dict.fromkeys(_TOPICS, 0)
        for tp, end in ends.items():
            behind[tp.topic] += max(0, end - read_offset(self._store, *tp))
        self._metrics.set_behind(behind)
