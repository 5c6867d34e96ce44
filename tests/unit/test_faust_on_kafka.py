"""What Freshet changes in Faust's transport to Kafka."""

import asyncio
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


EVENTS = TP("events", 0)


class Fetching:
    """A consumer and what it asks of its thread: a fetch ends when it is told to, with what comes
    from where the partition is by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.position, self.asked, self.ends = 10, asyncio.Event(), asyncio.Event()
        self.consumer: Any = Consumer.__new__(Consumer)
        monkeypatch.setattr(driver.Consumer, "__init__", lambda self: None)
        Consumer.__init__(self.consumer)
        for name in ("can_resume_flow", "suspend_flow"):
            setattr(self.consumer, name, asyncio.Event())
        monkeypatch.setattr(driver.Consumer, "_getmany", self._getmany)
        monkeypatch.setattr(driver.Consumer, "perform_seek", self._seek)
        monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", self._assigned)

    async def _getmany(self, active: Any, timeout: float) -> Any:
        self.asked.set()
        await self.ends.wait()
        first, self.position = self.position, self.position + 5
        return {EVENTS: list(range(first, self.position))}

    async def _seek(self) -> None:
        self.position = 4

    async def _assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """Nothing."""


async def test_no_record_is_passed_over_by_a_fetch_that_outlasts_a_rebalance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The partition is placed where the tables are only when the fetch has ended, and what it
    brought is dropped: the next one begins with the first record that the tables have not."""
    fetching = Fetching(monkeypatch)
    consumer = fetching.consumer
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        outlasting = tasks.create_task(consumer._getmany(None, 1.0))
        await fetching.asked.wait()
        consumer.stop_flow()
        await consumer.on_partitions_assigned({EVENTS}, 2)
        consumer.resume_flow()
        placing = tasks.create_task(consumer.perform_seek())
        await asyncio.sleep(0)
        fetching.ends.set()
        await asyncio.wait([outlasting, placing])
        consumer.resume_flow()
        after = await consumer._getmany(None, 1.0)
    assert outlasting.result() == {}
    assert after == {EVENTS: [4, 5, 6, 7, 8]}


async def test_nothing_is_fetched_before_streams_go_on_with_what_was_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust lets streams go on twice, the second time with what agents wait to take cleared; it
    asks for a place while tables are not recovered; and a place may come too late, after the next
    assignment. Nothing of that lets anything be fetched."""
    fetching = Fetching(monkeypatch)
    consumer = fetching.consumer
    fetching.ends.set()
    consumer.stop_flow()
    await consumer.on_partitions_assigned({EVENTS}, 2)
    await consumer.perform_seek()
    assert fetching.position == 10
    consumer.resume_flow()
    assert await consumer._getmany(None, 1.0) == {}
    await consumer.perform_seek()
    assert await consumer._getmany(None, 1.0) == {}
    await consumer.on_partitions_assigned({EVENTS}, 3)
    consumer.resume_flow()
    assert await consumer._getmany(None, 1.0) == {}
    await consumer.perform_seek()
    consumer.resume_flow()
    assert await consumer._getmany(None, 1.0) == {EVENTS: [4, 5, 6, 7, 8]}
