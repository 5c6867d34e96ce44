"""Rows kept decoded: those that are folded again and again are neither read nor decoded anew."""

from collections.abc import Mapping
from itertools import islice


class KeptRows:
    """Of each table the rows written last, up to ``most``, or more where partitions keep few each.

    A fold changes rows in place, so a row is given away when it is taken, and kept again when it
    is written. What is never written, as after a failure, is never seen again.

    >>> kept = KeptRows(most=1)
    >>> kept.wrote("items", 0, {"i1": [1], "i2": [2]})
    >>> kept.take("items", 0, "i1"), kept.take("items", 0, "i2"), kept.take("items", 0, "i2")
    (None, [2], None)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tables: dict[str, dict[int, dict[str, object]]] = {}

    def take(self, table: str, partition: int, id: str) -> object | None:
        """The row, if it is kept, for the caller to change."""
        kept = self._of(table, partition)
        return kept.pop(id, None)

    def wrote(self, table: str, partition: int, rows: Mapping[str, object] | None) -> None:
        """Keep ``rows``, by id: all that was just written to the partition. ``None``: who knows."""
        kept = self._of(table, partition)
        if rows is None:
            kept.clear()
            return
        kept.update(rows)
        over = sum(map(len, self._tables[table].values())) - self._most
        for id in list(islice(kept, max(0, over))):
            del kept[id]

    def forget(self) -> None:
        """Keep nothing."""
        self._tables.clear()

    def _of(self, table: str, partition: int) -> dict[str, object]:
        partitions = self._tables.setdefault(table, {})
        kept = partitions.get(partition)
        if kept is None:
            kept = partitions[partition] = {}
        return kept
