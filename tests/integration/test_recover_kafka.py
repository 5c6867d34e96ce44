"""What is derived may be lost on Kafka too: tables come back from changelogs, both from events."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventlog.kafka import KafkaAdmin
from eventlog.protocol import TopicPartition
from freshet.state import REPLICAS
from tables.replicas.store import RowStore, identity
from tables.replicas.watermarks import TablePartition
from tables.tokens import Token
from tables.topics import TABLES, VISITOR_EVENTS, WATERMARK, WATERMARK_KEY, changelog_topic
from tests.integration.cluster import APP_ID, PLAN, Deployment, Process, shop_events
from tests.kafka_broker import Cluster
from tests.one_pass import Tables
from tests.processes import get, post

pytestmark = pytest.mark.kafka

PARTITIONS = 4
EVENTS = 2_000


@pytest.fixture
async def deployment(tmp_path: Path, broker: Cluster, prefix: str) -> AsyncIterator[Deployment]:
    """Topics of its own, and no process yet."""
    async with Deployment(
        tmp_path, broker, prefix, partitions=PARTITIONS, session_timeout="6s"
    ) as made:
        yield made


async def start(deployment: Deployment) -> dict[str, Process]:
    """Two workers and a replica, ready."""
    started = {name: deployment.worker(name) for name in ("one", "two")}
    started["api"] = deployment.api("api")
    for process in started.values():
        await asyncio.to_thread(process.ready)
    return started


async def stop(deployment: Deployment, api: Process) -> Tables:
    """The rows, when all that was sent is in them, and in those of the replica."""
    await deployment.folded()
    sent = [TopicPartition(VISITOR_EVENTS, partition) for partition in range(PARTITIONS)]
    ends = await deployment.log.end_offsets(sent)
    token = Token.of({tp: end - 1 for tp, end in ends.items()}).text()
    request = {"candidates": ["-"], "token": token, "wait": "all"}
    async with asyncio.timeout(30):
        while True:
            answer = await asyncio.to_thread(post, f"{api.url}/v1/rank", request)
            if answer["freshness"]["caught_up"]:
                break
    await deployment.stop()
    tables = await deployment.check()
    check_replica(api.data, tables)
    return tables


def check_replica(data: Path, tables: Tables) -> None:
    """The replica's rows, and its watermarks, are those of the tables."""
    store = RowStore(data / REPLICAS / "rows", identity(APP_ID, PLAN.state_id, PARTITIONS))
    try:
        watermarks = store.watermarks()
        for table in TABLES:
            wanted: dict[bytes, bytes] = {}
            for (name, partition), rows in tables.items():
                if name == table.name:
                    wanted |= rows
                    held = watermarks[TablePartition(name, partition)]
                    assert WATERMARK.encode(held) == rows[WATERMARK_KEY]
            wanted.pop(WATERMARK_KEY, None)
            assert dict(store.rows(table.name)) == wanted, table.name
    finally:
        store.close()


def stages(process: Process) -> dict[str, Any]:
    """What it has recovered, by stage: (done, total)."""
    found = get(f"{process.url}/readyz")["recovering"]
    return {stage["name"]: (stage["done"], stage["total"]) for stage in found}


async def make_changelogs_anew(deployment: Deployment, process: Process, tables: int) -> None:
    """Delete the first ``tables`` of them, and make them with ``freshet topics create``."""
    names = [changelog_topic(APP_ID, table, PLAN.state_id) for table in TABLES[:tables]]
    prefix = process.environ["FRESHET_TOPIC_PREFIX"]
    admin = KafkaAdmin(deployment.connection, client_id="test", prefix=prefix)
    await admin.start()
    try:
        await admin.delete(names)
        async with asyncio.timeout(30):
            while not (await admin.partition_counts()).keys().isdisjoint(names):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        refused = deployment.worker("one")
        assert await asyncio.to_thread(refused.wait) == 1
        assert "run freshet topics create" in refused.log.read_text()
        outcome = json.loads(deployment.freshet("topics", "create", "--json"))
        assert outcome["made"] == sorted(names)
    finally:
        await admin.stop()
    await deployment.log.learn_topics()


async def test_tables_come_back_from_their_changelogs(deployment: Deployment) -> None:
    """The folders of workers and replica deleted: the same rows, with progress shown, and nothing
    folded."""
    started = await start(deployment)
    await deployment.send(shop_events(seed=1, count=EVENTS))
    before = await stop(deployment, started["api"])
    for process in started.values():
        shutil.rmtree(process.data)
    started = await start(deployment)
    done = 0
    for name in ("one", "two"):
        found = stages(started[name])
        assert found.keys() <= {"changelogs"}
        done += found.get("changelogs", (0, 0))[0]
    assert done > EVENTS // 8
    [(done, total)] = stages(started["api"]).values()
    assert done == total > 0
    assert await stop(deployment, started["api"]) == before


@pytest.mark.parametrize(
    ("lost", "kept"),
    [
        (len(TABLES), False),
        (3, True),
        pytest.param(len(TABLES), True, marks=pytest.mark.long),
        pytest.param(3, False, marks=pytest.mark.long),
        pytest.param(1, False, marks=pytest.mark.long),
    ],
)
async def test_tables_come_back_from_the_entity_topics(
    deployment: Deployment, lost: int, kept: bool
) -> None:
    """Some or all of the changelogs made anew: the same rows, with progress shown, whether the
    folders of workers and replica were deleted too or not; then events count as before."""
    events = shop_events(seed=2, count=EVENTS + 500)
    started = await start(deployment)
    await deployment.send(events[:EVENTS], batch=50)
    before = await stop(deployment, started["api"])
    await make_changelogs_anew(deployment, started["one"], lost)
    if not kept:
        for process in started.values():
            shutil.rmtree(process.data)
    started = await start(deployment)
    done = 0
    for name in ("one", "two"):
        done += stages(started[name]).get("entity topics", (0, 0))[0]
    assert done > 0
    assert await stop(deployment, started["api"]) == before
    started = await start(deployment)
    await deployment.send(events[EVENTS:])
    await stop(deployment, started["api"])
    await deployment.check(events)
