"""Dropping what is superseded soon, together with what supersedes it."""

from collections.abc import Sequence
from itertools import islice

from eventlog.protocol import Record

MOST_KEYS = 8192


class Superseded:
    """Of a compacted partition: where the newest records are of the keys that were written last.

    Rows that change often change again soon. Dropped by the very write that makes them old, they
    are no work for a compaction, which reads all there is and, beside heavy traffic, takes the
    loop's last tenth. Only a saving: at most ``MOST_KEYS`` keys are known, at start none, and
    compaction finds the others.

    >>> superseded = Superseded()
    >>> superseded.written([Record(7, 0, b"a", b""), Record(8, 0, b"b", b"")])
    >>> superseded.by([Record(9, 0, b"b", b"")])
    {8}
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._offsets: dict[bytes, int] = {}

    def by(self, records: Sequence[Record]) -> set[int]:
        """The offsets of what nobody needs once ``records`` are written; nothing changes yet."""
        known = self._offsets
        return {known[key] for _, _, key, _ in records if key in known}

    def written(self, records: Sequence[Record]) -> None:
        """``records`` are written, and what they supersede is gone."""
        known = self._offsets
        newest = {key: offset for offset, _, key, _ in records if key is not None}
        for key in newest:
            if known.pop(key, None) is not None:
                self.dropped += 1
        known.update(newest)
        for key in list(islice(known, max(0, len(known) - MOST_KEYS))):
            del known[key]
