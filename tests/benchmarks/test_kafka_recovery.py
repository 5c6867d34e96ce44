"""How fast 1,000,000 rows come back from Kafka: into a wiped worker, a new replica, plain Faust."""

import asyncio
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from eventlog.protocol import Entry, Topic, TopicPartition
from freshet.state import now_ms
from personalization.presets.marketplace import marketplace
from personalization.state.rows import VisitorRow
from tables.topics import ROWS, VISITORS, changelog_topic
from tests.benchmarks.measuring import show
from tests.benchmarks.plain_faust import changelog
from tests.integration.cluster import APP_ID, Deployment, Process
from tests.kafka_broker import Cluster
from tests.processes import clean_environ

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS_COUNT, ROW_BYTES, PARTITIONS = 1_000_000, 300, 4
FAUST_SECONDS, SECONDS = 900.0, 120.0
RUNS = 3
RATIO, REPLICA_RATE = 10.0, 100_000

_BATCH = 128
_AT_ONCE = 4_000


async def test_recovery_of_a_million_rows(tmp_path: Path, broker: Cluster, prefix: str) -> None:
    """Ten times as fast as Faust's own into a worker; 100,000 rows/s into a replica."""
    async with Deployment(tmp_path, broker, prefix, partitions=PARTITIONS) as deployment:
        log = deployment.log
        plain = changelog(f"{prefix}plain", "rows").removeprefix(prefix)
        await log.create_topics([Topic(plain, PARTITIONS, compacted=True)])
        for topic in (plain, changelog_topic(APP_ID, VISITORS, marketplace.plan.state_id)):
            for partition in range(PARTITIONS):
                for entries in _rows(partition):
                    await log.append({TopicPartition(topic, partition): entries})
        workers, replicas = [], []
        for _ in range(RUNS):
            workers.append(await _worker(deployment))
            replicas.append(await _replica(deployment))
        faust = await asyncio.to_thread(_faust, broker.bootstrap_servers, prefix, tmp_path)
    rates = {
        "worker": [round(ROWS_COUNT / seconds) for seconds in workers],
        "replica": [round(ROWS_COUNT / seconds) for seconds in replicas],
        "plain_faust": [round(ROWS_COUNT / faust)],
    }
    ratio = median(rates["worker"]) / rates["plain_faust"][0]
    show(
        "kafka_recovery_rows_per_s",
        {
            **rates,
            "worker_to_faust": round(ratio, 1),
            "wanted": {"worker_to_faust": RATIO, "replica": REPLICA_RATE},
            "met": {
                "worker_to_faust": ratio >= RATIO,
                "replica": median(rates["replica"]) >= REPLICA_RATE,
            },
        },
    )


def _rows(partition: int) -> list[list[Entry]]:
    """The rows of a partition as a worker leaves them: each batch in another order."""
    drawn = random.Random(partition)
    numbers = list(range(ROWS_COUNT // PARTITIONS))
    entries = []
    for first in range(0, len(numbers), _BATCH):
        batch = numbers[first : first + _BATCH]
        drawn.shuffle(batch)
        for number in batch:
            entries.append(Entry(f"v{number}-{partition}".encode(), _row(number), now_ms()))
    return [entries[at : at + _AT_ONCE] for at in range(0, len(entries), _AT_ONCE)]


def _row(offset: int) -> bytes:
    """A visitor's row of 300 bytes, whatever its offset."""
    row = VisitorRow(offset, 0, 0, 0, [0.5] * 18, [1] * 6, [], [], [], user="")
    # Behind two bytes that say how long it is, one of which is there already.
    row.user = "u" * (ROW_BYTES - len(ROWS[VISITORS.name].encode(row)) - 1)
    return ROWS[VISITORS.name].encode(row)


async def _worker(deployment: Deployment) -> float:
    """Into a worker without a folder: from its assignment until all rows are in its tables."""
    worker = deployment.worker("wiped")
    said = await _recovered(worker, "assigned")
    assert said["recovered"] == ROWS_COUNT
    return float(said["seconds"])


async def _replica(deployment: Deployment) -> float:
    """Into a new replica: from the start of its process until it is ready."""
    return float((await _recovered(deployment.api("new"), "serving"))["seconds"])


async def _recovered(process: Process, event: str) -> dict[str, float]:
    """What it says when it has recovered; then it is stopped, and its folder removed."""
    await asyncio.to_thread(process.ready, SECONDS)
    process.stop()
    lines = process.log.read_text().splitlines()
    [said] = [line for line in map(json.loads, lines) if line["event"] == event]
    shutil.rmtree(process.data)
    process.log.unlink()
    return dict(said)


def _faust(servers: str, prefix: str, folder: Path) -> float:
    """Into a table of Faust's own: from its assignment until Faust has recovered."""
    command = (servers, prefix, PARTITIONS, folder / "plain", "recover", ROWS_COUNT)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.plain_faust", *map(str, command)],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=FAUST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
