"""Faust as its manual would have it, to compare with: agents that take one record at a time.

Usage: plain_faust.py SERVERS PREFIX PARTITIONS FOLDER recover RECORDS
       plain_faust.py SERVERS PREFIX PARTITIONS FOLDER fold|fold-batched COUNT...

``recover`` fills one table from its changelog. ``fold`` does what Freshet's agents do, with its
folds, and each signal as a record; ``fold-batched`` sends what an event means for one partition as
one record. For each COUNT it folds so many events, and all that comes of them.
Each prints the seconds it took, from the first record on, one line each.
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import faust
import uvloop
from faust.transport.producer import ProducerBuffer
from msgspec import structs

from eventlog.partitioner import partition_for
from personalization.codec import Codec
from personalization.events import Signal, SignalBatch
from personalization.presets.marketplace import marketplace
from personalization.signals import signals_of
from personalization.state.item import fold_item
from personalization.state.keys import ITEM, SEGMENT, SELLER, USER, split
from personalization.state.segment import fold_segment
from personalization.state.seller import fold_seller
from personalization.state.user import fold_user
from personalization.state.visitor import fold_visitor
from tables.topics import ROWS, SIGNAL_BATCH, VISITOR_EVENT, VISITOR_EVENTS

SIGNALS = "plain-signals"
TABLES = ("visitors", "users", "items", "sellers", "segments")

_PLAN = marketplace.plan
_SIGNAL = Codec(Signal)
_STATS: dict[str, tuple[str, Any]] = {
    USER: ("users", lambda row, key, *told: fold_user(row, *told)),
    ITEM: ("items", fold_item),
    SELLER: ("sellers", fold_seller),
    SEGMENT: ("segments", fold_segment),
}
_MEBIBYTE = 1 << 20
_DRIVER = {
    "driver": "rocksdict",
    "write_buffer_size": 16 * _MEBIBYTE,
    "block_cache_size": 64 * _MEBIBYTE,
    "max_write_buffer_number": 2,
    "max_open_files": 256,
}


def changelog(app_id: str, table: str) -> str:
    """The changelog of a table, as Faust names it."""
    return f"{app_id}-{table}-changelog"


def make_app(servers: str, app_id: str, partitions: int, folder: Path) -> faust.App:
    """With the settings that were found to be the fastest."""
    ProducerBuffer.max_messages = 10_000
    return faust.App(
        app_id,
        broker=f"kafka://{servers}",
        store="rocksdb://",
        datadir=str(folder),
        topic_partitions=partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=4096,
        broker_max_poll_records=500,
        broker_commit_interval=1.0,
        broker_commit_every=10_000,
        broker_session_timeout=10,
        broker_heartbeat_interval=1,
        broker_request_timeout=30,
        producer_acks=-1,
        producer_linger=0.02,
        producer_max_batch_size=262_144,
        table_standby_replicas=0,
        table_cleanup_interval=3600.0,
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
    )


class Plain:
    """One app, and how many records its agents have folded."""

    def __init__(self, servers: str, prefix: str, partitions: int, folder: Path) -> None:
        self.app = make_app(servers, f"{prefix}plain", partitions, folder)
        self.first: float | None = None
        self.events = self.sent = self.folded = 0
        self._prefix = prefix
        self._partitions = partitions

    def topic(self, name: str) -> Any:
        """A topic of bytes."""
        return self.app.topic(
            self._prefix + name, key_type=bytes, value_type=bytes, partitions=self._partitions
        )

    def table(self, name: str) -> Any:
        """A table of bytes."""
        return self.app.Table(
            name, key_type=bytes, value_type=bytes, partitions=self._partitions, options=_DRIVER
        )

    def add_agents(self, batched: bool) -> None:
        """Both agents; the catalogue is not changed here."""
        tables = {name: self.table(name) for name in TABLES}
        signals_topic = self.topic(SIGNALS)

        @self.app.agent(self.topic(VISITOR_EVENTS), name="visitors")
        async def visitors(stream: Any) -> None:
            table, codec = tables["visitors"], ROWS["visitors"]
            async for received in stream.events():
                if self.first is None:
                    self.first = time.perf_counter()
                message = received.message
                event = VISITOR_EVENT.decode(message.value)
                stored = table.get(message.key)
                row: Any = None if stored is None else codec.decode(stored)
                if row is None or row.offset < message.offset:
                    signals = signals_of(row, event, message.offset, _PLAN)
                    row = fold_visitor(row, event, message.offset, _PLAN)
                    table[message.key] = codec.encode(row)
                    await (self._send_batched if batched else self._send)(signals_topic, signals)
                self.events += 1

        @self.app.agent(signals_topic, name="stats")
        async def stats(stream: Any) -> None:
            async for received in stream.events():
                message = received.message
                if batched:
                    entries = SIGNAL_BATCH.decode(message.value).entries
                else:
                    entries = [_SIGNAL.decode(message.value)]
                for signal, told in [(each, key) for each in entries for key in each.counts]:
                    kind, id = split(told)
                    name, fold = _STATS[kind]
                    key, codec = id.encode(), ROWS[name]
                    stored = tables[name].get(key)
                    row: Any = None if stored is None else codec.decode(stored)
                    tables[name][key] = codec.encode(fold(row, told, signal, message.offset, _PLAN))
                self.folded += 1

    async def _send(self, topic: Any, signals: list[Signal]) -> None:
        each = [(key, part) for signal in signals for key, part in _by_key(signal)]
        for key, part in each:
            await topic.send(key=key.encode(), value=_SIGNAL.encode(part))
        self.sent += len(each)

    async def _send_batched(self, topic: Any, signals: list[Signal]) -> None:
        targets: dict[int, list[Signal]] = {}
        for key, part in [each for signal in signals for each in _by_key(signal)]:
            target = partition_for(key.encode(), self._partitions)
            targets.setdefault(target, []).append(part)
        for target, entries in targets.items():
            batch = SignalBatch(0, -1, entries[-1].offset, entries)
            await topic.send(partition=target, value=SIGNAL_BATCH.encode(batch))
        self.sent += len(targets)


def _by_key(signal: Signal) -> list[tuple[str, Signal]]:
    """What it means for each entity, by itself."""
    return [
        (
            key,
            structs.replace(
                signal,
                counts={key: count},
                previous={key: signal.previous[key]} if key in signal.previous else {},
            ),
        )
        for key, count in signal.counts.items()
    ]


async def recover(plain: Plain, records: int) -> None:
    """Until everything in the changelog is in the table."""
    table = plain.table("rows")

    @plain.app.agent(plain.topic(VISITOR_EVENTS), name="rows")
    async def rows(stream: Any) -> None:
        async for _ in stream.events():
            pass

    tables: Any = plain.app.tables
    began: list[float] = []

    async def assigned(*_: Any, **__: Any) -> None:
        began.append(time.perf_counter())

    plain.app.on_partitions_assigned.connect(assigned, weak=False)
    await plain.app.start()
    while not tables.recovery.completed.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    print(time.perf_counter() - began[0], flush=True)
    found = sum(1 for _ in table.data)
    assert found == records, found


async def fold(plain: Plain, counts: list[int], batched: bool) -> None:
    """So many events and all their signals, as often as asked."""
    plain.add_agents(batched)
    await plain.app.start()
    done = 0
    for count in counts:
        plain.first = None
        done += count
        while plain.events < done or plain.folded < plain.sent:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert plain.first is not None
        print(time.perf_counter() - plain.first, flush=True)


async def main(
    servers: str, prefix: str, partitions: str, folder: str, what: str, *counts: str
) -> None:
    """One of the three."""
    plain = Plain(servers, prefix, int(partitions), Path(folder))
    if what == "recover":
        await recover(plain, int(counts[0]))
    else:
        await fold(plain, list(map(int, counts)), what == "fold-batched")
    sys.stdout.flush()
    os._exit(0)  # it has nothing to keep


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main(*sys.argv[1:]))
