"""A whole deployment on Kafka under load, as processes, and what may happen to it.

After each fault every row is what one clean pass over the log makes of it, in tables, changelogs
and replicas, and its counts are those of a plain script over what was sent.
"""

import asyncio
import itertools
import json
import math
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eventlog.protocol import Entry, TopicPartition
from tables.dead_letters import DEAD_LETTER
from tables.topics import CATALOGUE, DEAD_LETTERS, SIGNALS, VISITOR_EVENTS
from tests.integration.cluster import SOON, Deployment, Process
from tests.integration.cluster_load import Load, check_all, none_lost, rows_of, stalls
from tests.kafka_broker import Cluster
from tests.logs import topic_records
from tests.seeds import seeds

pytestmark = pytest.mark.kafka

FRESH_MS = 50.0
BUSY_MS = 2_000.0
FRESH_AGAIN_SECONDS = 20.0
BEFORE_SECONDS = 4.0
SETTLE_SECONDS = 5.0
AFTER_SECONDS = 12.0

SMALL_BUFFERS = """
import tables.replicas.store
tables.replicas.store._MEBIBYTE = 1 << 10  # or nothing reaches the disk in a test
from freshet.cli import main
main(prog_name="freshet")
"""


class System:
    """Two workers and two API replicas, ready, under load."""

    def __init__(self, deployment: Deployment, workers: list[Process], apis: list[Process]) -> None:
        self.deployment = deployment
        self.workers = workers
        self.apis = apis

    async def replaced(self, process: Process) -> Process:
        """The same process started again, at the same address, and ready."""
        again = self.deployment.again(process)
        for processes in (self.workers, self.apis):
            if process in processes:
                processes[processes.index(process)] = again
        await asyncio.to_thread(again.ready)
        return again


@asynccontextmanager
async def system(folder: Path, broker: Cluster, prefix: str) -> AsyncIterator[System]:
    """Started, each worker with partitions, and ended whatever happens."""
    async with Deployment(folder, broker, prefix, session_timeout="6s") as deployment:
        workers = [deployment.worker(name) for name in ("one", "two")]
        apis = [
            deployment.api(name, start=(sys.executable, "-c", SMALL_BUFFERS))
            for name in ("left", "right")
        ]
        for process in (*workers, *apis):
            await asyncio.to_thread(process.ready)
        async with asyncio.timeout(SOON):
            while not all(w.metrics()["freshet_worker_partitions"] for w in workers):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield System(deployment, workers, apis)


@pytest.fixture
async def one(tmp_path: Path, broker: Cluster, prefix: str) -> AsyncIterator[System]:
    """On one broker."""
    async with system(tmp_path, broker, prefix) as made:
        yield made


@pytest.fixture
async def three(tmp_path: Path, cluster: Cluster, prefix: str) -> AsyncIterator[System]:
    """On three brokers that replicate."""
    async with system(tmp_path, cluster, prefix) as made:
        yield made


async def under_load(
    made: System, fault: Callable[[], Awaitable[None]], *, seed: int, seconds: float
) -> dict[str, Any]:
    """What a load measured while ``fault`` was done, once all is checked."""
    load = Load(made.deployment.folder, made.apis, seconds=seconds, seed=seed)
    try:
        await load.began()
        await fault()
        result = await load.result()
    finally:
        load.close()
    none_lost(result)
    print(json.dumps({"seed": seed, "longest_s": stalls(result), "put_off": result["put_off"]}))
    await check_all(made.deployment, load, made.apis)
    return result


@pytest.mark.parametrize("seed", seeds(10))
async def test_a_killed_replica_is_missed_by_nobody(one: System, seed: int) -> None:
    """What was under way with it is asked of the other; it comes back with the rows it had."""
    drawn = random.Random(seed)
    killed = drawn.choice(one.apis)

    async def kill() -> None:
        await asyncio.sleep(drawn.uniform(2, 4))
        killed.kill()
        kept = rows_of(killed, one.deployment.partitions)
        try:
            assert sum(kept.positions().values()) > 0
        finally:
            kept.close()
        await one.replaced(killed)

    result = await under_load(one, kill, seed=seed, seconds=7)
    assert set(result["connections_died"]) <= {killed.url}


@pytest.mark.parametrize("seed", seeds(10))
async def test_a_killed_broker_holds_events_up(one: System, broker: Cluster, seed: int) -> None:
    """While it is gone rankings are answered and events refused; then these are taken."""
    drawn = random.Random(seed)

    async def kill() -> None:
        await asyncio.sleep(drawn.uniform(1, 3))
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(drawn.uniform(0, 2))
        await asyncio.to_thread(broker.heal)

    result = await under_load(one, kill, seed=seed, seconds=12)
    assert result["connections_died"] == {}
    assert set(result["put_off"]) <= {"503"}


@pytest.mark.parametrize("seed", seeds(10))
@pytest.mark.xdist_group("three brokers")
async def test_one_broker_of_three_is_killed(three: System, cluster: Cluster, seed: int) -> None:
    """Writes go on with the other two within seconds, rankings all the time."""
    drawn = random.Random(seed)

    async def kill() -> None:
        await asyncio.sleep(drawn.uniform(1, 3))
        await asyncio.to_thread(cluster.kill, seed % 3)

    result = await under_load(three, kill, seed=seed, seconds=10)
    assert result["connections_died"] == {}
    assert set(result["put_off"]) <= {"503"}


async def test_poison_is_kept_apart_and_passed(one: System) -> None:
    """What cannot be decoded, in any topic, is in the dead letters once; all else is folded."""
    poison = {
        TopicPartition(topic, number % 4): b"\xff not for " + topic.encode()
        for number, topic in enumerate((VISITOR_EVENTS, SIGNALS, CATALOGUE))
    }

    async def send() -> None:
        await asyncio.sleep(2)
        await one.deployment.log.append(
            {tp: [Entry(b"k", value, 1)] for tp, value in poison.items()}
        )

    await under_load(one, send, seed=1, seconds=5)
    letters = [
        DEAD_LETTER.decode(record.value or b"")
        for record in await topic_records(one.deployment.log, DEAD_LETTERS)
    ]
    found = {TopicPartition(letter.topic, letter.partition): letter.value for letter in letters}
    assert found == poison
    assert len(letters) == len(poison)


async def test_a_rolling_restart_fails_nothing(one: System) -> None:
    """Every process is stopped in good order and started again, one after another: no request
    fails, and soon after each what is written is known within 50 ms again.

    On a machine that is too busy for that it need only be known about as soon as before. Where not
    even the load keeps its time it sees late that a replica is about to stop: a connection may
    die then, and two seconds are soon."""
    load = Load(one.deployment.folder, one.apis)
    restarts = []
    try:
        await load.began()
        await asyncio.sleep(BEFORE_SECONDS)
        for process in (*one.workers, *one.apis):
            began = load.now()
            assert await asyncio.to_thread(process.stop) == 0, process.log.read_text()
            await one.replaced(process)
            restarts.append(Restart(process.data.name, began, load.now()))
            await asyncio.sleep(SETTLE_SECONDS)
        await asyncio.sleep(AFTER_SECONDS)
        result = await load.stop()
    finally:
        load.close()
    by_second = result["by_second"]
    print(time_line(restarts, by_second))
    none_lost(result)
    kept_up = result["generator"]["kept_up"]
    if kept_up:
        assert result["connections_died"] == result["put_off"] == {}
    before = [own_event(second) for second in by_second if 1 <= second["second"] < BEFORE_SECONDS]
    bound = max(FRESH_MS, 2 * max(before)) if kept_up else BUSY_MS
    for restart in restarts:
        waited = fresh_after(restart.ready, by_second, bound)
        print(json.dumps({"restarted": restart.name, "within_ms": bound, "after_s": waited}))
        assert waited < FRESH_AGAIN_SECONDS
    await check_all(one.deployment, load, one.apis)


class Restart(NamedTuple):
    """A process was stopped, and ready again, so many seconds after the first event."""

    name: str
    began: float
    ready: float


def own_event(second: dict[str, Any]) -> float:
    """How long it took, in ms, until a ranking knew its visitor's event; the slowest."""
    return float(second["own_event_max_ms"] or math.inf)


def fresh_after(moment: float, by_second: list[dict[str, Any]], bound: float) -> float:
    """How many seconds after ``moment`` own events were known within ``bound`` ms, for two seconds
    in a row."""
    for first, second in itertools.pairwise(by_second):
        if first["second"] >= moment and max(own_event(first), own_event(second)) <= bound:
            return round(float(first["second"]) - moment, 1)
    return math.inf


def time_line(restarts: list[Restart], by_second: list[dict[str, Any]]) -> str:
    """Second by second, for people."""
    lines = []
    for second in by_second:
        number = second["second"]
        now = [each.name for each in restarts if each.began < number + 1 and each.ready > number]
        lines.append(json.dumps({**second, "restarting": now}))
    return "\n".join(lines)
