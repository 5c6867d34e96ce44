"""Opening the database under the embedded log."""

from collections.abc import Iterator
from pathlib import Path

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, Options, Rdict

_MEBIBYTE = 1 << 20
_ATTEMPTS = 5


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


def open_read_only(path: Path) -> Rdict:
    """The database in ``path`` as it is now, whether or not a process has it open to write.

    What is written later is not seen. Raises ``FileNotFoundError``.
    """
    if not (path / "CURRENT").exists():
        raise FileNotFoundError(f"{path} holds no log")
    access = AccessType.read_only(error_if_log_file_exist=False)
    attempts = 1
    while True:
        try:
            return Rdict(str(path), options=_options(), access_type=access)
        except Exception:
            # The writer may remove a file between its being listed and its being opened.
            if attempts == _ATTEMPTS:
                raise
            attempts += 1


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
