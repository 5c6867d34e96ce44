"""Processes on a cluster with passwords and ACLs: what they must be allowed, and no more.

The rights are those that docs/operating-on-kafka.md lists.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventlog.kafka import KafkaRefused
from eventlog.protocol import Entry, TopicPartition
from freshet import api_replica, worker
from freshet.settings import Settings
from tables.topics import SIGNALS
from tests.integration.cluster import Deployment
from tests.integration.cluster_load import Load, check_all, none_lost
from tests.kafka_broker import Cluster
from tests.kafka_rights import Right, Rights, documented

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("rights")]

POISON = {TopicPartition(SIGNALS, 0): [Entry(b"v", b"\xff not signals", 1)]}
WORKER, API = "freshet worker", "freshet api"
USERS = {WORKER: "worker", API: "api"}
PARTITIONS = 4
SOON = 20.0


class OpenServers:
    """The cluster as those see it who may do everything."""

    def __init__(self, cluster: Cluster) -> None:
        self.bootstrap_servers = cluster.open_servers


@pytest.fixture
async def rights(scram_broker: Cluster, prefix: str) -> AsyncIterator[Rights]:
    """Grants of names under the test's prefix."""
    async with Rights(scram_broker.open_servers, prefix) as made:
        yield made


@pytest.fixture
async def deployment(
    scram_broker: Cluster, tmp_path: Path, prefix: str
) -> AsyncIterator[Deployment]:
    """Topics, made by somebody who may do everything, and no process yet."""
    async with Deployment(
        tmp_path,
        OpenServers(scram_broker),  # type: ignore[arg-type]
        prefix,
        partitions=PARTITIONS,
        bootstrap_servers=scram_broker.bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
    ) as made:
        yield made


def of(who: str) -> list[Right]:
    return [right for right in documented() if right.who == who]


async def test_the_least_rights_suffice(deployment: Deployment, rights: Rights) -> None:
    """With what is documented, and nothing else, all work is done."""
    for who, user in USERS.items():
        await rights.set(user, of(who))
    one = deployment.worker("one", sasl_username="worker", sasl_password="worker-secret")
    left = deployment.api("left", sasl_username="api", sasl_password="api-secret")
    for process in (one, left):
        await asyncio.to_thread(process.ready)
    load = Load(deployment.folder, [left], seconds=3)
    try:
        await load.began()
        await deployment.log.append(POISON)
        none_lost(await load.result())
    finally:
        load.close()
    assert one.metrics()["freshet_worker_dead_letters_total"] == 1
    await check_all(deployment, load, [left])
    for process in (one, left):
        assert "uthoriz" not in process.log.read_text()


@pytest.mark.parametrize("who", [WORKER, API])
async def test_one_right_less_is_named(
    who: str, deployment: Deployment, rights: Rights, scram_broker: Cluster, prefix: str
) -> None:
    """Without any one of them it does not start, and says which is missing."""
    needed = of(who)
    assert needed
    serve = worker.serve if who == WORKER else api_replica.serve
    settings = Settings(
        bootstrap_servers=(scram_broker.bootstrap_servers,),
        security_protocol="SASL_PLAINTEXT",
        sasl_username=USERS[who],
        sasl_password=f"{USERS[who]}-secret",
        topic_prefix=prefix,
        partitions=PARTITIONS,
        worker_id="one",
        host="127.0.0.1",
        port=0,
        data=deployment.folder / "refused",
    )
    for missing in needed:
        await rights.set(USERS[who], [right for right in needed if right != missing])
        with pytest.raises(KafkaRefused) as refused:
            async with asyncio.timeout(SOON):
                await serve(
                    settings,
                    asyncio.Event(),
                    listening=lambda _: None,
                    progress=lambda *_: None,
                    ready=lambda: None,
                )
        said = str(refused.value)
        assert missing.operation in said, (missing, said)
        assert prefix + missing.name in said, (missing, said)


async def test_a_missing_right_is_one_line(deployment: Deployment, rights: Rights) -> None:
    """A process that is refused ends with status 1, and the last line says what it lacks."""
    for who, user in USERS.items():
        await rights.set(user, of(who)[1:])
    for start, user in ((deployment.worker, "worker"), (deployment.api, "api")):
        process = start(user, sasl_username=user, sasl_password=f"{user}-secret")
        assert await asyncio.to_thread(process.wait) == 1
        last = process.log.read_text().splitlines()[-1]
        assert last.startswith("Error: ")
        assert "right" in last
        assert f"{user}-secret" not in process.log.read_text()
