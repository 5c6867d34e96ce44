"""Rights on a cluster, as docs/operating-on-kafka.md lists them, granted and taken away."""

import asyncio
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operating-on-kafka.md"

_HEADING = "### Least rights"
_WORDS = {"topic": (2, 3), "topics that begin with": (2, 4), "group": (3, 3)}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_ANY, _ALLOW = 1, 3
_SOON = 10.0


class Right(NamedTuple):
    """That ``who`` may do ``operation`` on a topic, topics by how they begin, or a group."""

    who: str
    kind: str
    name: str
    operation: str


def documented() -> list[Right]:
    """Every right in the table."""
    rights = []
    section = DOCUMENT.read_text().partition(_HEADING)[2].partition("\n#")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `freshet"):
            who, kind, names, operations, _ = cells
            rights += [
                Right(who.strip("`"), kind, name, operation)
                for name in re.findall(r"`([^`]+)`", names)
                for operation in operations.split(", ")
            ]
    return rights


class Rights:
    """Grants on the cluster at ``servers``, where all is allowed, of names under ``prefix``.

    At the end they are taken back.
    """

    def __init__(self, servers: str, prefix: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        self._prefix = prefix
        self._users: set[str] = set()

    async def __aenter__(self) -> "Rights":
        await self._admin.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for user in tuple(self._users):
            await self.set(user, [])
        await self._admin.close()

    async def set(self, user: str, rights: Collection[Right]) -> None:
        """``user`` has these ``rights`` and no others; returns once the broker goes by them."""
        self._users.add(user)
        who = f"User:{user}"
        answer = await self._admin._send_request(
            DeleteAclsRequest(_ANY, None, _ANY, who, None, _ANY, _ANY)
        )
        assert all(code == 0 for code, *_ in answer.filter_responses), answer
        for right in rights:
            kind, pattern = _WORDS[right.kind]
            operation = _OPERATIONS[right.operation]
            name = self._prefix + right.name
            answer = await self._admin._send_request(
                CreateAclsRequest(kind, name, pattern, who, "*", operation, _ALLOW)
            )
            assert all(code == 0 for code, _ in answer.creation_responses), answer
        async with asyncio.timeout(_SOON):
            while await self._count(who) != len(rights):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _count(self, who: str) -> int:
        answer = await self._admin._send_request(
            DescribeAclsRequest(_ANY, None, _ANY, who, None, _ANY, _ANY)
        )
        assert answer.error_code == 0, answer
        return sum(len(acls) for *_, acls in answer.resources)
