"""The brokers that tests start are real ones, and come back from what tests do to them."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.kafka_broker import Cluster

pytestmark = pytest.mark.kafka


async def topics(servers: str, **options: object) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, **options)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def test_a_killed_broker_comes_back_with_its_topics(broker: Cluster, prefix: str) -> None:
    """What a broker was told before ``kill -9`` it still knows after."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}kept", 2, 1)])
    await admin.close()
    broker.kill()
    broker.heal()
    assert f"{prefix}kept" in await topics(broker.bootstrap_servers)


@pytest.mark.xdist_group("three brokers")
async def test_two_of_three_brokers_answer(cluster: Cluster) -> None:
    """With one broker gone, or frozen, the other two go on."""
    cluster.kill(1)
    cluster.wait_ready(2)
    await topics(cluster.bootstrap_servers)
    cluster.heal()


async def test_a_broker_with_users_wants_the_password(scram_broker: Cluster) -> None:
    """Nothing is told without the password, or with another."""
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"}
    admin = {**login, "sasl_plain_username": "admin"}
    servers = scram_broker.bootstrap_servers
    await topics(servers, **admin, sasl_plain_password="admin-secret")
    with pytest.raises(KafkaError):
        await topics(servers, **admin, sasl_plain_password="guessed")
