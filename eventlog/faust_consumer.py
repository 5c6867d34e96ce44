"""Faust's consumer over the embedded log."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from faust.assignor.client_assignment import ClientAssignment
from faust.events import Event
from faust.exceptions import ImproperlyConfigured
from faust.transport.consumer import Consumer as FaustConsumer
from faust.types import TP, ConsumerMessage

from eventlog.embedded.reader import EmbeddedReader
from eventlog.faust_flow import InFlight, InFlightByPartition
from eventlog.faust_producer import create_missing, log_of, route
from eventlog.protocol import Record, TopicPartition

MAX_IN_FLIGHT = 512
"""Delivered records of one partition that may wait for their acknowledgement."""

SLICE = 32
"""Records delivered before the loop gets a turn."""

_POLL_SECONDS = 1.0
_QUEUE_SHARE = 0.75


class Consumer(FaustConsumer):
    """Delivers records as they are appended, a slice at a time, fairly among partitions.

    No partition has more than ``MAX_IN_FLIGHT`` records with the agents, and no topic more than
    its agents' queues hold, so a long queue of one topic never keeps back another: delivery never
    waits for an agent.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log = log_of(self.app)
        self._reader: EmbeddedReader = self._log.reader({})
        self._assigned: set[TP] = set()
        self._limits: dict[str, int] = {}
        # Why a partition is not delivered, apart from Faust having paused it:
        self._unplaced: set[TP] = set()  # it was not sought to its committed offset yet,
        self._placed: set[TP] = set()  # it was, and Faust is about to clear the agents' queues,
        self._throttled: set[TP] = set()  # or its agents have enough of it.
        # Faust's own bookkeeping of acknowledgements, replaced: see ``InFlight``.
        self._in_flight = InFlightByPartition(self._on_acked)
        self._acked = self._acked_index = cast(Any, self._in_flight)

    async def create_topic(
        self, topic: str, partitions: int, replication: int, **options: Any
    ) -> None:
        """Create ``topic`` if it is missing."""
        await create_missing(self._log, topic, partitions, options)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Take every partition of ``topics``. The conductor waits here, so a task of its own."""
        self.add_future(self._assign(set(topics)))

    async def _assign(self, topics: set[str]) -> None:
        app = self.app
        assigned = {TP(t, p) for t in topics for p in range(self._partitions(t))}
        if assigned == self._assigned:
            return
        app.on_rebalance_start()
        if self._assigned:
            await self.on_partitions_revoked(set(self._assigned))
        await self._reader.close()
        self._assigned = assigned
        self._limits = {topic: self._limit(topic) for topic in topics}
        self._unplaced = {tp for tp in assigned if not self._is_changelog_tp(tp)}
        self._placed.clear()
        self._throttled.clear()
        self._reader = self._log.reader(await self._log.start_offsets(map(_log_tp, assigned)))
        tell_assignor(app, assigned)
        app.consumer_generation_id += 1
        await self.on_partitions_assigned(set(assigned), app.consumer_generation_id)

    def _limit(self, topic: str) -> int:
        queue_size = self.app.conf.stream_buffer_maxsize
        limit = min(MAX_IN_FLIGHT, int(queue_size * _QUEUE_SHARE) // self._partitions(topic))
        if limit < SLICE:
            raise ImproperlyConfigured(
                f"stream_buffer_maxsize={queue_size} is too small for the "
                f"{self._partitions(topic)} partitions of {topic}"
            )
        return limit

    async def _drain_messages(self, fetcher: Any) -> None:
        # Faust's own loop makes three tasks for every record; this one none.
        while not (self.should_stop or fetcher.should_stop):
            if not self.flow_active:
                await self.can_resume_flow.wait()
                continue
            records = await self._getmany(None, _POLL_SECONDS)
            await self._deliver(records)
            await asyncio.sleep(0)

    async def _getmany(
        self, active_partitions: set[TP] | None, timeout: float
    ) -> dict[TP, list[Record]]:
        polled = await self._reader.poll(SLICE, timeout)
        return {TP(*tp): records for tp, records in polled.items()}

    async def _deliver(self, records_by_tp: Mapping[TP, list[Record]]) -> None:
        generation = self.app.consumer_generation_id
        for tp, records in records_by_tp.items():
            await self.app.flow_control.acquire()
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # what is left is read again: resuming seeks every partition
            if not self.app.topics.acks_enabled_for(tp.topic):
                for record in records:
                    if not self.flow_active or self.app.consumer_generation_id != generation:
                        return
                    await self.callback(self._to_message(tp, record))
                continue
            in_flight = self._in_flight[tp]
            self._hand_out(tp, records, in_flight)
            if len(in_flight) > self._limits[tp.topic] - SLICE:
                self._throttled.add(tp)
                self._pause_or_resume(tp)

    def _hand_out(self, tp: TP, records: list[Record], in_flight: InFlight) -> None:
        """Put ``records`` into the queues of the agents, which have room for them.

        Faust's conductor does the same in five coroutines for each record: it looks for types to
        decode, where ours are bytes, and for queues that are full, where ours are not.
        """
        app = self.app
        channels = cast(Any, app.topics)._tp_index[tp]
        for record in records:
            in_flight.deliver(record.offset)
            message = self._to_message(tp, record)
            message.refcount = len(channels)
            event = Event(app, record.key, record.value, None, message)
            for channel in channels:
                channel.queue.force_put_nowait(event)

    def _on_acked(self, tp: TP) -> None:
        if tp in self._throttled and len(self._in_flight[tp]) <= self._limits[tp.topic] // 2:
            self._throttled.discard(tp)
            self._pause_or_resume(tp)

    def _pause_or_resume(self, tp: TP) -> None:
        if any(
            tp in reasons
            for reasons in (
                self._paused_partitions,
                self._unplaced,
                self._placed,
                self._throttled,
            )
        ):
            self._reader.pause(_log_tp(tp))
        else:
            self._reader.resume(_log_tp(tp))

    def _to_message(self, tp: TP, record: Record) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp / 1000,
            0,  # the timestamp is the record's own
            None,
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Deliver nothing of ``tps`` until they are resumed."""
        tps = set(tps)
        super().pause_partitions(tps)
        for tp in tps:
            self._pause_or_resume(tp)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Deliver ``tps`` again."""
        tps = set(tps)
        super().resume_partitions(tps)
        for tp in tps:
            self._pause_or_resume(tp)

    def resume_flow(self) -> None:
        """Deliver again; called when recovery begins, and when everything is ready."""
        super().resume_flow()
        placed, self._placed = self._placed, set()
        for tp in placed:
            self._pause_or_resume(tp)

    def _new_offset(self, tp: TP) -> int | None:
        return self._in_flight[tp].committable()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self._log.commit(self.app.conf.id, {_log_tp(tp): n for tp, n in offsets.items()})
        return True

    async def seek_to_committed(self) -> dict[TP, int]:
        """Go to the committed offsets, or to the start where there is none.

        Changelogs are left out: Faust recovers them from the tables' own offsets.
        """
        committed = self._log.committed(self.app.conf.id)
        positions = {}
        for tp in self._assigned:
            if not self._is_changelog_tp(tp):
                start = self._log.start_offset(_log_tp(tp))
                positions[tp] = max(start, committed.get(_log_tp(tp), start))
                await self._seek(tp, positions[tp])
                self._placed.add(tp)
                self._pause_or_resume(tp)
        self._unplaced.clear()
        return positions

    async def _seek(self, partition: TP, offset: int) -> None:
        self._in_flight[partition].restart()
        self._reader.seek(_log_tp(partition), offset)
        self._throttled.discard(partition)
        self._pause_or_resume(partition)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek each partition."""
        for tp, offset in partitions.items():
            await self.seek(tp, offset)

    async def position(self, tp: TP) -> int | None:
        """The offset of the next record to deliver."""
        return self._reader.position(_log_tp(tp)) if tp in self._assigned else None

    def assignment(self) -> set[TP]:
        """The partitions this consumer reads."""
        return set(self._assigned)

    def highwater(self, tp: TP) -> int:
        """One more than the last offset."""
        return self._log.end_offset(_log_tp(tp))

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """One more than the last offset, of each."""
        return {tp: self.highwater(tp) for tp in partitions}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        """The lowest offset that may be read, of each."""
        return {tp: self._log.start_offset(_log_tp(tp)) for tp in partitions}

    def topic_partitions(self, topic: str) -> int | None:
        """How many partitions ``topic`` has."""
        try:
            return self._log.partitions(topic)
        except KeyError:
            return None

    def key_partition(
        self, topic: str, key: bytes | None, partition: int | None = None
    ) -> int | None:
        """Where a record goes."""
        if partition is not None:
            return partition
        return route(self._log, topic, key)

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def _partitions(self, topic: str) -> int:
        try:
            return self._log.partitions(topic)
        except KeyError:
            raise ImproperlyConfigured(
                f"agents read {topic}, which is not in the log; create it before the app starts"
            ) from None


def _log_tp(tp: TP) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


def tell_assignor(app: Any, assigned: set[TP]) -> None:
    """Tell Faust's assignor what Kafka's group protocol would have: every partition is ours."""
    actives: dict[str, list[int]] = defaultdict(list)
    for tp in sorted(assigned):
        actives[tp.topic].append(tp.partition)
    changelogs = app.tables.changelog_topics
    assignor, here = app.assignor, str(app.conf.canonical_url)
    assignor._assignment = ClientAssignment(actives=dict(actives), standbys={})
    assignor._active_tps = assignor._assignment.active_tps
    assignor._topic_groups = dict.fromkeys(actives, 0)
    assignor.changelog_distribution = {here: {t: p for t, p in actives.items() if t in changelogs}}
    assignor.external_topic_distribution = {
        here: {t: p for t, p in actives.items() if t not in changelogs}
    }
