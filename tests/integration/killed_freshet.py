"""``freshet`` that kills itself: right after a step of the write order, for the k-th time.

Usage: killed_freshet.py STEP K COMMAND [options]. Batches of imports are small. Steps, in the
order they come: ``events`` (events are in the log, and whoever sent them does not know),
``folded`` (a batch is about to be written), ``signals``, ``changelog``, ``tables``,
``committed``; or ``never``.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Entry, TopicPartition
from freshet.cli import main
from freshet.importers.to_data import ToData
from freshet.importers.to_server import ToServer
from tables.store import PartitionWrite, TableStore
from tables.topics import SIGNALS, VISITOR_EVENTS
from tables.writer import BatchWriter, FoldedBatch

step, left = sys.argv[1], int(sys.argv[2])


def passed(name: str) -> None:
    """``name`` was done; die if it was the time to."""
    global left
    if name == step:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


append, commit = EmbeddedLog.append, EmbeddedLog.commit
write_batch, write_tables = BatchWriter.write, TableStore.write


async def append_and_die(
    self: EmbeddedLog, batches: Mapping[TopicPartition, Sequence[Entry]]
) -> dict[TopicPartition, int]:
    lasts = await append(self, batches)
    names = {tp.topic for tp in batches}
    if any(name.endswith("-changelog") for name in names):
        passed("changelog")
    for topic, name in ((VISITOR_EVENTS, "events"), (SIGNALS, "signals")):
        if topic in names:
            passed(name)
    return lasts


async def write_batch_and_die(self: BatchWriter, batch: FoldedBatch) -> None:
    passed("folded")
    await write_batch(self, batch)


async def write_tables_and_die(self: TableStore, writes: Iterable[PartitionWrite]) -> None:
    await write_tables(self, writes)
    passed("tables")


def commit_and_die(self: EmbeddedLog, *args: Any) -> None:
    commit(self, *args)
    passed("committed")


patched: list[tuple[type, str, Callable[..., Any]]] = [
    (EmbeddedLog, "append", append_and_die),
    (EmbeddedLog, "commit", commit_and_die),
    (BatchWriter, "write", write_batch_and_die),
    (TableStore, "write", write_tables_and_die),
]
for owner, name, function in patched:
    setattr(owner, name, function)

ToServer.batch, ToData.batch = 100, 500
main(sys.argv[3:], prog_name="freshet")
