"""What the cluster lets us do with topics, asked before it is tried."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Literal

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from eventlog.kafka.admin import KafkaAdmin
from eventlog.kafka.errors import failure
from eventlog.kafka.names import name_on_kafka

Operation = Literal["Read", "Write", "Describe", "DescribeConfigs"]

# As in the protocol, where they number the bits of what is allowed.
_BITS: dict[Operation, int] = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
_UNAUTHORIZED = TopicAuthorizationFailedError.errno


async def missing_rights(
    admin: KafkaAdmin,
    needed: Mapping[str, Collection[Operation]],
    *,
    prefix: str,
    timeout: float = 10.0,
) -> list[str]:
    """What of ``needed``, by topic, is not allowed: words such as "Write on topic signals".

    Topics that do not exist are not spoken of. Raises ``KafkaRefused`` or ``KafkaUnreachable``.
    """
    names = {name_on_kafka(prefix, topic): topic for topic in needed}
    try:
        async with asyncio.timeout(timeout):
            answer = await admin.client._send_request(_Metadata(list(names)))
    except (KafkaError, TimeoutError) as error:
        raise failure("asking for rights", error) from error
    missing = []
    for code, name, _, _, allowed in answer.topics:
        if code not in (0, _UNAUTHORIZED):
            continue
        missing += [
            f"{operation} on topic {name}"
            for operation in needed[names[name]]
            if code == _UNAUTHORIZED or not allowed >> _BITS[operation] & 1
        ]
    return sorted(missing)


class _Answer(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[_Question]):  # type: ignore[misc]
    """Version 8. aiokafka's own is of one that does not tell what is allowed."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_Question]) -> Any:
        return request_struct_class(self._topics, False, False, True)
