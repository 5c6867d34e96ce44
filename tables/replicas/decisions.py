"""Where in the log each decision is."""

import logging
import struct
from pathlib import Path

from rocksdict import Options, Rdict, WriteBatch

from eventlog.protocol import EventLog, LogUnavailable, Reader, TopicPartition
from tables.topics import DECISIONS

_logger = logging.getLogger(__name__)

_PLACE = struct.Struct(">HQ")
_ID = b"d"
_AFTER_IDS = b"e"
_POSITION = b"p"
_POLL_RECORDS = 32
_POLL_SECONDS = 1.0
_READ_SECONDS = 1.0
_DROP_EVERY = 1024


class DecisionIndex:
    """Partition and offset of every decision by id, kept by tailing ``decisions``.

    The ids of those that retention has dropped go too, some whenever others came: ids ascend with
    time. Raises what the database raises if ``path`` is open elsewhere.
    """

    def __init__(self, log: EventLog, path: Path) -> None:
        self._log = log
        self._path = path
        self._db = _open(path)
        self._partitions = [
            TopicPartition(DECISIONS, number) for number in range(log.partitions(DECISIONS))
        ]

    async def reader(self) -> Reader:
        """What ``tail`` reads: from where the index ends, or from the front of another log."""
        ends = await self._log.end_offsets(self._partitions)
        if any(self._position(tp) > end for tp, end in ends.items()):
            self._clear()
        starts = await self._log.start_offsets(self._partitions)
        return self._log.reader(
            {tp: max(start, self._position(tp)) for tp, start in starts.items()}
        )

    async def tail(self, reader: Reader) -> None:
        """Keep the index up to date until cancelled; closes ``reader`` then."""
        since_drop = 0
        try:
            while True:
                batch = WriteBatch(raw_mode=True)
                for tp, records in (await reader.poll(_POLL_RECORDS, _POLL_SECONDS)).items():
                    for record in records:
                        if record.key is not None:
                            batch.put(_ID + record.key, _PLACE.pack(tp.partition, record.offset))
                    batch.put(_position_key(tp), (records[-1].offset + 1).to_bytes(8, "big"))
                    since_drop += len(records)
                if not batch.is_empty():
                    self._db.write(batch)
                if since_drop >= _DROP_EVERY:
                    since_drop = 0
                    await self._drop_expired()
        finally:
            await reader.close()

    async def decision(self, id: str) -> bytes | None:
        """The record of decision ``id``; ``None`` where it is unknown or no longer kept."""
        stored = self._db.get(_ID + id.encode())
        if stored is None:
            return None
        partition, offset = _PLACE.unpack(stored)
        tp = TopicPartition(DECISIONS, partition)
        if offset < (await self._log.start_offsets([tp]))[tp]:
            return None
        reader = self._log.reader({tp: offset})
        try:
            records = (await reader.poll(1, _READ_SECONDS)).get(tp)
        finally:
            await reader.close()
        if not records or records[0].key != id.encode():
            return None
        return records[0].value

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    async def _drop_expired(self) -> None:
        """Drop ids from the oldest on, up to the first that is kept, a bounded number at once."""
        try:
            starts = await self._log.start_offsets(self._partitions)
        except LogUnavailable as error:
            _logger.warning("expired decisions stay in the index for now: %s", error)
            return
        batch = WriteBatch(raw_mode=True)
        cursor = self._db.iter()
        cursor.seek(_ID)
        for _ in range(2 * _DROP_EVERY):
            if not cursor.valid() or (key := cursor.key()) >= _AFTER_IDS:
                break
            partition, offset = _PLACE.unpack(cursor.value())
            if offset >= starts[TopicPartition(DECISIONS, partition)]:
                break
            batch.delete(key)
            cursor.next()
        cursor.status()
        if not batch.is_empty():
            self._db.write(batch)

    def _position(self, tp: TopicPartition) -> int:
        return int.from_bytes(self._db.get(_position_key(tp)) or b"", "big")

    def _clear(self) -> None:
        self._db.close()
        Rdict.destroy(str(self._path), options=Options(raw_mode=True))
        self._db = _open(self._path)


def _position_key(tp: TopicPartition) -> bytes:
    return _POSITION + tp.partition.to_bytes(2, "big")


def _open(path: Path) -> Rdict:
    path.mkdir(parents=True, exist_ok=True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(4 << 20)
    options.set_keep_log_file_num(2)
    return Rdict(str(path), options=options)
