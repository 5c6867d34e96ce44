"""What a log is to the rest of Freshet: topics of partitions of records, appended and tailed.

Code outside this package and the composition root knows only this file, never which log runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Entry(NamedTuple):
    """What a writer appends. ``value`` ``None`` is a tombstone; ``timestamp`` is in ms."""

    key: bytes | None
    value: bytes | None
    timestamp: int


class Record(NamedTuple):
    """What a reader gets. Offsets ascend within a partition; gaps are allowed."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Topic(msgspec.Struct, frozen=True):
    """A topic's declaration.

    ``compacted`` keeps at least the last record of every key; ``retention_ms`` drops records
    that are older (``None``: kept for good).
    """

    name: str
    partitions: int
    compacted: bool = False
    retention_ms: int | None = None
    max_record_bytes: int = 1 << 20


class TopicMismatch(Exception):
    """A topic exists with another number of partitions than was asked for."""


class LogUnavailable(Exception):
    """The log did not take what was appended to ``partitions``; the others were taken."""

    def __init__(self, partitions: Iterable[TopicPartition], reason: str) -> None:
        self.partitions = frozenset(partitions)
        names = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(self.partitions))
        super().__init__(f"the log did not take records for {names}: {reason}")


class RecordTooLarge(ValueError):
    """A record is over its topic's ``max_record_bytes``; nothing was appended."""


class Reader(Protocol):
    """Reads some partitions from given positions on, and waits for what is appended."""

    async def poll(self, max_records: int, timeout: float) -> dict[TopicPartition, list[Record]]:
        """The next records, at most ``max_records`` in all, shared fairly among partitions.

        Waits up to ``timeout`` seconds for the first; returns ``{}`` where none came.
        """
        ...

    def position(self, tp: TopicPartition) -> int:
        """The offset the next poll reads from: after the last record handed out."""
        ...

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read ``tp`` from ``offset`` on."""
        ...

    async def close(self) -> None:
        """Give up what the reader holds."""
        ...


RECORD_OVERHEAD = 32
"""Bytes that a record takes, at most, besides its key and its value."""


class EventLog(Protocol):
    """A partitioned, keyed, durable log."""

    @property
    def whole_bytes(self) -> int:
        """What is appended to a partition at once, if it has up to so many bytes, is there as a
        whole or not at all; more may be cut. A record has those of its key and its value, and
        ``RECORD_OVERHEAD``."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def create_topics(self, topics: Iterable[Topic]) -> None:
        """Create what is missing. Raises ``TopicMismatch`` where partitions differ."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions ``topic`` has. Raises ``KeyError`` for an unknown topic."""
        ...

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        """Append each batch in order; the offset of each partition's last record.

        Returns once everything is acknowledged. Raises ``RecordTooLarge`` (nothing appended) or
        ``LogUnavailable`` (naming the partitions whose batch was not appended).
        """
        ...

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The lowest offset that may still be read."""
        ...

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """One more than the last acknowledged offset."""
        ...

    def reader(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """A reader of these partitions, each from its position on."""
        ...
