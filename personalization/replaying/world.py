"""The whole state in memory, fed by one stream of events and asked between any two of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from personalization.candidates.find import find_candidates
from personalization.candidates.index import CatalogueIndex, build_index, empty_index
from personalization.candidates.source import Inputs
from personalization.codec import Codec
from personalization.columns import Columns, view_of
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, Stamp, StampedEvent
from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, F64, Moment, View
from personalization.folding import STATS_TABLES, StatsFold, StatsRow, VisitorsFold
from personalization.ranking.hydrate import hydrate
from personalization.replaying.visitor_rows import Rest, VisitorRows
from personalization.spec import Spec
from personalization.stamping import stamp_items
from personalization.state.catalogue import fold_catalogue
from personalization.state.errors import FoldError
from personalization.state.keys import catalogue_key, shown_as, subject_of
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
    Watermark,
)
from personalization.wire import Line, accept

_USERS = Codec(UserRow)
_PENDING = 512
_INDEX_MS = 60_000
_INDEX_EVENTS = 1_000


class Found(NamedTuple):
    """Candidates' ids, and for each the sources that found it."""

    ids: list[str]
    sources: list[list[str]]


class World:
    """Everything that Freshet would know after a stream of events: the server's own folds.

    Events are folded in batches, when something is asked: nobody can see the difference. Memory
    holds items, sellers and segments, and the visitors seen last; ``rest`` keeps the encoded rows
    of all other visitors, by default in memory too.
    """

    def __init__(self, spec: Spec, rest: Rest | None = None) -> None:
        self.spec = spec
        self.rejected = 0
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
            self._catch_up()

    def stamp(self, item: str) -> Stamp:
        """The item as an event would be stamped with it now."""
        stamp = self._stamps.get(item)
        if stamp is None:
            row = self._catalogue.get(catalogue_key(*subject_of(item)))
            stamp = self._stamps[item] = stamp_items([item], lambda _: row, self._plan)[0]
        return stamp

    def slot(self, item: str) -> int:
        """The item's slot in ``columns``; 0 if it was never heard of."""
        (slot,) = self._columns.slots([item]).tolist()
        if slot == 0 and self._pending:
            (slot,) = self.columns.slots([item]).tolist()
        return int(slot)

    @property
    def columns(self) -> Columns:
        """Items, sellers, segments and the catalogue."""
        self._catch_up()
        return self._columns

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        """A visitor's encoded row: the world has one partition."""
        self._catch_up()
        row = self._visitors.encoded(id)
        return None if row is None else (0, row)

    def user(self, id: str) -> tuple[int, bytes] | None:
        """A user's encoded row."""
        self._catch_up()
        row = self._stats["users"].get(id)
        return (0, _USERS.encode(row)) if isinstance(row, UserRow) else None

    def who(self, visitor: str | None, user: str | None = None) -> VisitorRow | None:
        """The row of ``visitor`` merged with those linked to it; ``None`` if never seen."""
        return hydrate(visitor, user, self, self._plan).visitor

    def index(self, now: int) -> CatalogueIndex:
        """The lists that sources draw from, made anew after a minute or 1,000 events."""
        self._catch_up()
        age = now - self._index_at
        if not 0 <= age < _INDEX_MS or self._events - self._index_events >= _INDEX_EVENTS:
            self._index = build_index(self._columns, now)
            self._index_at, self._index_events = now, self._events
        return self._index

    def candidates(
        self, visitor: VisitorRow | None, now: int, wanted: Sequence[tuple[str, int]]
    ) -> Found:
        """What the sources, each with how many it may bring, find for ``visitor`` at ``now``."""
        inputs = Inputs(self.columns, self.index(now), visitor, now)
        return Found(*find_candidates(wanted, inputs))

    def view(
        self,
        visitor: VisitorRow | None,
        ids: Sequence[str],
        moment: Moment,
        caller: Mapping[str, F64] | None = None,
    ) -> View:
        """What features read to rank ``ids`` for ``visitor``, a merged row, at ``moment``."""
        return view_of(self.columns, moment, ids, visitor, caller)

    def matrix(
        self,
        visitor: VisitorRow | None,
        ids: Sequence[str],
        moment: Moment,
        caller: Mapping[str, F64] | None = None,
    ) -> F32:
        """The features of ``ids``, float32[n, columns], as a server would compute them."""
        return feature_matrix(self.spec, self.view(visitor, ids, moment, caller))

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

    def _catch_up(self) -> None:
        if not self._pending:
            return
        events, self._pending = self._pending, []
        fold = VisitorsFold(
            self._plan, 0, self._watermark, self._visitors.get, self._duplicates, lambda _: 0
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
        stats = StatsFold(
            self._plan, self._watermarks, lambda table, id: self._stats[table].get(id)
        )
        for _, batch in folded.signals:
            stats.add(self._signals, batch)
            self._signals += 1
        told = stats.finish()
        self._watermarks = told.watermarks
        for table, rows in told.rows.items():
            self._stats[table].update(rows)
            for id, row in rows.items():
                self._apply(id, row)

    def _apply(self, id: str, row: StatsRow) -> None:
        if isinstance(row, ItemRow):
            self._columns.apply_item(id, row)
        elif isinstance(row, SellerRow):
            self._columns.apply_seller(id, row)
        elif isinstance(row, SegmentRow):
            self._columns.apply_segment(id, row)
