"""Lines of the wire format, one JSON object each, plain or gzipped."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from freshet.importers.source import Read, content_of, open_plain
from personalization.wire import Line

MAX_LINE_BYTES = 1 << 20

_DECODER = msgspec.json.Decoder(Line)


class Jsonl:
    """A file of events. An event keeps the id it has. Raises ``SourceError``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest, self.size = content_of(path)

    def __iter__(self) -> Iterator[Read]:
        with open_plain(self._path) as file:
            for number, text in enumerate(file, start=1):
                yield self._read(number, text)

    def _read(self, number: int, text: bytes) -> Read:
        if not text.strip():
            return Read([], "empty line")
        if len(text) > MAX_LINE_BYTES:
            return Read([], f"line over {MAX_LINE_BYTES} bytes")
        try:
            line = _DECODER.decode(text)
        except msgspec.ValidationError as error:
            return Read([], f"not an event: {error}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Read([], "not JSON")
        if line.id is None:
            line.id = f"{self.digest}:{number}"
        return Read([line])
