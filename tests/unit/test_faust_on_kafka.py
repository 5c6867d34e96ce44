"""What Freshet changes in Faust's transport to Kafka."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from eventlog.kafka.faust_transport import Consumer


async def test_faust_finds_no_fault_with_what_it_does_not_see() -> None:
    """After five minutes it would report every few seconds that changelogs are not fetched and
    streams not processed: neither goes through what it watches."""
    asked: list[TP] = []
    consumer: Any = Consumer.__new__(Consumer)
    consumer.assignment = lambda: {TP("events", 0), TP("rows-changelog", 0)}
    consumer._thread = SimpleNamespace(verify_event_path=lambda now, tp: asked.append(tp))
    await consumer.verify_all_partitions_active()
    assert asked == []
