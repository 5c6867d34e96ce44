"""How many events/s a worker folds, beside Faust's plain agents and beside a bare loop."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from eventlog.protocol import Topic, TopicPartition
from personalization.presets.marketplace import marketplace
from tables.topics import (
    ITEMS,
    SIGNALS,
    VISITOR_EVENTS,
    VISITORS,
    WATERMARK,
    WATERMARK_KEY,
    changelog_topic,
)
from tests.benchmarks.kafka_mix import Mix, append_all
from tests.benchmarks.measuring import JSON, cpu_seconds, show
from tests.benchmarks.plain_faust import SIGNALS as PLAIN_SIGNALS
from tests.benchmarks.plain_faust import TABLES as PLAIN_TABLES
from tests.benchmarks.plain_faust import changelog
from tests.integration.cluster import APP_ID, Deployment
from tests.kafka_broker import Cluster
from tests.processes import clean_environ

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parent.parent.parent
PARTITIONS = 4
WARM, EVENTS, PLAIN_WARM, PLAIN_EVENTS = 5_000, 10_000, 100, 400
RUNS = 3
SECONDS = 300.0
TO_FAUST, RATE, TWO_TO_ONE = 2.0, 3_000, 1.7

_POLL_SECONDS = 0.05


async def test_live_throughput(tmp_path: Path, broker: Cluster, prefix: str) -> None:
    """3,000 events/s with all their signals, and twice what Faust does record by record."""
    mix = Mix(1, PARTITIONS)
    found: JSON = {}
    for name, workers in (("one_worker", 1), ("two_workers", 2)):
        found[name] = await _workers(tmp_path / name, broker, f"{prefix}{name}-", workers, mix)
    found["bare_loop"] = await _script("bare_loop", tmp_path, broker, prefix, mix)
    for how in ("fold", "fold-batched"):
        found[f"plain_faust_{how}"] = await _script(
            "plain_faust", tmp_path, broker, prefix, mix, how
        )
    one = found["one_worker"]["events_per_s"]
    ratio = one / max(rates["events_per_s"] for name, rates in found.items() if "faust" in name)
    two = found["two_workers"]["events_per_s"] / one
    show(
        "kafka_throughput",
        {
            **found,
            "worker_to_faust": round(ratio, 1),
            "two_to_one": round(two, 2),
            "wanted": {"one_worker": RATE, "worker_to_faust": TO_FAUST, "two_to_one": TWO_TO_ONE},
            "met": {
                "one_worker": one >= RATE,
                "worker_to_faust": ratio >= TO_FAUST,
                "two_to_one": two >= TWO_TO_ONE,
            },
        },
    )


async def _workers(folder: Path, broker: Cluster, prefix: str, count: int, mix: Mix) -> JSON:
    """From the first event that is appended to the last row that follows from them."""
    folder.mkdir()
    async with Deployment(folder, broker, prefix, partitions=PARTITIONS) as deployment:
        workers = [deployment.worker(f"w{number}") for number in range(count)]
        for worker in workers:
            await asyncio.to_thread(worker.ready)
        tail = _Folded(deployment)
        pids = [worker.process.pid for worker in workers]
        seconds, cpu = [], []
        for events in (WARM, *[EVENTS] * RUNS):
            batches = mix.batches(events)
            used, began = sum(map(cpu_seconds, pids)), time.perf_counter()
            await append_all(deployment.log, batches)
            await tail.caught_up()
            seconds.append(time.perf_counter() - began)
            cpu.append(sum(map(cpu_seconds, pids)) - used)
        await tail.close()
        await deployment.stop()
    rates = _spread(EVENTS, seconds[1:])
    return {**rates, "cpu_ms_per_event": round(1000 * median(cpu[1:]) / EVENTS, 3)}


async def _script(
    name: str, folder: Path, broker: Cluster, prefix: str, mix: Mix, *how: str
) -> JSON:
    """From the first event that the script reads to the last row that follows from them."""
    plain = name == "plain_faust"
    counts = [PLAIN_WARM, *[PLAIN_EVENTS] * RUNS] if plain else [WARM, *[EVENTS] * RUNS]
    prefix, folder = "-".join((prefix, name, *how, "")), folder / "-".join((name, *how))
    folder.mkdir()
    async with Deployment(folder, broker, prefix, partitions=PARTITIONS) as deployment:
        if plain:
            names = [changelog(f"{prefix}plain", table) for table in PLAIN_TABLES]
            topics = [
                Topic(name.removeprefix(prefix), PARTITIONS, compacted=True) for name in names
            ]
            await deployment.log.create_topics([*topics, Topic(PLAIN_SIGNALS, PARTITIONS)])
        command = (broker.bootstrap_servers, prefix, PARTITIONS, folder / "data", *how, *counts)
        with _running(name, list(map(str, command))) as process:
            assert process.stdout is not None
            seconds = []
            for count in counts:
                await append_all(deployment.log, mix.batches(count))
                async with asyncio.timeout(SECONDS):
                    line = await asyncio.to_thread(process.stdout.readline)
                seconds.append(float(line))
    return _spread(counts[1], seconds[1:])


@contextmanager
def _running(name: str, command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *command],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class _Folded:
    """Sees that everything is folded, by the watermarks at the ends of changelogs."""

    def __init__(self, deployment: Deployment) -> None:
        self._log = deployment.log
        self._sources = {
            TopicPartition(changelog_topic(APP_ID, table, marketplace.plan.state_id), partition): (
                TopicPartition(table.source, partition)
            )
            for table in (VISITORS, ITEMS)
            for partition in range(PARTITIONS)
        }
        self._read_to = dict.fromkeys(self._sources.values(), 0)
        self._reader = self._log.reader(dict.fromkeys(self._sources, 0))

    async def caught_up(self) -> None:
        """Wait until all visitor events, and then all their signals, are in the changelogs."""
        async with asyncio.timeout(SECONDS):
            for topic in (VISITOR_EVENTS, SIGNALS):
                changelogs = [tp for tp, source in self._sources.items() if source.topic == topic]
                ends = await self._log.end_offsets(self._sources[tp] for tp in changelogs)
                while any(self._read_to[source] < end for source, end in ends.items()):
                    await self._look(changelogs)

    async def close(self) -> None:
        """Stop reading."""
        await self._reader.close()

    async def _look(self, changelogs: Sequence[TopicPartition]) -> None:
        """Read the last record of each, which mostly is a watermark."""
        for tp, end in (await self._log.end_offsets(changelogs)).items():
            self._reader.seek(tp, max(0, end - 1))
        for tp, records in (await self._reader.poll(1_000, _POLL_SECONDS)).items():
            for record in records:
                if record.key == WATERMARK_KEY:
                    self._read_to[self._sources[tp]] = (
                        WATERMARK.decode(record.value or b"").offset + 1
                    )


def _spread(count: int, seconds: Sequence[float]) -> JSON:
    """The rate in the middle, the lowest and the highest, per second."""
    rates = [count / each for each in seconds]
    return {
        "events_per_s": round(median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
    }
