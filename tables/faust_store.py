"""Faust's side of the store: ``App(store="freshet://")`` (entry point ``faust.stores``).

The composition root sets ``app.table_store``; every Faust table is a view of one of its tables.
Rows are written in batches by ``BatchWriter``, never through the Faust table, so this has what
Faust needs to assign, recover and hand over: offsets, and applying a changelog.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from faust.stores.base import SerializedStore
from faust.types import TP, EventT

from eventlog.protocol import Record
from tables.recovery import newest_rows
from tables.store import PartitionWrite, TableStore
from tables.topics import table_of

_IN_BATCHES = "rows are written in batches, by BatchWriter"
_AS_A_WHOLE = "tables are cleared and brought back in the store, as a whole"


class Store(SerializedStore[bytes, bytes]):
    """One table of ``app.table_store``, as Faust sees it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rows: TableStore = self.app.table_store  # type: ignore[attr-defined]
        self._table = table_of(self.table_name).name

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset up to which the store holds the partition."""
        return self._rows.persisted_offset(self._table, tp.partition)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Note it; never lower than what is noted."""
        self._rows.passed(self._table, tp.partition, offset)

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Callable[[Any], bytes],
        to_value: Callable[[Any], bytes],
    ) -> None:
        """Take over what another owner wrote: of each key the row with the highest offset."""
        by_partition: dict[int, list[Record]] = {}
        for event in batch:
            message = event.message
            record = Record(
                message.offset, int(message.timestamp * 1000), message.key, message.value
            )
            by_partition.setdefault(message.partition, []).append(record)
        for partition, records in by_partition.items():
            rows = newest_rows(self._rows, self._table, partition, records).rows
            self._rows.write_now(
                [PartitionWrite(self._table, partition, list(rows.items()), records[-1].offset)]
            )

    def _get(self, key: bytes) -> bytes | None:
        for partition in range(self._rows.partitions):
            row = self._rows.get(self._table, partition, key)
            if row is not None:
                return row
        return None

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        for partition in range(self._rows.partitions):
            yield from self._rows.iterate(self._table, partition)

    def _iterkeys(self) -> Iterator[bytes]:
        return (key for key, _ in self._iteritems())

    def _itervalues(self) -> Iterator[bytes | None]:
        return (row for _, row in self._iteritems())

    def _size(self) -> int:
        return sum(1 for _ in self._iteritems())

    def _set(self, key: bytes, value: bytes | None) -> NoReturn:
        raise NotImplementedError(_IN_BATCHES)

    def _del(self, key: bytes) -> NoReturn:
        raise NotImplementedError(_IN_BATCHES)

    def _clear(self) -> NoReturn:
        raise NotImplementedError(_AS_A_WHOLE)

    def reset_state(self) -> NoReturn:
        """Not of one table: the store is cleared as a whole."""
        raise NotImplementedError(_AS_A_WHOLE)

    async def backup_partition(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not needed: the changelog brings everything back."""
        raise NotImplementedError(_AS_A_WHOLE)

    def restore_backup(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not needed: the changelog brings everything back."""
        raise NotImplementedError(_AS_A_WHOLE)
