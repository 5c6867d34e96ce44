"""Workers on a real broker, as processes: what they fold is right, whatever happens to them."""

import asyncio
import itertools
import json
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventlog.protocol import Entry, TopicPartition
from personalization.events import StampedEvent
from tables.dead_letters import DEAD_LETTER
from tables.topics import DEAD_LETTERS, VISITOR_EVENTS
from tests.integration.cluster import SOON, Deployment, Process, shop_events
from tests.kafka_broker import Cluster
from tests.logs import topic_records
from tests.processes import get

pytestmark = pytest.mark.kafka

SMALL_BUFFERS = """
import tables.store
tables.store._MEBIBYTE = 1 << 14  # or nothing reaches the disk in a test
from freshet.cli import main
main()
"""
STEPS = ("folded", "signals", "changelog", "tables", "committed")


@pytest.fixture
async def deployment(tmp_path: Path, broker: Cluster, prefix: str) -> AsyncIterator[Deployment]:
    """Topics of its own, and no process yet."""
    async with Deployment(tmp_path, broker, prefix, session_timeout="6s") as made:
        yield made


async def test_two_workers_fold_what_one_clean_pass_does(deployment: Deployment) -> None:
    """2,000 events, byte for byte; both have worked; stopped, they end well within 10 s."""
    events = shop_events(seed=1, count=2_000)
    workers = [deployment.worker(name) for name in ("one", "two")]
    for worker in workers:
        await asyncio.to_thread(worker.ready)
    await deployment.send(events)
    await deployment.folded()
    for worker in workers:
        assert worker.metrics()['freshet_worker_rows_total{table="visitors"}'] > 0
    began = time.monotonic()
    await deployment.stop()
    assert time.monotonic() - began < 10
    await deployment.check(events)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_kills_between_all_steps_count_every_event_once(
    deployment: Deployment, seed: int
) -> None:
    """A worker dies after each step of the write order, and goes on where it was."""
    drawn = random.Random(seed)
    events = iter(shop_events(seed, count=20_000))
    sent: list[StampedEvent] = []

    async def send(count: int) -> None:
        sent.extend(itertools.islice(events, count))
        await deployment.send(sent[-count:], batch=25)

    for step in drawn.sample(STEPS, len(STEPS)):
        worker = deployment.worker("one", after=("KILL", step, drawn.randint(1, 2)))
        await send(250)
        async with asyncio.timeout(SOON):
            # One batch may take all that was sent: a step is taken twice only if more comes.
            while worker.runs():
                await send(25)
                await asyncio.sleep(0.25)
        assert worker.wait() == -signal.SIGKILL, worker.log.read_text()
    deployment.worker("one")
    await deployment.folded()
    await deployment.stop()
    await deployment.check(sent)


async def test_a_wiped_worker_gets_its_rows_back(deployment: Deployment) -> None:
    """Its folder gone, the tables come from the changelogs, with progress on /readyz."""
    events = shop_events(seed=3, count=1_000)
    worker = deployment.worker("one")
    await deployment.send(events[:500])
    await deployment.folded()
    worker.kill()
    shutil.rmtree(worker.data)
    worker = deployment.worker("one")
    await asyncio.to_thread(worker.ready)
    [stage] = get(f"{worker.url}/readyz")["recovering"]
    assert stage["name"] == "changelogs"
    assert stage["done"] == stage["total"] > 500
    await deployment.send(events[500:])
    await deployment.folded()
    await deployment.stop()
    await deployment.check(events)


@pytest.mark.parametrize("times", [1, pytest.param(6, marks=pytest.mark.long)])
async def test_a_worker_joins_and_leaves_under_load(deployment: Deployment, times: int) -> None:
    """Partitions change hands twice, and again, while events come in; none is lost, none counts
    twice."""
    events = shop_events(seed=4, count=3_000 * times)
    one = deployment.worker("one")
    await asyncio.to_thread(one.ready)
    sending = asyncio.create_task(paced(deployment, events, seconds=15 * times))
    for _ in range(times):
        await asyncio.sleep(2)
        two = deployment.worker("two")
        await asyncio.to_thread(two.ready)
        await shares(one, two)
        await asyncio.sleep(2)
        assert await asyncio.to_thread(two.stop) == 0
        await owns(one, 4)
    await sending
    await deployment.folded()
    await deployment.stop()
    await deployment.check(events)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_a_frozen_worker_changes_nothing_when_it_wakes(
    deployment: Deployment, seed: int
) -> None:
    """SIGSTOP for longer than the session time-out, in the middle of its work; another takes its
    partitions; what it then still writes is outdone, in tables and changelogs."""
    events = shop_events(seed, count=4_000)
    one, two = deployment.worker("one"), deployment.worker("two")
    for worker in (one, two):
        await asyncio.to_thread(worker.ready)
    sending = asyncio.create_task(paced(deployment, events, seconds=16))
    await asyncio.sleep(random.Random(seed).uniform(1, 2))
    one.freeze()
    await owns(two, 4)
    one.thaw()
    await sending
    await deployment.folded()
    await shares(one, two)
    await deployment.stop()
    await deployment.check(events)


@pytest.mark.parametrize("step", ["folded", "signals", "changelog", "tables"])
async def test_a_worker_frozen_between_two_steps_changes_nothing(
    deployment: Deployment, step: str
) -> None:
    """It wakes in the middle of writing a batch that another has folded since, and goes on."""
    events = shop_events(seed=8, count=2_000)
    one = deployment.worker("one", after=("STOP", step, 4))
    two = deployment.worker("two")
    for worker in (one, two):
        await asyncio.to_thread(worker.ready)
    await shares(one, two)
    await deployment.send(events[:1_000], batch=20)
    async with asyncio.timeout(30):
        while not one.frozen():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await owns(two, 4)
    await deployment.send(events[1_000:])
    await deployment.folded()
    one.thaw()
    await shares(one, two)
    await asyncio.sleep(3)  # two looks, of each
    await deployment.stop()
    await deployment.check(events)


async def test_a_full_disk_ends_the_worker_and_loses_nothing(deployment: Deployment) -> None:
    """It says so in one line; with room again it goes on where it was."""
    events = shop_events(seed=9, count=4_000)
    worker = deployment.worker("one", start=(sys.executable, "-c", SMALL_BUFFERS))
    await asyncio.to_thread(worker.ready)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    sending = asyncio.create_task(paced(deployment, events, seconds=10))
    assert await asyncio.to_thread(worker.wait) == 1
    await sending
    last = said(worker)
    assert last.startswith("Error: agents stopped: ")
    assert "File too large" in last
    deployment.worker("one")
    await deployment.folded()
    await deployment.stop()
    await deployment.check(events)


async def test_of_two_workers_with_one_id_one_refuses(deployment: Deployment) -> None:
    """The second to start waits a session time-out, says who has the id, and ends; the first goes
    on."""
    first = deployment.worker("one")
    await asyncio.to_thread(first.ready)
    second = deployment.worker("one", data=deployment.folder / "copy")
    assert await asyncio.to_thread(second.wait, 30) == 1
    assert "a worker called one runs already, on 127.0.0.1" in second.log.read_text()
    events = shop_events(seed=5, count=200)
    await deployment.send(events)
    await deployment.folded()
    assert first.runs()
    await deployment.stop()
    await deployment.check(events)


async def test_of_two_that_start_at_once_with_one_id_one_ends(deployment: Deployment) -> None:
    """Neither could see the other before it joined: each pushes the other out until one ends."""
    workers = [
        deployment.worker("one", data=deployment.folder / name) for name in ("left", "right")
    ]
    events = shop_events(seed=10, count=500)
    await deployment.send(events)
    async with asyncio.timeout(40):
        while all(worker.runs() for worker in workers):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    [left] = [worker for worker in workers if worker.runs()]
    await asyncio.to_thread(left.ready)
    await deployment.folded()
    assert left.runs()
    await deployment.stop()
    await deployment.check(events)


async def test_poison_goes_to_dead_letters(deployment: Deployment) -> None:
    """A record that cannot be decoded is kept with its reason, and folding goes on."""
    worker = deployment.worker("one")
    tp = TopicPartition(VISITOR_EVENTS, 0)
    await deployment.log.append({tp: [Entry(b"v", b"\xff not an event", 1)]})
    events = shop_events(seed=6, count=200)
    await deployment.send(events)
    await deployment.folded()
    [letter] = [
        DEAD_LETTER.decode(record.value or b"")
        for record in await topic_records(deployment.log, DEAD_LETTERS)
    ]
    assert (letter.topic, letter.partition, letter.offset) == (VISITOR_EVENTS, 0, 0)
    assert letter.value == b"\xff not an event"
    async with asyncio.timeout(SOON):
        # Counted once all of its batch is written.
        while not worker.metrics()["freshet_worker_dead_letters_total"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert worker.metrics()["freshet_worker_dead_letters_total"] == 1
    await deployment.stop()


async def test_partitions_are_shared_and_go_with_their_tables(deployment: Deployment) -> None:
    """Each partition has one owner, of all topics and changelogs (or a worker would refuse it)."""
    one, two = deployment.worker("one"), deployment.worker("two")
    for worker in (one, two):
        await asyncio.to_thread(worker.ready)
    await shares(one, two)
    await deployment.stop()
    owned = [assigned(worker)[-1] for worker in (one, two)]
    assert sorted(owned[0] + owned[1]) == [0, 1, 2, 3]


def assigned(worker: Process) -> list[list[int]]:
    """What partitions it was assigned, each time."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    return [line["partitions"] for line in lines if line["event"] == "assigned"]


def said(worker: Process) -> str:
    """The last line on its stderr."""
    return worker.log.read_text().splitlines()[-1]


async def paced(deployment: Deployment, events: list[StampedEvent], seconds: float) -> None:
    """Sends ``events`` evenly over ``seconds``."""
    began, batch = time.monotonic(), 25
    for first in range(0, len(events), batch):
        await deployment.send(events[first : first + batch])
        due = began + seconds * (first + batch) / len(events)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def owns(worker: Process, partitions: int) -> None:
    """Waits until ``worker`` has so many partitions."""
    async with asyncio.timeout(30):
        while worker.metrics()["freshet_worker_partitions"] < partitions:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def shares(*workers: Process) -> None:
    """Waits until each of ``workers`` has partitions."""
    async with asyncio.timeout(30):
        while not all(w.metrics()["freshet_worker_partitions"] for w in workers):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
