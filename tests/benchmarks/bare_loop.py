"""The least that does what the agents do: read, fold, append, write, commit; no Faust.

Usage: bare_loop.py SERVERS PREFIX PARTITIONS FOLDER COUNT...
For each COUNT it folds so many events, and all that comes of them, and prints the seconds it took.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiokafka
import uvloop

from eventlog.kafka import Connection, KafkaLog
from eventlog.protocol import Record
from freshet.settings import Settings
from freshet.state import now_ms
from personalization.presets.marketplace import marketplace
from tables.batch_fold import fold_events, fold_signals, no_pause
from tables.store import TableStore
from tables.topics import SIGNALS, VISITOR_EVENTS
from tables.windows import Windows
from tables.writer import BatchWriter

AT_ONCE = 2_000

_PLAN = marketplace.plan


async def main(servers: str, prefix: str, partitions: str, folder: str, *counts: str) -> None:
    """Fold, and print."""
    log = KafkaLog(
        Connection(bootstrap_servers=tuple(servers.split(","))), client_id="bare", prefix=prefix
    )
    await log.start()
    store = TableStore(Path(folder), state_id=_PLAN.state_id, partitions=int(partitions))
    windows = Windows(log)
    writer = BatchWriter(log, store, app_id=Settings().app_id, clock=now_ms)
    consumer = aiokafka.AIOKafkaConsumer(
        prefix + VISITOR_EVENTS,
        prefix + SIGNALS,
        bootstrap_servers=servers,
        group_id=f"{prefix}bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=1 << 20,
    )
    await consumer.start()
    for count in map(int, counts):
        began, left, sent = None, count, dict.fromkeys(range(int(partitions)), 0)
        while left or any(sent.values()):
            polled = await consumer.getmany(timeout_ms=200, max_records=AT_ONCE)
            if polled and began is None:
                began = time.perf_counter()
            events = _of(polled, prefix + VISITOR_EVENTS)
            if events:
                folded = await fold_events(
                    events, plan=_PLAN, store=store, windows=windows, pause=no_pause
                )
                for target, _ in folded.signals:
                    sent[target] += 1
                left -= sum(map(len, events.values()))
                await writer.write(folded)
            signals = _of(polled, prefix + SIGNALS)
            if signals:
                for target, records in signals.items():
                    sent[target] -= len(records)
                await writer.write(
                    await fold_signals(signals, plan=_PLAN, store=store, pause=no_pause)
                )
            if polled:
                await consumer.commit(
                    {tp: records[-1].offset + 1 for tp, records in polled.items()}
                )
        assert began is not None
        print(time.perf_counter() - began, flush=True)
    os._exit(0)  # it has nothing to keep


def _of(polled: dict[Any, list[Any]], topic: str) -> dict[int, Sequence[Record]]:
    return {
        tp.partition: [Record(r.offset, r.timestamp, r.key, r.value) for r in records]
        for tp, records in polled.items()
        if tp.topic == topic
    }


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
