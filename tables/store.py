"""The tables of one process, on disk: one rocksdict database for all tables and partitions.

One database rather than one for each partition of each table, so that the rows, watermarks and
changelog offsets of a whole batch are one atomic write, and memory is bounded once.

A row's key is its table's number (u8), its partition (u16, big-endian) and its own key. There is
no write-ahead log of its own: the changelogs are one. A killed process, or a loss of power, costs
the newest writes (up to three write buffers), always the last ones together with their changelog
offsets, and recovery takes them from the changelogs.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from personalization.state.rows import Watermark
from tables.rows import KeptRows
from tables.topics import ROWS, TABLES, WATERMARK, WATERMARK_KEY

FORMAT_VERSION = 1

_KEPT = 8_192  # rows of each table, decoded: those that change most often

_MEBIBYTE = 1 << 20
_PREFIX = struct.Struct(">BH")
_NUMBERS = {table.name: number for number, table in enumerate(TABLES)}
_HEADER_KEY = b"\xffheader"
_OFFSET_PREFIX = b"\xfe"
_BEHIND_ROWS = b"\xfd"


class StoreMismatch(Exception):
    """The tables on disk were written for another spec, or another number of partitions."""


class StoreLocked(Exception):
    """Another process, or this one, has the tables' directory open."""


class PartitionWrite(NamedTuple):
    """What a batch changes in one partition of one table.

    ``rows`` are keys and encoded rows, the watermark row among them; ``None`` removes a row.
    ``changelog_offset`` is the offset of the last of them in the table's changelog. ``decoded``
    has the same rows by id, if whoever writes them has them, and gives them away with it.
    """

    table: str
    partition: int
    rows: Sequence[tuple[bytes, bytes | None]]
    changelog_offset: int
    decoded: Mapping[str, object] | None = None


class _Header(msgspec.Struct):
    version: int
    state_id: str
    partitions: int


class TableStore:
    """Opens ``path``, made if missing.

    Raises ``StoreMismatch`` where it holds tables of another ``state_id`` or number of
    ``partitions``, and ``StoreLocked`` where it is open elsewhere.
    """

    def __init__(self, path: Path, *, state_id: str, partitions: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.partitions = partitions
        self.state_id = state_id
        try:
            self._db = Rdict(str(path), options=_options())
        except Exception as error:  # rocksdict raises nothing narrower
            if "LOCK" in str(error):
                raise StoreLocked(
                    f"the tables in {path} are already open in a running process; stop it first"
                ) from error
            raise
        # For every write: none may survive what an earlier one does not.
        self._write_options = without_wal()
        self._db.set_write_options(self._write_options)
        self._watermarks: dict[tuple[str, int], tuple[bytes, Watermark]] = {}
        self._kept = KeptRows(_KEPT)
        try:
            self._check(path, _Header(FORMAT_VERSION, state_id, partitions))
        except StoreMismatch:
            self._db.close()
            raise

    def get(self, table: str, partition: int, key: bytes) -> bytes | None:
        """The encoded row, or ``None``."""
        row: bytes | None = self._db.get(_PREFIX.pack(_NUMBERS[table], partition) + key)
        return row

    def take(self, table: str, partition: int, id: str) -> object | None:
        """The decoded row, for the caller to change as it likes, or ``None``."""
        row = self._kept.take(table, partition, id)
        if row is None:
            stored = self.get(table, partition, id.encode())
            row = None if stored is None else ROWS[table].decode(stored)
        return row

    def watermark(self, table: str, partition: int) -> Watermark:
        """How far the partition has read its topic; a new one if nothing."""
        stored = self.get(table, partition, WATERMARK_KEY)
        if stored is None:
            return Watermark()
        known = self._watermarks.get((table, partition))
        if known is None or known[0] != stored:
            known = self._watermarks[table, partition] = stored, WATERMARK.decode(stored)
        return known[1]

    def persisted_offset(self, table: str, partition: int) -> int | None:
        """The offset in the changelog of the last record that is in the store."""
        stored = self._db.get(_OFFSET_PREFIX + _PREFIX.pack(_NUMBERS[table], partition))
        return None if stored is None else int.from_bytes(stored, "big")

    def iterate(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every row of a partition by ascending key, the watermark row left out."""
        prefix = _PREFIX.pack(_NUMBERS[table], partition)
        cursor = self._db.iter()
        cursor.seek(prefix)
        while cursor.valid() and (key := cursor.key()).startswith(prefix):
            if (row_key := key[len(prefix) :]) != WATERMARK_KEY:
                yield row_key, cursor.value()
            cursor.next()
        cursor.status()

    async def write(self, writes: Iterable[PartitionWrite]) -> None:
        """``write_now``, as a step of the write order that tests can interrupt."""
        self.write_now(writes)

    def write_now(self, writes: Iterable[PartitionWrite]) -> None:
        """Write all of it, or nothing. Takes about 3 µs for a row of 1 KiB."""
        batch = WriteBatch(raw_mode=True)
        writes = list(writes)
        for write in writes:
            prefix = _PREFIX.pack(_NUMBERS[write.table], write.partition)
            for key, row in write.rows:
                if row is None:
                    batch.delete(prefix + key)
                else:
                    batch.put(prefix + key, row)
            batch.put(_OFFSET_PREFIX + prefix, write.changelog_offset.to_bytes(8, "big"))
        self._write(batch)
        for write in writes:
            self._kept.wrote(write.table, write.partition, write.decoded)

    def set_persisted_offset(self, table: str, partition: int, offset: int) -> None:
        """Note that the store holds the changelog up to ``offset``."""
        prefix = _PREFIX.pack(_NUMBERS[table], partition)
        self._db.put(_OFFSET_PREFIX + prefix, offset.to_bytes(8, "big"))

    def passed(self, table: str, partition: int, offset: int) -> None:
        """The same, unless the store holds more already."""
        known = self.persisted_offset(table, partition)
        if known is None or offset > known:
            self.set_persisted_offset(table, partition, offset)

    def clear(self) -> None:
        """Remove every row, watermark and changelog offset of every table."""
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(b"\x00", _BEHIND_ROWS)
        batch.delete_range(_OFFSET_PREFIX, _HEADER_KEY)
        self._write(batch)
        self._kept.forget()

    def clear_partition(self, table: str, partition: int) -> None:
        """Remove every row, the watermark and the changelog offset of one partition."""
        number = _NUMBERS[table]
        prefix = _PREFIX.pack(number, partition)
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(prefix, _PREFIX.pack(number, partition + 1))
        batch.delete(_OFFSET_PREFIX + prefix)
        self._write(batch)
        self._kept.wrote(table, partition, None)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _write(self, batch: WriteBatch) -> None:
        self._db.write(batch, self._write_options)

    def _check(self, path: Path, wanted: _Header) -> None:
        stored = self._db.get(_HEADER_KEY)
        if stored is None:
            self._db.put(_HEADER_KEY, msgspec.msgpack.encode(wanted))
            return
        header = msgspec.msgpack.decode(stored, type=_Header)
        if header == wanted:
            return
        for name in ("version", "partitions", "state_id"):
            found, asked = getattr(header, name), getattr(wanted, name)
            if found != asked:
                raise StoreMismatch(
                    f"the tables in {path} have {name} {found}, not {asked}; "
                    "remove the directory to make them again from the log"
                )


def without_wal() -> WriteOptions:
    """For what is kept elsewhere: half the cost of a write."""
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign,assignment]  # wrong in its stubs
    return options


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(32 * _MEBIBYTE)
    options.set_max_write_buffer_number(3)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(4)
    tables = BlockBasedOptions()
    tables.set_block_cache(Cache(64 * _MEBIBYTE))
    tables.set_bloom_filter(10, False)
    options.set_block_based_table_factory(tables)
    return options
