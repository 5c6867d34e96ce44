"""A reader that is closed leaves no connection open, though a fetch waits to be tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventlog.kafka.reader import KafkaReader
from eventlog.protocol import Topic, TopicPartition
from tests.kafka_broker import Cluster
from tests.logs import KafkaHome

pytestmark = pytest.mark.kafka

ROWS = TopicPartition("rows", 0)
SOON = 20.0


@asynccontextmanager
async def trying_again(home: KafkaHome) -> AsyncIterator[KafkaReader]:
    """A connected reader, one of whose fetches failed; closed, it must have no connection."""
    log = await home.open()
    try:
        await log.create_topics([Topic(ROWS.topic, 1)])
        reader = log.reader({ROWS: 0})
        async with asyncio.timeout(SOON):
            while reader._consumer is None:
                await reader.poll(1, 1.0)
        consumer = reader._consumer
        assert open_connections(consumer)
        consumer._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60.0)))
        yield reader
        assert not open_connections(consumer)
    finally:
        await log.stop()


def open_connections(consumer: Any) -> list[Any]:
    return [conn for conn in consumer._client._conns.values() if conn.connected()]


async def test_closing_closes(broker: Cluster, prefix: str, tmp_path: Path) -> None:
    """aiokafka's own stop ends with the fetch's CancelledError here, and closes nothing."""
    async with trying_again(KafkaHome(tmp_path, broker, prefix)) as reader:
        await reader.close()


async def test_who_is_cancelled_stays_cancelled(
    broker: Cluster, prefix: str, tmp_path: Path
) -> None:
    """A cancellation of whoever closes the reader is not taken for that of a fetch."""
    async with trying_again(KafkaHome(tmp_path, broker, prefix)) as reader:
        closing = asyncio.create_task(reader.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing], timeout=SOON)
        assert closing.cancelled()
