"""The topics of the embedded log: what is declared, kept in the same database."""

from collections.abc import Iterable

import msgspec
from rocksdict import Rdict, WriteBatch

from eventlog.embedded.layout import (
    FORMAT_VERSION,
    HEADER_KEY,
    LAST_TOPIC_ID,
    PARTITION_PREFIX,
    TOPIC_PREFIX,
    Header,
    StoredTopic,
    partition_prefix,
    topic_range,
)
from eventlog.embedded.store import scan
from eventlog.protocol import Topic, TopicMismatch


class Topics:
    """Topics by name, with the ids their records are kept under."""

    def __init__(self, db: Rdict) -> None:
        self._db = db
        self._header = self._read_header()
        self._stored: dict[str, StoredTopic] = {}
        for _, value in scan(db, TOPIC_PREFIX):
            stored = msgspec.msgpack.decode(value, type=StoredTopic)
            self._stored[stored.topic.name] = stored

    def all(self) -> list[StoredTopic]:
        """Every topic."""
        return list(self._stored.values())

    def get(self, name: str) -> StoredTopic:
        """The topic called ``name``. Raises ``KeyError``."""
        return self._stored[name]

    def declare(self, topics: Iterable[Topic]) -> list[StoredTopic]:
        """Create what is missing and take over changed settings; what was created or changed.

        Raises ``TopicMismatch``, with nothing changed, where partitions differ.
        """
        changed = []
        next_id = self._header.next_topic_id
        for topic in topics:
            known = self._stored.get(topic.name)
            if known is None:
                if next_id > LAST_TOPIC_ID:
                    raise ValueError(f"no topic id is left for {topic.name}")
                changed.append(StoredTopic(next_id, topic))
                next_id += 1
            elif known.topic.partitions != topic.partitions:
                raise TopicMismatch(
                    f"topic {topic.name} has {known.topic.partitions} partitions, "
                    f"not {topic.partitions}; partitions are fixed at creation"
                )
            elif known.topic != topic:
                changed.append(StoredTopic(known.id, topic))
        if changed:
            self._write(changed, Header(next_topic_id=next_id))
        return changed

    def delete(self, name: str) -> None:
        """Forget a topic and drop its records. Raises ``KeyError``."""
        stored = self._stored[name]
        batch = WriteBatch(raw_mode=True)
        batch.delete(TOPIC_PREFIX + name.encode())
        for partition in range(stored.topic.partitions):
            batch.delete(PARTITION_PREFIX + partition_prefix(stored.id, partition))
        batch.delete_range(*topic_range(stored.id))
        self._db.write(batch)
        del self._stored[name]

    def _write(self, changed: Iterable[StoredTopic], header: Header) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(HEADER_KEY, msgspec.msgpack.encode(header))
        for stored in changed:
            batch.put(TOPIC_PREFIX + stored.topic.name.encode(), msgspec.msgpack.encode(stored))
        self._db.write(batch)
        self._header = header
        self._stored.update((stored.topic.name, stored) for stored in changed)

    def _read_header(self) -> Header:
        stored = self._db.get(HEADER_KEY)
        header = msgspec.msgpack.decode(stored, type=Header) if stored else Header()
        if header.version != FORMAT_VERSION:
            raise ValueError(
                f"the log has format {header.version}; this Freshet reads {FORMAT_VERSION}"
            )
        return header
