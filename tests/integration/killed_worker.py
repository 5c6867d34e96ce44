"""``freshet`` on Kafka that gets a signal right after a step of the write order, the k-th time.

Usage: killed_worker.py SIGNAL STEP K worker|api [options]. SIGNAL is KILL, or STOP to freeze.
Steps of a worker, in the order they come: ``folded`` (a batch is about to be written),
``signals``, ``piece`` (of what a changelog gets at once: pieces are small then), ``changelog``,
``tables``, ``committed``; or ``recovered`` (some of the changelogs are in the tables). Of an API:
``events`` (they are in the log, and whoever sent them does not know).
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eventlog.kafka import KafkaLog, batches
from eventlog.kafka.appender import Appender
from eventlog.kafka.faust_transport import Consumer
from eventlog.protocol import Entry, TopicPartition
from freshet.cli import main
from tables.store import PartitionWrite, TableStore
from tables.topics import SIGNALS, VISITOR_EVENTS
from tables.writer import BatchWriter, FoldedBatch

number = signal.Signals[f"SIG{sys.argv[1]}"]
step, left = sys.argv[2], int(sys.argv[3])


def passed(name: str) -> None:
    """``name`` was done; now it may be the time."""
    global left
    if name == step:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)


append, commit, hand_over = KafkaLog.append, Consumer._commit, Appender._hand_over
write_batch, write_tables, write_now = BatchWriter.write, TableStore.write, TableStore.write_now


async def append_and_die(
    self: KafkaLog, batches: Mapping[TopicPartition, Sequence[Entry]]
) -> dict[TopicPartition, int]:
    lasts = await append(self, batches)
    names = {tp.topic for tp in batches}
    if any(name.endswith("-changelog") for name in names):
        passed("changelog")
    for topic, name in ((VISITOR_EVENTS, "events"), (SIGNALS, "signals")):
        if topic in names:
            passed(name)
    return lasts


async def hand_over_and_die(self: Appender, tp: Any, batch: batches.Batch) -> Any:
    taken = await hand_over(self, tp, batch)
    if step == "piece" and tp.topic.endswith("-changelog"):
        await asyncio.wait([taken])
        passed("piece")
    return taken


async def write_batch_and_die(self: BatchWriter, batch: FoldedBatch) -> None:
    passed("folded")
    await write_batch(self, batch)


async def write_tables_and_die(self: TableStore, writes: Iterable[PartitionWrite]) -> None:
    await write_tables(self, writes)
    passed("tables")


def write_now_and_die(self: TableStore, writes: Iterable[PartitionWrite]) -> None:
    write_now(self, writes)
    passed("recovered")


async def commit_and_die(self: Consumer, offsets: Any) -> bool:
    committed = await commit(self, offsets)
    passed("committed")
    return committed


patched: list[tuple[type, str, Callable[..., Any]]] = [
    (KafkaLog, "append", append_and_die),
    (Consumer, "_commit", commit_and_die),
    (Appender, "_hand_over", hand_over_and_die),
    (BatchWriter, "write", write_batch_and_die),
    (TableStore, "write", write_tables_and_die),
    (TableStore, "write_now", write_now_and_die),
]
for owner, name, function in patched:
    setattr(owner, name, function)

if step == "piece":
    batches.WHOLE_BYTES = KafkaLog.whole_bytes = 4 << 10
main(sys.argv[4:], prog_name="freshet")
