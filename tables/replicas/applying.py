"""From changelog records to rows: in slices, highest offset first, rows before their watermark."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eventlog.protocol import Record
from personalization.codec import CodecError
from personalization.columns import Columns
from personalization.state.keys import shown_as, split
from personalization.state.rows import Watermark
from tables.replicas.stamps import Stamps
from tables.replicas.store import RowStore
from tables.replicas.watermarks import TablePartition, Watermarks
from tables.row_head import ROW_HEAD, VISITOR_HEAD
from tables.topics import (
    CATALOGUE_ROWS,
    ITEMS,
    ROWS,
    SEGMENTS,
    SELLERS,
    VISITORS,
    WATERMARK,
    WATERMARK_KEY,
)

# The catalogue first: its rows say to which seller and segments an item belongs.
COLUMNAR = (CATALOGUE_ROWS.name, ITEMS.name, SELLERS.name, SEGMENTS.name)

Records = Sequence[tuple[TablePartition, Record]]


class Applier:
    """Brings records into the store and, once ``columnar`` is set, into the columns.

    Of two rows with one key the one with the higher row offset stays; of equal ones the later.
    ``clock`` (seconds) bounds a slice. Of the partitions that are ``new`` the store holds nothing.
    """

    def __init__(
        self,
        store: RowStore,
        columns: Columns,
        stamps: Stamps,
        watermarks: Watermarks,
        clock: Callable[[], float],
        new: Iterable[TablePartition] = (),
    ) -> None:
        self.newest_event_at = store.newest_event_at()
        self.columnar = False
        self._store = store
        self._stamps = stamps
        self._watermarks = watermarks
        self._clock = clock
        # No row in the store that came from the partition has an offset over this.
        self._highest = dict.fromkeys(new, -1)
        self._counted: dict[str, Callable[[str, Any], bool]] = {
            ITEMS.name: columns.apply_item,
            SELLERS.name: columns.apply_seller,
            SEGMENTS.name: columns.apply_segment,
        }
        self._columns: dict[str, Callable[[str, Any], object]] = {
            **self._counted,
            CATALOGUE_ROWS.name: lambda key, row: columns.apply_catalogue(*split(key), row),
        }

    def apply(self, records: Records, start: int, seconds: float) -> int:
        """Apply ``records`` from index ``start`` on for about ``seconds``; the index to go on at.

        At least one is applied. What is applied becomes visible at once, on disk and in memory.
        Raises ``CodecError`` for what cannot be a row.
        """
        ends = self._clock() + seconds
        rows: dict[tuple[str, bytes], tuple[int, bytes | None]] = {}
        watermarks: dict[TablePartition, Watermark] = {}
        positions: dict[TablePartition, int] = {}
        highest: dict[TablePartition, int] = {}
        index = start
        while index < len(records):
            at, record = records[index]
            index += 1
            positions[at] = record.offset + 1
            if record.key is None:
                raise CodecError(f"a record without a key in the changelog of {at}")
            if record.key == WATERMARK_KEY:
                if record.value is not None:
                    watermark = WATERMARK.decode(record.value)
                    if watermark.offset >= self._known(watermarks, at):
                        watermarks[at] = watermark
            else:
                self._take(rows, highest, at, record.key, record.value)
            if self._clock() >= ends:
                break
        self._store.write(rows, watermarks, positions, self.newest_event_at)
        self._highest |= highest
        self._watermarks.publish(watermarks)
        return index

    def load(self, table: str, key: bytes, row: bytes) -> None:
        """Bring a row of the store into the columns."""
        self._columns[table](key.decode(), ROWS[table].decode(row))

    def _known(self, taken: dict[TablePartition, Watermark], at: TablePartition) -> int:
        return (taken.get(at) or self._watermarks.get(at)).offset

    def _take(
        self,
        rows: dict[tuple[str, bytes], tuple[int, bytes | None]],
        highest: dict[TablePartition, int],
        at: TablePartition,
        key: bytes,
        value: bytes | None,
    ) -> None:
        table = at.table
        if value is None:
            rows[table, key] = at.partition, None
            return
        if self.columnar and table in self._counted:
            # The columns know the offset of every row in the store: no need to read it.
            if self._counted[table](key.decode(), ROWS[table].decode(value)):
                rows[table, key] = at.partition, value
            return
        decoded: Any
        if table == VISITORS.name:
            decoded = VISITOR_HEAD.decode(value)
        elif self.columnar and table == CATALOGUE_ROWS.name:
            decoded = ROWS[table].decode(value)
        else:
            decoded = ROW_HEAD.decode(value)
        offset, over = decoded.offset, self._highest.get(at)
        held = rows.get((table, key))
        if held is None and (over is None or offset < over):
            held = self._store.get(table, key)
        if held is not None and held[1] is not None and ROW_HEAD.decode(held[1]).offset > offset:
            return
        if over is not None:
            highest[at] = max(highest.get(at, over), offset)
        rows[table, key] = at.partition, value
        if table == VISITORS.name:
            self.newest_event_at = max(self.newest_event_at, decoded.last_at)
        elif self.columnar and table == CATALOGUE_ROWS.name:
            text = key.decode()
            self._columns[table](text, decoded)
            if (name := shown_as(*split(text))) is not None:
                self._stamps.forget(name)
