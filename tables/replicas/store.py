"""A replica's own copy of the rows on disk, with its reading positions.

A cache of the changelogs: whatever is wrong with it, it can be thrown away. So there is no
write-ahead log: a killed process loses the newest writes, positions with them, and reads them
again.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from personalization.state.rows import Watermark
from tables.replicas.watermarks import TablePartition
from tables.store import without_wal
from tables.topics import TABLES, WATERMARK

_MEBIBYTE = 1 << 20
_PARTITION = struct.Struct(">H")
_POSITION = b"\x00p"
_WATERMARK = b"\x00w"
_IDENTITY = b"\x00identity"
_NEWEST = b"\x00newest"
_ROW_PREFIXES = {table.name: bytes([number]) for number, table in enumerate(TABLES, start=1)}
_TABLE_NAMES = {prefix[0]: table for table, prefix in _ROW_PREFIXES.items()}

StoredRow = tuple[int, bytes]


class RowStore:
    """Raw rows of every table by key, each with the partition it came from.

    ``identity`` says whose rows these are; rows found under another are dropped.
    """

    def __init__(self, path: Path, identity: bytes) -> None:
        self._path = path
        self._identity = identity
        self._write_options = without_wal()
        self._db = self._open()
        if self._db.get(_IDENTITY) != identity:
            self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._db.close()
        Rdict.destroy(str(self._path), options=_options())
        self._db = self._open()
        self._db.put(_IDENTITY, self._identity)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def get(self, table: str, key: bytes) -> StoredRow | None:
        """Partition and encoded row."""
        stored = self._db.get(_ROW_PREFIXES[table] + key)
        return None if stored is None else _unpack(stored)

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Every key of ``table`` with its encoded row."""
        for key, stored in _scan(self._db, _ROW_PREFIXES[table]):
            yield key, stored[_PARTITION.size :]

    def size(self) -> int:
        """About how many rows there are."""
        return self._db.property_int_value("rocksdb.estimate-num-keys") or 0

    def positions(self) -> dict[TablePartition, int]:
        """The changelog offset to go on from, where one was kept."""
        return {
            _table_partition(key): int.from_bytes(value, "big")
            for key, value in _scan(self._db, _POSITION)
        }

    def watermarks(self) -> dict[TablePartition, Watermark]:
        """The watermarks as applied."""
        return {
            _table_partition(key): WATERMARK.decode(value)
            for key, value in _scan(self._db, _WATERMARK)
        }

    def newest_event_at(self) -> int:
        """As last written; 0 before."""
        return int.from_bytes(self._db.get(_NEWEST) or b"", "big")

    def write(
        self,
        rows: Mapping[tuple[str, bytes], tuple[int, bytes | None]],
        watermarks: Mapping[TablePartition, Watermark],
        positions: Mapping[TablePartition, int],
        newest_event_at: int,
    ) -> None:
        """All of it at once or nothing. A row that is ``None`` is removed."""
        batch = WriteBatch(raw_mode=True)
        for (table, key), (partition, row) in rows.items():
            if row is None:
                batch.delete(_ROW_PREFIXES[table] + key)
            else:
                batch.put(_ROW_PREFIXES[table] + key, _PARTITION.pack(partition) + row)
        for at, watermark in watermarks.items():
            batch.put(_WATERMARK + _packed(at), WATERMARK.encode(watermark))
        for at, position in positions.items():
            batch.put(_POSITION + _packed(at), position.to_bytes(8, "big"))
        batch.put(_NEWEST, newest_event_at.to_bytes(8, "big"))
        self._db.write(batch, self._write_options)

    def _open(self) -> Rdict:
        self._path.mkdir(parents=True, exist_ok=True)
        db = Rdict(str(self._path), options=_options())
        db.set_write_options(self._write_options)
        return db


def identity(app_id: str, state_id: str, partitions: int) -> bytes:
    """What a store's rows belong to: a deployment, a state layout, a number of partitions."""
    return msgspec.msgpack.encode([app_id, state_id, partitions])


def _unpack(stored: bytes) -> StoredRow:
    return _PARTITION.unpack_from(stored)[0], stored[_PARTITION.size :]


def _packed(at: TablePartition) -> bytes:
    return _ROW_PREFIXES[at.table] + _PARTITION.pack(at.partition)


def _table_partition(key: bytes) -> TablePartition:
    return TablePartition(_TABLE_NAMES[key[0]], _PARTITION.unpack_from(key, 1)[0])


def _scan(db: Rdict, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = db.iter()
    cursor.seek(prefix)
    while cursor.valid() and (key := cursor.key()).startswith(prefix):
        yield key[len(prefix) :], cursor.value()
        cursor.next()
    cursor.status()


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(32 * _MEBIBYTE)
    options.set_max_write_buffer_number(3)
    options.set_keep_log_file_num(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(128 * _MEBIBYTE))
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
