"""The Kafka cluster of a deployment, as its settings describe it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog

from api.readiness import Readiness
from eventlog.kafka import Connection, KafkaAdmin, KafkaUnreachable
from eventlog.protocol import EventLog, LogUnavailable, Topic
from freshet.rights import Needs, check_rights
from freshet.settings import Settings
from freshet.state import CannotOpen

_CLUSTER = "cluster"
_PAUSE_SECONDS = 1.0
_ATTEMPT_SECONDS = 60.0

T = TypeVar("T")

_logger = structlog.get_logger(__name__)


class TopicsWrong(Exception):
    """Topics are missing, or have other partitions than the settings say."""


def connection(settings: Settings) -> Connection:
    """Where the cluster is, and who asks."""
    return Connection(
        bootstrap_servers=settings.bootstrap_servers,
        security_protocol=settings.security_protocol,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_username=settings.sasl_username,
        sasl_password=settings.sasl_password,
        ssl_ca_location=settings.ssl_ca_location,
        ssl_certificate_location=settings.ssl_certificate_location,
        ssl_key_location=settings.ssl_key_location,
    )


def check_partitions(log: EventLog, declared: Iterable[Topic]) -> None:
    """Raises ``TopicsWrong`` unless all topics are there, cut as declared."""
    missing, other = [], []
    for topic in declared:
        try:
            found = log.partitions(topic.name)
        except KeyError:
            missing.append(topic.name)
            continue
        if found != topic.partitions:
            other.append(f"{topic.name} has {found} partitions, not {topic.partitions}")
    if other:
        raise TopicsWrong(f"topics are not as the settings say: {'; '.join(other)}")
    if missing:
        raise TopicsWrong(f"topics are missing: {', '.join(missing)}: run freshet topics create")


async def check_cluster(settings: Settings, needs: Needs) -> None:
    """Raises ``KafkaRefused`` where rights are missing, ``CannotOpen`` where the data folder holds
    the rows of another cluster."""
    admin = KafkaAdmin(connection(settings), client_id="freshet")
    try:
        await admin.start()
        await check_rights(admin, settings, needs)
        found = await admin.cluster_id()
    finally:
        await admin.stop()
    file = settings.data / _CLUSTER
    if not file.exists():
        file.write_text(f"{found}\n")
    elif (known := file.read_text().strip()) != found:
        raise CannotOpen(
            f"{settings.data} holds the rows of cluster {known}, not of {found}: use another data "
            "folder, or delete it; it is made again from the cluster"
        )


async def patiently(readiness: Readiness, attempt: Callable[[], Awaitable[T]]) -> T:
    """What ``attempt`` returns once the cluster answers; ``readiness`` says what it waits for."""
    while True:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                result = await attempt()
        except TimeoutError:
            reason = f"the cluster did not answer in {_ATTEMPT_SECONDS:g} s"
        except (KafkaUnreachable, LogUnavailable) as error:
            reason = str(error)
        else:
            if readiness.waiting is not None:
                _logger.info("the cluster answers")
            readiness.waiting = None
            return result
        if readiness.waiting is None:
            _logger.warning("waiting for the cluster", reason=reason)
        readiness.waiting = f"waiting for the cluster: {reason}"
        await asyncio.sleep(_PAUSE_SECONDS)
