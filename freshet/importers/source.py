"""What an importer makes of its input, and the names that its events get."""

import gzip
import io
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple, Protocol, cast

from personalization.wire import Line

_CHUNK = 1 << 20


class Read(NamedTuple):
    """What one line of the input means: events, or ``skipped``, the reason why there are none."""

    lines: list[Line]
    skipped: str | None = None


class Source(Protocol):
    """An input that can be read again and again, each time to the same events.

    ``digest`` names its content: 12 hex digits; ``size`` is about how many lines it has.
    Iterating gives one ``Read`` for every line. Events have an ``id`` made of the digest of their
    file and the number of their line, so that one that is sent again counts once.
    """

    @property
    def digest(self) -> str: ...

    @property
    def size(self) -> int: ...

    def __iter__(self) -> Iterator[Read]: ...


class SourceError(Exception):
    """An input that cannot be read at all: not there, or not of its format."""


class Content(NamedTuple):
    """``digest``: 12 hex digits of the content, unpacked; ``lines``: how many it has."""

    digest: str
    lines: int


def open_plain(path: Path) -> IO[bytes]:
    """The content of ``path``, unpacked if it is gzipped. Raises ``SourceError``."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def open_text(path: Path) -> IO[str]:
    """The same as text: UTF-8, with a mark for what is not, line ends as they are."""
    return io.TextIOWrapper(open_plain(path), "utf-8", errors="replace", newline="")


def content_of(*paths: Path) -> Content:
    """What is in ``paths``, one after another. Raises ``SourceError``."""
    digest, lines = blake2b(digest_size=6), 0
    for path in paths:
        with open_plain(path) as file:
            try:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    lines += chunk.count(b"\n")
            except (OSError, EOFError) as error:
                raise SourceError(f"{path} cannot be unpacked: {error}") from error
    return Content(digest.hexdigest(), lines)
