"""Who is in a consumer group."""

import asyncio
from typing import NamedTuple

from aiokafka.errors import KafkaError

from eventlog.kafka.admin import KafkaAdmin
from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, in_words, is_refusal


class Member(NamedTuple):
    """A member of a group, as the broker knows it."""

    client_id: str
    host: str


async def members(admin: KafkaAdmin, group: str, timeout: float = 10.0) -> list[Member]:
    """The members of ``group``; none where there is no such group.

    Raises ``KafkaRefused`` or ``KafkaUnreachable``.
    """
    try:
        async with asyncio.timeout(timeout):
            answers = await admin.client.describe_consumer_groups([group])
    except (KafkaError, TimeoutError) as error:
        kind = KafkaRefused if is_refusal(error) else KafkaUnreachable
        raise kind(f"asking for the group {group} failed: {in_words(error)}") from error
    return [
        Member(client_id, host.lstrip("/"))
        for answer in answers
        for *_, found in answer.groups
        for _, client_id, host, *_ in found
    ]
