"""Opening the database under the embedded log."""

from collections.abc import Iterator
from pathlib import Path

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict

_MEBIBYTE = 1 << 20


class LogLocked(Exception):
    """Another process, or this one, has the log's directory open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the log in {path} is already open in a running process; stop it first")


def open_store(path: Path) -> Rdict:
    """The database in ``path``, created if missing. Raises ``LogLocked``."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(path), options=_options())
    except Exception as error:
        # rocksdict raises plain ``Exception`` with RocksDB's sentence for everything.
        if "lock" in str(error).lower() and "LOCK" in str(error):
            raise LogLocked(path) from error
        raise


def scan(db: Rdict, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every key that starts with ``prefix``, without it, and its value, in order."""
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
    options.set_compression_type(DBCompressionType.lz4())
    options.set_wal_bytes_per_sync(_MEBIBYTE)
    options.set_keep_log_file_num(4)
    tables = BlockBasedOptions()
    tables.set_block_cache(Cache(64 * _MEBIBYTE))
    tables.set_block_size(16 * 1024)
    options.set_block_based_table_factory(tables)
    return options
