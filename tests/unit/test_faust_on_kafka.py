"""What Freshet changes in Faust's transport to Kafka."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from eventlog.kafka.faust_transport import Consumer, _ConsumerThread


async def test_faust_finds_no_fault_with_what_it_does_not_see() -> None:
    """After five minutes it would report every few seconds that changelogs are not fetched and
    streams not processed: neither goes through what it watches."""
    asked: list[TP] = []
    consumer: Any = Consumer.__new__(Consumer)
    consumer.assignment = lambda: {TP("events", 0), TP("rows-changelog", 0)}
    consumer._thread = SimpleNamespace(verify_event_path=lambda now, tp: asked.append(tp))
    await consumer.verify_all_partitions_active()
    assert asked == []


async def test_a_fetch_is_held_back_for_less_than_fausts_second_and_a_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiokafka takes it from there when it starts."""
    monkeypatch.setattr(
        driver.AIOKafkaConsumerThread,
        "_create_worker_consumer",
        lambda self, transport: AIOKafkaConsumer(fetch_max_wait_ms=1500),
    )
    consumer: Any = Consumer.__new__(Consumer)
    consumer.loop = consumer.beacon = None
    monkeypatch.setattr(_ConsumerThread, "__init__", lambda self, *_, **__: None)
    thread: Any = consumer._new_consumer_thread()
    made = thread._create_worker_consumer(None)
    assert made._fetch_max_wait_ms == 100
    await made.stop()
