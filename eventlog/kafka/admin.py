"""Topics on the cluster: created, described, compared with what is wanted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from eventlog.kafka.connection import Connection, reach, started
from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, failure, in_words, is_refusal
from eventlog.kafka.names import name_on_kafka
from eventlog.kafka.settings import TopicOptions, topic_settings
from eventlog.protocol import Topic, TopicMismatch

_RETRY_SECONDS = 0.1


class Partition(msgspec.Struct, frozen=True):
    """Which brokers hold a partition; ``leader`` is -1 where none does."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


class Described(msgspec.Struct, frozen=True):
    """A topic as it is on the cluster; ``settings`` are in Kafka's own names and words."""

    partitions: tuple[Partition, ...]
    settings: dict[str, str]

    @property
    def replication(self) -> int:
        """On how many brokers each partition is; the least of them."""
        return min(len(partition.replicas) for partition in self.partitions)

    @property
    def under_replicated(self) -> tuple[int, ...]:
        """Partitions with fewer replicas in sync than they have."""
        return tuple(
            number
            for number, partition in enumerate(self.partitions)
            if len(partition.in_sync) < len(partition.replicas)
        )


class KafkaAdmin:
    """Asks the cluster about topics and makes them. Every call takes at most ``timeout`` seconds.

    Every method raises ``KafkaRefused`` or ``KafkaUnreachable``. Names are without ``prefix``.
    """

    def __init__(
        self, connection: Connection, *, client_id: str, prefix: str = "", timeout: float = 10.0
    ) -> None:
        self._connection = connection
        self._client_id = client_id
        self._prefix = prefix
        self._timeout = timeout
        self._client: Any = None

    async def start(self) -> None:
        """Connect."""
        await reach(self._connection, self._timeout)
        client = AIOKafkaAdminClient(
            client_id=self._client_id,
            request_timeout_ms=int(self._timeout * 500),  # so that another broker can be asked
            **self._connection.client_options(),
        )
        try:
            await self._bounded("connecting", lambda: started(client.start(), self._timeout))
        except BaseException:
            await client.close()
            raise
        self._client = client

    async def stop(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def client(self) -> Any:
        """aiokafka's own, for what is not about topics (groups, brokers)."""
        if self._client is None:
            raise KafkaUnreachable("not connected")
        return self._client

    async def cluster_id(self) -> str:
        """The name that the cluster was given when it was made."""
        cluster = await self._bounded("asking who it is", self.client.describe_cluster)
        return str(cluster["cluster_id"])

    async def brokers(self) -> list[int]:
        """Ids of the brokers that are up."""
        cluster = await self._bounded("listing brokers", self.client.describe_cluster)
        return [broker["node_id"] for broker in cluster["brokers"]]

    async def partition_counts(self) -> dict[str, int]:
        """Every topic under the prefix, and how many partitions it has."""
        return {
            topic["topic"][len(self._prefix) :]: len(topic["partitions"])
            for topic in await self._metadata(None)
        }

    async def describe(self, topics: Iterable[str]) -> dict[str, Described]:
        """Those of ``topics`` that exist."""
        wanted = {name_on_kafka(self._prefix, topic): topic for topic in topics}
        found = {topic["topic"]: topic for topic in await self._metadata(list(wanted))}
        settings = await self.settings([wanted[name] for name in found])
        return {
            wanted[name]: Described(_partitions(topic), settings[wanted[name]])
            for name, topic in found.items()
        }

    async def settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """The settings of each of ``topics``, all of which exist."""
        if not topics:
            return {}
        asked = [
            ConfigResource(ConfigResourceType.TOPIC, name_on_kafka(self._prefix, topic))
            for topic in topics
        ]
        answers = await self._bounded(
            "asking for settings of topics", lambda: self.client.describe_configs(asked)
        )
        settings = {}
        for answer in answers:
            for code, _, _, name, entries in answer.resources:
                _check(code, f"asking for the settings of {name}")
                settings[name[len(self._prefix) :]] = {
                    entry[0]: entry[1] for entry in entries if entry[1] is not None
                }
        return settings

    async def create(self, topics: Iterable[Topic], options: TopicOptions) -> list[str]:
        """Create what is missing; the names of what was created.

        Never changes what exists. Raises ``TopicMismatch``, with nothing created, where partitions
        differ.
        """
        wanted = {topic.name: topic for topic in topics}
        counts = await self.partition_counts()
        for topic in wanted.values():
            if counts.get(topic.name, topic.partitions) != topic.partitions:
                raise TopicMismatch(
                    f"topic {topic.name} has {counts[topic.name]} partitions, "
                    f"not {topic.partitions}; partitions are fixed at creation"
                )
        missing = [topic for topic in wanted.values() if topic.name not in counts]
        if not missing:
            return []
        new = [
            NewTopic(
                name_on_kafka(self._prefix, topic.name),
                topic.partitions,
                options.replication,
                topic_configs=topic_settings(topic, options),
            )
            for topic in missing
        ]
        millis = int(self._timeout * 1000)
        answer = await self._bounded(
            "creating topics", lambda: self.client.create_topics(new, timeout_ms=millis)
        )
        for name, code, *message in answer.topic_errors:
            if for_code(code) is not TopicAlreadyExistsError:
                _check(code, f"creating {name}", *message)
        await self._appeared([topic.name for topic in missing])
        return [topic.name for topic in missing]

    async def delete(self, topics: Iterable[str]) -> None:
        """Delete ``topics`` with all their records."""
        names = [name_on_kafka(self._prefix, topic) for topic in topics]
        millis = int(self._timeout * 1000)
        answer = await self._bounded(
            "deleting topics", lambda: self.client.delete_topics(names, timeout_ms=millis)
        )
        for name, code in answer.topic_error_codes:
            if for_code(code) is not UnknownTopicOrPartitionError:
                _check(code, f"deleting {name}")

    async def differences(self, topics: Iterable[Topic], options: TopicOptions) -> list[str]:
        """What of ``topics`` is missing or other than wanted, in words; [] where nothing is."""
        wanted = list(topics)
        found = await self.describe(topic.name for topic in wanted)
        return [line for topic in wanted for line in _differences(topic, options, found)]

    async def _metadata(self, names: list[str] | None) -> list[dict[str, Any]]:
        topics = await self._bounded("listing topics", lambda: self.client.describe_topics(names))
        return [
            topic
            for topic in topics
            if topic["error_code"] == 0 and topic["topic"].startswith(self._prefix)
        ]

    async def _appeared(self, names: Sequence[str]) -> None:
        # The controller answers before every broker knows the topics and their leaders, and
        # whoever comes next may ask any broker.
        on_kafka = [name_on_kafka(self._prefix, name) for name in names]

        async def known_to(broker: int) -> bool:
            answer = await self.client._send_request(MetadataRequest(on_kafka), broker)
            topics = answer.to_object()["topics"]
            return all(
                topic["error_code"] == 0 and all(p.leader >= 0 for p in _partitions(topic))
                for topic in topics
            )

        async def wait() -> None:
            for broker in await self.brokers():
                while not await known_to(broker):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        await self._bounded("waiting for the new topics", wait)

    async def _bounded(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        last: KafkaError | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return await call()
                    except KafkaError as error:  # of one broker: another may answer
                        if not error.retriable:
                            raise
                        last = error
                    await asyncio.sleep(_RETRY_SECONDS)
        except KafkaError as error:
            raise failure(what, error) from error
        except TimeoutError as error:
            raise failure(what, last or error) from (last or error)


def _partitions(topic: dict[str, Any]) -> tuple[Partition, ...]:
    ordered = sorted(topic["partitions"], key=lambda partition: int(partition["partition"]))
    return tuple(
        Partition(each["leader"], tuple(each["replicas"]), tuple(each["isr"])) for each in ordered
    )


def _differences(topic: Topic, options: TopicOptions, all_found: dict[str, Described]) -> list[str]:
    found = all_found.get(topic.name)
    if found is None:
        return [f"topic {topic.name} is missing"]
    lines = []
    if len(found.partitions) != topic.partitions:
        lines.append(f"partitions: expected {topic.partitions}, found {len(found.partitions)}")
    if found.replication < options.replication:
        lines.append(f"replication: expected {options.replication}, found {found.replication}")
    for name, value in topic_settings(topic, options).items():
        actual = found.settings.get(name)
        if actual is None or not _same(value, actual):
            lines.append(f"{name}: expected {value}, found {actual}")
    return [f"topic {topic.name}: {line}" for line in lines]


def _same(expected: str, actual: str) -> bool:
    try:
        return float(expected) == float(actual)
    except ValueError:
        return expected == actual


def _check(code: int, what: str, message: str | None = None) -> None:
    if code == 0:
        return
    error = for_code(code)()
    kind = KafkaRefused if is_refusal(error) or not error.retriable else KafkaUnreachable
    raise kind(f"{what} failed: {message or in_words(error)}")
