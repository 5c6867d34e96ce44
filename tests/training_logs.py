"""A log with traffic to learn from."""

import asyncio
from pathlib import Path

from eventlog.embedded import EmbeddedLog
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, TopicPartition
from freshet.state import APP_ID, LOG
from personalization.decisions import DECISIONS as DECISION
from personalization.events import CatalogueRecord
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    DECISIONS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    topics,
)
from tests.training_shop import SPEC, Traffic

PARTITIONS = 4


async def fill(log: EmbeddedLog, told: Traffic) -> None:
    """All that was told, each record at its own time."""
    await log.create_topics(topics(APP_ID, SPEC.plan.state_id, PARTITIONS, 30 * 86_400_000))
    for record in told.records:
        if isinstance(record, CatalogueRecord):
            topic, key, value = CATALOGUE, f"item:{record.id}", CATALOGUE_RECORD.encode(record)
        else:
            topic, key, value = VISITOR_EVENTS, record.visitor, VISITOR_EVENT.encode(record)
        await append(log, topic, key, value, record.at)
    for decision in told.decisions:
        await append(log, DECISIONS, decision.id, DECISION.encode(decision), decision.at)


async def append(log: EmbeddedLog, topic: str, key: str, value: bytes, at: int) -> None:
    """One record."""
    tp = TopicPartition(topic, partition_for(key.encode(), PARTITIONS))
    await log.append({tp: [Entry(key.encode(), value, at)]})


def written(folder: Path, told: Traffic, topic: str) -> None:
    """A data folder's log with all that was told and, where that is anything, a record of another
    version in ``topic``."""

    async def write() -> None:
        log = EmbeddedLog(folder / LOG)
        await fill(log, told)
        if told.records:
            await append(log, topic, "old", b"\x01", told.records[0].at)
        await log.stop()

    asyncio.run(write())
