"""Tailing partitions of a Kafka cluster, and reading them in bulk."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from eventlog.kafka.connection import Connection, reach, started, stopped
from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, in_words, is_refusal
from eventlog.kafka.names import on_kafka
from eventlog.protocol import Record, TopicPartition

_logger = logging.getLogger(__name__)

_SLICE_RECORDS = 256
_CONNECT_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_FETCH_BYTES_PER_PARTITION = 2 << 20
# While the broker holds back its answer about partitions that are at their end, aiokafka asks it
# for nothing else: whoever reads others in bulk waits for it again and again. 50 ms cost an idle
# process 2 % of a core with 96 partitions.
_FETCH_WAIT_MS = 50


class OffsetBeyondEnd(Exception):
    """A partition ends before what was read of it: it was made anew, or the cluster lost data."""


class KafkaReader:
    """Reads some partitions. Connects at the first poll; one ``poll`` at a time.

    While no broker can be reached, polls are empty; that is logged once. Raises ``KafkaRefused``
    for want of rights, ``OffsetBeyondEnd`` where the log no longer holds what was read.
    """

    def __init__(
        self,
        connection: Connection,
        client_id: str,
        prefix: str,
        positions: Mapping[TopicPartition, int],
    ) -> None:
        self._connection = connection
        self._client_id = client_id
        self._names = {on_kafka(prefix, tp): tp for tp in positions}
        self._on_kafka = {tp: name for name, tp in self._names.items()}
        self._positions = dict(positions)
        self._consumer: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self._unreachable = False
        # Partitions that were read in this round; the others come first in the next poll.
        self._served: set[aiokafka.TopicPartition] = set()
        # What the poll under way has got so far.
        self._taken: dict[TopicPartition, list[Record]] = {}

    async def poll(self, max_records: int, timeout: float) -> dict[TopicPartition, list[Record]]:
        """The next records; see ``eventlog.protocol.Reader.poll``.

        Gives the loop a turn after every 256 records. Cancelled, it hands out nothing and the
        next poll reads the same records.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        consumer = await self._connected(deadline)
        if consumer is None:
            return {}
        self._taken = {}
        try:
            try:
                await self._take(consumer, max_records, deadline)
            except OffsetOutOfRangeError as error:
                await self._into_range(consumer, error.args[0])
        except KafkaError as error:
            self._rewind(consumer)
            if is_refusal(error):
                raise KafkaRefused(in_words(error)) from error
            _logger.warning("reading failed, connecting again: %s", in_words(error))
            await self._disconnect()
            return {}
        except BaseException:
            self._rewind(consumer)
            raise
        return await self._hand_out(consumer)

    def position(self, tp: TopicPartition) -> int:
        """The offset the next poll reads from."""
        return self._positions[tp]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read ``tp`` from ``offset`` on."""
        if tp not in self._positions:
            raise KeyError(tp)
        self._positions[tp] = offset
        self._taken.pop(tp, None)
        if self._consumer is not None:
            self._consumer.seek(self._on_kafka[tp], offset)

    async def close(self) -> None:
        """Disconnect."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
            if not connecting.cancelled() and connecting.exception() is None:
                # Connected, but after the last poll.
                self._consumer = connecting.result()
        await self._disconnect()

    async def _take(self, consumer: Any, max_records: int, deadline: float) -> None:
        # aiokafka empties one partition before the next. So the ones that filled a slice are left
        # out until the others have run dry or had theirs.
        left = max_records
        slice_records = min(_SLICE_RECORDS, max(1, max_records // 4))
        while left:
            waiting = [tp for tp in self._names if tp not in self._served] if self._served else []
            if self._served and not waiting:
                self._served.clear()
            limit = min(left, slice_records)
            wait_ms = 0
            if not self._taken and not self._served:
                wait_ms = max(0, int((deadline - asyncio.get_running_loop().time()) * 1000))
            got = await consumer.getmany(*waiting, timeout_ms=wait_ms, max_records=limit)
            count = 0
            for name, records in got.items():
                count += len(records)
                self._taken.setdefault(self._names[name], []).extend(
                    [Record(r.offset, r.timestamp, r.key, r.value) for r in records]
                )
            left -= count
            if count == limit:
                self._served.update(got)
                await asyncio.sleep(0)
            elif self._served:
                self._served.clear()
            else:
                return

    async def _hand_out(self, consumer: Any) -> dict[TopicPartition, list[Record]]:
        # Behind the last record there may be a gap, and where nothing came, a gap alone.
        for tp in self._taken or self._positions:
            self._positions[tp] = await consumer.position(self._on_kafka[tp])
        taken, self._taken = self._taken, {}
        return taken

    def _rewind(self, consumer: Any) -> None:
        for tp in self._taken:
            consumer.seek(self._on_kafka[tp], self._positions[tp])

    async def _into_range(self, consumer: Any, asked: Mapping[Any, int]) -> None:
        """Go to the start of what is left where retention has overtaken the reader."""
        starts = await consumer.beginning_offsets(list(asked))
        ends = await consumer.end_offsets(list(asked))
        for name, offset in asked.items():
            tp = self._names[name]
            if self._positions[tp] != offset:
                continue  # a seek came in between
            if offset > ends[name]:
                raise OffsetBeyondEnd(
                    f"{tp.topic}[{tp.partition}] ends at {ends[name]}, but was read up to {offset}"
                )
            self._positions[tp] = max(offset, starts[name])
            consumer.seek(name, self._positions[tp])

    async def _connected(self, deadline: float) -> Any:
        if self._consumer is not None:
            return self._consumer
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait([self._connecting], timeout=left)
        if not self._connecting.done():
            return None
        connecting, self._connecting = self._connecting, None
        self._consumer = connecting.result()
        # Without an await in between, or it would ask a group for its offsets.
        self._consumer.assign(list(self._names))
        for tp, name in self._on_kafka.items():
            self._consumer.seek(name, self._positions[tp])
        return self._consumer

    async def _connect(self) -> Any:
        while True:
            try:
                return await self._try_connect()
            except (KafkaError, KafkaUnreachable, TimeoutError) as error:
                if is_refusal(error):
                    raise KafkaRefused(in_words(error)) from error
                if not self._unreachable:
                    _logger.warning("reading waits for the cluster: %s", in_words(error))
                self._unreachable = True
                await asyncio.sleep(_RETRY_SECONDS)

    async def _try_connect(self) -> Any:
        await reach(self._connection, _CONNECT_SECONDS)
        consumer = aiokafka.AIOKafkaConsumer(
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_min_bytes=1,
            max_partition_fetch_bytes=_FETCH_BYTES_PER_PARTITION,
            request_timeout_ms=int(_CONNECT_SECONDS * 1000),
            **self._connection.client_options(),
        )
        try:
            await started(consumer.start(), _CONNECT_SECONDS)
        except BaseException:
            await stopped(consumer)
            raise
        if self._unreachable:
            _logger.warning("the cluster is back")
        self._unreachable = False
        return consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stopped(consumer)
