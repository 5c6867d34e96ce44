"""The producer's side: bounded in time and in memory, and renewed where aiokafka's is not."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError, KafkaTimeoutError

from eventlog.kafka.batches import Batch
from eventlog.kafka.connection import Connection, started
from eventlog.kafka.errors import KafkaRefused, in_words

_logger = logging.getLogger(__name__)

_LARGEST_BATCH = 64 << 20
_TOGETHER_BYTES = 128 << 10  # far below what any topic takes at once


class NotAppended(Exception):
    """``reasons`` says why, for each partition whose batches were not acknowledged."""

    def __init__(self, reasons: Mapping[aiokafka.TopicPartition, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("; ".join(sorted(set(reasons.values()))))


class _Waiting:
    """A batch that waits for its partition's turn: ``handed`` when it has gone to the producer,
    ``last`` is then its last record among those that ``taken`` is about."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.handed = self.gone = False
        self.taken: asyncio.Future[Any] | None = None
        self.last = -1
        self.error: KafkaError | None = None


class Appender:
    """Appends batches, each partition's in order, with an idempotent producer.

    A partition takes one batch for each answer of its broker, from this producer. So what several
    callers append to it meanwhile goes together: otherwise they would wait for as many answers.

    aiokafka retries forever and in order. What it gave up leaves a hole in the sequence that the
    broker expects, so that partition would take nothing more: the producer is then replaced.
    """

    def __init__(
        self, connection: Connection, client_id: str, timeout: float, max_pending_bytes: int
    ) -> None:
        self._connection = connection
        self._client_id = client_id
        self._timeout = timeout
        self._max_pending = max_pending_bytes
        self._pending = 0
        self._locks: defaultdict[aiokafka.TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[aiokafka.TopicPartition, list[_Waiting]] = defaultdict(list)
        self._producer: Any = None
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. Raises ``KafkaError`` or ``TimeoutError``."""
        self._producer = await self._connect()

    async def stop(self) -> None:
        """Wait a bounded time for what is under way, then disconnect."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._disconnect(producer)

    async def append(
        self, batches: Mapping[aiokafka.TopicPartition, Sequence[Batch]]
    ) -> dict[aiokafka.TopicPartition, int]:
        """The offset of each partition's last record. Raises ``NotAppended``.

        What was handed to the producer when the time ran out, or the caller was cancelled, may
        still be taken later: at most two batches a partition.
        """
        size = sum(batch.size for cut in batches.values() for batch in cut)
        if self._pending and self._pending + size > self._max_pending:
            full = f"{self._pending >> 10} KiB wait to be taken already"
            raise NotAppended(dict.fromkeys(batches, full))
        sends = {tp: asyncio.create_task(self._send(tp, cut)) for tp, cut in batches.items()}
        try:
            await asyncio.wait(sends.values(), timeout=self._timeout)
        finally:
            for send in sends.values():
                send.cancel()
        lasts, reasons = {}, {}
        for tp, send in sends.items():
            if not send.done():
                reasons[tp] = f"not acknowledged within {self._timeout:g} s"
            elif (error := send.exception()) is not None:
                if not isinstance(error, KafkaError):
                    raise error
                reasons[tp] = in_words(error)
            else:
                lasts[tp] = send.result()
        if reasons:
            raise NotAppended(reasons)
        return lasts

    async def _send(self, tp: aiokafka.TopicPartition, batches: Sequence[Batch]) -> int:
        if len(batches) == 1:
            return await self._send_with_others(tp, batches[0])
        unsent = sum(batch.size for batch in batches)
        self._pending += unsent
        taken: list[asyncio.Future[Any]] = []
        try:
            # One append at a time, or the batches of two would alternate.
            async with self._locks[tp]:
                for batch in batches:
                    taken.append(await self._hand_over(tp, batch))
                    unsent -= batch.size
        finally:
            self._pending -= unsent
        await asyncio.wait(taken)
        answers = [each.result() for each in taken]
        return _offset(answers[-1]) + len(batches[-1].entries) - 1

    async def _send_with_others(self, tp: aiokafka.TopicPartition, batch: Batch) -> int:
        mine = _Waiting(batch)
        self._waiting[tp].append(mine)
        self._pending += batch.size
        try:
            async with self._locks[tp]:
                if not mine.handed:
                    await self._hand_over_waiting(tp)
        finally:
            mine.gone = True
            if not mine.handed:
                self._waiting[tp].remove(mine)
                self._pending -= batch.size
        if mine.error is not None:
            raise mine.error
        assert mine.taken is not None
        await asyncio.wait([mine.taken])
        return _offset(mine.taken.result()) + mine.last

    async def _hand_over_waiting(self, tp: aiokafka.TopicPartition) -> None:
        """Hand over what waits for ``tp``, in the order it came, as far as it goes together."""
        waiting = self._waiting[tp]
        size = count = 0
        for each in waiting:
            if count and size + each.batch.size > _TOGETHER_BYTES:
                break
            size += each.batch.size
            count += 1
        together = waiting[:count]
        del waiting[:count]
        for each in together:
            each.handed = True
        entries = [entry for each in together for entry in each.batch.entries]
        try:
            taken = await self._hand_over(tp, Batch(entries, size))
        except KafkaError as error:
            self._pending -= size
            for each in together:
                each.error = error
            return
        except BaseException:
            # Its caller has given up; the others wait on, but for those that have, too.
            self._pending -= sum(each.batch.size for each in together if each.gone)
            together = [each for each in together if not each.gone]
            for each in together:
                each.handed = False
            waiting[:0] = together
            raise
        last = -1
        for each in together:
            last += len(each.batch.entries)
            each.taken, each.last = taken, last

    async def _hand_over(self, tp: aiokafka.TopicPartition, batch: Batch) -> asyncio.Future[Any]:
        while self._renewing is not None:
            await asyncio.wait([self._renewing])
        producer = self._producer
        if producer is None:
            raise KafkaError("the log is closed")
        builder = producer.create_batch()
        for key, value, timestamp in batch.entries:
            builder.append(timestamp=timestamp, key=key, value=value)
        builder.close()
        try:
            taken: asyncio.Future[Any] = await producer.send_batch(
                builder, tp.topic, partition=tp.partition
            )
        except KafkaTimeoutError:  # those before it in the queue still wait
            raise
        except KafkaError:
            self._renew(producer)
            raise

        def settled(answer: asyncio.Future[Any]) -> None:
            self._pending -= batch.size
            if not answer.cancelled() and answer.exception() is not None:
                self._renew(producer)

        taken.add_done_callback(settled)
        return taken

    def _renew(self, broken: Any) -> None:
        if broken is self._producer and self._renewing is None:
            self._renewing = asyncio.create_task(self._replace(broken))

    async def _replace(self, broken: Any) -> None:
        try:
            await self._disconnect(broken)
            while True:
                try:
                    self._producer = await self._connect()
                    break
                except (KafkaError, KafkaRefused, TimeoutError) as error:
                    _logger.warning("no new producer yet: %s", in_words(error))
                    await asyncio.sleep(1.0)
        finally:
            self._renewing = None

    async def _connect(self) -> Any:
        producer = aiokafka.AIOKafkaProducer(
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_LARGEST_BATCH,
            request_timeout_ms=max(1000, int(self._timeout * 1000)),
            **self._connection.client_options(),
        )
        try:
            await started(producer.start(), self._timeout)
        except BaseException:
            await self._disconnect(producer)
            raise
        return producer

    async def _disconnect(self, producer: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await producer.stop()
        except TimeoutError:
            _logger.warning("the producer was closed before everything was acknowledged")
            # What stop() leaves behind when it is cut short would go on trying.
            producer._message_accumulator.fail_all(KafkaError("the log was closed"))
            closing = asyncio.create_task(producer._sender.close())
            await asyncio.wait([closing], timeout=1.0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            await producer.client.close()


def _offset(answer: Any) -> int:
    """Of the first record of a batch that was taken."""
    if answer.offset < 0:
        raise KafkaError("taken, but the broker did not say at which offset")
    return int(answer.offset)
