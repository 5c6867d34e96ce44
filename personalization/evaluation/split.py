"""Which part of a stream is tested, and which is learned from before."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

Phase = Literal["train", "test", "after"]
DAY = 86_400_000


class Split:
    """By time: from ``start`` up to ``end`` (ms, not included). Or by count: of each part of the
    stream the events after the first ``before[part]``; ``start`` is then when the first of these
    is expected."""

    def __init__(self, start: int, end: int, before: Mapping[str, int] | None = None) -> None:
        self.start = start
        self.end = end
        self._before = before
        self._seen: Counter[str] = Counter()

    def phase(self, at: int, part: str) -> Phase:
        """Where the next event that can be predicted falls; by count, each is asked about once."""
        if self._before is not None:
            self._seen[part] += 1
            return "test" if self._seen[part] > self._before.get(part, 0) else "train"
        if at < self.start:
            return "train"
        return "test" if at < self.end else "after"
