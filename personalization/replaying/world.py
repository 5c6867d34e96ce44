"""The whole state in memory, fed by one stream of events and asked between any two of them."""

from personalization.candidates.index import CatalogueIndex, build_index, empty_index
from personalization.codec import Codec
from personalization.columns import Columns
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, Stamp, StampedEvent
from personalization.folding import STATS_TABLES, StatsFold, StatsRow, VisitorsFold
from personalization.replaying.lagging import Lagging, apply_row
from personalization.replaying.reader import Reader
from personalization.replaying.visitor_rows import Rest, VisitorRows
from personalization.spec import Spec
from personalization.stamping import stamp_items
from personalization.state.catalogue import fold_catalogue
from personalization.state.errors import FoldError
from personalization.state.keys import catalogue_key, shown_as, subject_of
from personalization.state.rows import CatalogueRow, UserRow, VisitorRow, Watermark
from personalization.wire import Line, accept

_USERS = Codec(UserRow)
_PENDING = 512
_INDEX_MS = 60_000
_INDEX_EVENTS = 1_000


class World(Reader):
    """Everything that Freshet would know after a stream of events: the server's own folds.

    Events are folded in batches, when something is asked: nobody can see the difference. Memory
    holds items, sellers and segments, and the visitors seen last; ``rest`` keeps the encoded rows
    of all other visitors, by default in memory too. ``lagging`` is told what changes, if it is set.
    """

    def __init__(self, spec: Spec, rest: Rest | None = None) -> None:
        super().__init__(spec)
        self.rejected = 0
        self.lagging: Lagging | None = None
        self._plan = spec.plan
        self._columns = Columns(spec.plan)
        self._visitors = VisitorRows({} if rest is None else rest)
        self._stats: dict[str, dict[str, StatsRow]] = {table: {} for table in STATS_TABLES}
        self._catalogue: dict[str, CatalogueRow] = {}
        self._stamps: dict[str, Stamp] = {}
        self._duplicates = DuplicateWindow()
        self._events, self._watermark = 0, Watermark()
        self._signals, self._watermarks = 0, {table: Watermark() for table in STATS_TABLES}
        self._changes = 0
        self._pending: list[StampedEvent] = []
        self._index, self._index_at, self._index_events = empty_index(), -(1 << 62), 0

    def accept(self, line: Line, now: int) -> StampedEvent | CatalogueRecord:
        """The record that ``line``, received at ``now`` (ms), becomes in this catalogue.

        Raises ``Rejected``.
        """
        return accept(line, plan=self._plan, now=now, stamp=self.stamp)

    def fold(self, record: StampedEvent | CatalogueRecord) -> None:
        """Take ``record`` in. What no row can take is counted in ``rejected``."""
        if isinstance(record, CatalogueRecord):
            self._fold_catalogue(record)
            return
        self._pending.append(record)
        if len(self._pending) >= _PENDING:
            self.catch_up()

    def stamp(self, item: str) -> Stamp:
        """The item as an event would be stamped with it now."""
        stamp = self._stamps.get(item)
        if stamp is None:
            row = self._catalogue.get(catalogue_key(*subject_of(item)))
            stamp = self._stamps[item] = stamp_items([item], lambda _: row, self._plan)[0]
        return stamp

    def slot(self, item: str) -> int:
        """The item's slot in ``columns``; 0 if it was never heard of."""
        return self._columns.slot(item) or self.columns.slot(item)

    @property
    def columns(self) -> Columns:
        """Items, sellers, segments and the catalogue."""
        self.catch_up()
        return self._columns

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        """A visitor's encoded row: the world has one partition."""
        self.catch_up()
        row = self._visitors.encoded(id)
        return None if row is None else (0, row)

    def user(self, id: str) -> tuple[int, bytes] | None:
        """A user's encoded row."""
        self.catch_up()
        row = self._stats["users"].get(id)
        return (0, _USERS.encode(row)) if isinstance(row, UserRow) else None

    def index(self, now: int) -> CatalogueIndex:
        """The lists that sources draw from, made anew after a minute or 1,000 events."""
        self.catch_up()
        age = now - self._index_at
        if not 0 <= age < _INDEX_MS or self._events - self._index_events >= _INDEX_EVENTS:
            self._index = build_index(self._columns, now)
            self._index_at, self._index_events = now, self._events
        return self._index

    def _fold_catalogue(self, record: CatalogueRecord) -> None:
        key = catalogue_key(record.kind, record.id)
        try:
            row = fold_catalogue(self._catalogue.get(key), record, self._changes)
        except FoldError:
            self.rejected += 1
            return
        finally:
            self._changes += 1
        self._catalogue[key] = row
        self._stamps.pop(shown_as(record.kind, record.id) or "", None)
        self._columns.apply_catalogue(record.kind, record.id, row)
        if self.lagging is not None:
            self.lagging.columns.apply_catalogue(record.kind, record.id, row)

    def catch_up(self) -> None:
        """Fold what is pending."""
        if not self._pending:
            return
        events, self._pending = self._pending, []
        fold = VisitorsFold(
            self._plan, 0, self._watermark, self._visitor, self._duplicates, lambda _: 0
        )
        for event in events:
            try:
                fold.add(self._events, event)
            except FoldError:
                self.rejected += 1
            self._events += 1
        folded = fold.finish()
        self._watermark = folded.watermark
        self._visitors.keep(folded.rows)
        stats = StatsFold(self._plan, self._watermarks, self._row)
        for _, batch in folded.signals:
            stats.add(self._signals, batch)
            self._signals += 1
        told = stats.finish()
        self._watermarks = told.watermarks
        for table, rows in told.rows.items():
            self._stats[table].update(rows)
            for id, row in rows.items():
                apply_row(self._columns, id, row)
            if self.lagging is not None and table != "users":
                self.lagging.changed(table, rows)

    def _visitor(self, id: str) -> VisitorRow | None:
        if self.lagging is not None:
            self.lagging.visitor_changes(id)
        return self._visitors.get(id)

    def _row(self, table: str, id: str) -> StatsRow | None:
        if self.lagging is not None and table == "users":
            self.lagging.user_changes(id)
        return self._stats[table].get(id)
