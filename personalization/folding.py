"""Folding whole batches: what the live agents, bulk folding and the audit all run.

A fold takes the records of one partition in the order of their offsets, skips what it has already
seen, and ends with the rows that changed and the partition's new watermark. Where the stream is
cut into batches makes no difference to either, nor to the signals.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

from msgspec import structs

from personalization.duplicates import DuplicateWindow
from personalization.events import (
    SERVED,
    CatalogueRecord,
    Signal,
    SignalBatch,
    StampedEvent,
)
from personalization.plan import StatePlan
from personalization.signals import signals_of
from personalization.state import opinions, sessions
from personalization.state.catalogue import fold_catalogue
from personalization.state.counters import Counted, count, increment
from personalization.state.errors import FoldError
from personalization.state.item import add_previous, new_item
from personalization.state.keys import ITEM, SEGMENT, SELLER, USER, catalogue_key, split
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
    Watermark,
)
from personalization.state.segment import new_segment
from personalization.state.seller import new_seller
from personalization.state.user import fold_user
from personalization.state.visitor import fold_visitor

StatsRow = ItemRow | SellerRow | SegmentRow | UserRow

# Telling this many entities takes about a millisecond; no record of signals holds many more.
_TOLD_PER_BATCH = 128

_STATS = {USER: "users", ITEM: "items", SELLER: "sellers", SEGMENT: "segments"}
_NEW: dict[str, Callable[[int, int, StatePlan], ItemRow | SellerRow | SegmentRow]] = {
    ITEM: new_item,
    SELLER: new_seller,
    SEGMENT: new_segment,
}
STATS_TABLES = tuple(_STATS.values())


_ByItem = dict[str, tuple[str, ...]]


class SignalGap(Exception):
    """Signals are missing between what a partition has taken and the record that came next."""


class FoldedVisitors(NamedTuple):
    """``rows`` that changed, by visitor; ``signals`` to send, each with its target partition."""

    rows: dict[str, VisitorRow]
    watermark: Watermark
    signals: list[tuple[int, SignalBatch]]


class FoldedStats(NamedTuple):
    """``rows`` that changed, by table and id; the watermark of each table."""

    rows: dict[str, dict[str, StatsRow]]
    watermarks: dict[str, Watermark]


class FoldedCatalogue(NamedTuple):
    """``rows`` that changed, by catalogue key."""

    rows: dict[str, CatalogueRow]
    watermark: Watermark


class VisitorsFold:
    """Folds one partition (``source``) of visitor-events.

    ``read`` gives a visitor's row, which the fold consumes; ``partition_of`` the partition of
    signals that a signal's key belongs to. ``duplicates`` knows the partition's preceding events.
    """

    def __init__(
        self,
        plan: StatePlan,
        source: int,
        watermark: Watermark,
        read: Callable[[str], VisitorRow | None],
        duplicates: DuplicateWindow,
        partition_of: Callable[[str], int],
    ) -> None:
        self._plan = plan
        self._source = source
        self._offset = watermark.offset
        self._chain = dict(watermark.chain)
        self._read = read
        self._duplicates = duplicates
        self._partition_of = partition_of
        self._rows: dict[str, VisitorRow] = {}
        self._signals: dict[int, list[Signal]] = {}

    def add(self, offset: int, event: StampedEvent) -> None:
        """Fold the record at ``offset``. A repeated event id changes nothing.

        Raises ``FoldError`` for an event no row can take: nothing of it was applied, and the fold
        has passed it. After any other exception the fold is of no more use.
        """
        repeated = False
        if offset > min(self._offset, self._duplicates.end):
            repeated = self._duplicates.seen(event.id, offset)
        if offset <= self._offset:
            return
        # What was served changes no row: rewriting one for it would cost as much as a click.
        if not repeated and event.type != SERVED:
            try:
                self._fold(offset, event)
            except FoldError:
                self._offset = offset
                raise
        self._offset = offset

    def skip(self, offset: int, record: object = None) -> None:
        """Pass the record at ``offset`` without folding it."""
        self._duplicates.seen(None, offset)
        self._offset = max(self._offset, offset)

    def finish(self) -> FoldedVisitors:
        """What came of it; the fold is used up."""
        signals = [
            (target, batch)
            for target in sorted(self._signals)
            for batch in self._batches(target, self._unsent(target))
        ]
        chain = dict(sorted(self._chain.items()))
        return FoldedVisitors(self._rows, Watermark(self._offset, chain=chain), signals)

    def _fold(self, offset: int, event: StampedEvent) -> None:
        visitor = event.visitor
        row = self._rows.get(visitor)
        if row is None:
            row = self._read(visitor)
        if row is not None and offset <= row.offset:
            return
        signals = signals_of(row, event, offset, self._plan)
        self._rows[visitor] = fold_visitor(row, event, offset, self._plan)
        for signal in signals:
            self._send(signal)

    def _send(self, signal: Signal) -> None:
        """To each partition what concerns its keys."""
        partition_of = self._partition_of
        targets: dict[int, dict[str, int]] = {}
        for key, many in signal.counts.items():
            target = partition_of(key)
            counts = targets.get(target)
            if counts is None:
                targets[target] = {key: many}
            else:
                counts[key] = many
        offset, kind, at, _, value, previous, visitor, thought, session = structs.astuple(signal)
        for target, counts in targets.items():
            led, held = _of_keys(previous, counts), _of_keys(thought, counts)
            part = Signal(offset, kind, at, counts, value, led, visitor, held, session)
            self._signals.setdefault(target, []).append(part)

    def _unsent(self, target: int) -> list[Signal]:
        """A watermark whose rows did not all follow it knows of signals that are folded again."""
        sent = self._chain.get(target, -1)
        return [signal for signal in self._signals[target] if signal.offset > sent]

    def _batches(self, target: int, signals: list[Signal]) -> list[SignalBatch]:
        """Cut between events only: a target skips signals by the offset of their event."""
        batches = []
        start = told = 0
        for end in range(1, len(signals) + 1):
            told += len(signals[end - 1].counts)
            if end < len(signals) and (
                told < _TOLD_PER_BATCH or signals[end].offset == signals[end - 1].offset
            ):
                continue
            previous, last = self._chain.get(target, -1), signals[end - 1].offset
            batches.append(SignalBatch(self._source, previous, last, signals[start:end]))
            self._chain[target] = last
            start, told = end, 0
        return batches


def _of_keys(told: _ByItem, keys: Iterable[str]) -> _ByItem:
    return {key: told[key] for key in keys if key in told} if told else told


class StatsFold:
    """Folds one partition of signals into users, items, sellers and segments.

    ``read`` gives the row of (table, id), which the fold consumes; ``watermarks`` has one for
    every table, and each table skips by its own. The rows are those that ``fold_item``,
    ``fold_seller``, ``fold_segment`` and ``fold_user`` give key by key.
    """

    def __init__(
        self,
        plan: StatePlan,
        watermarks: dict[str, Watermark],
        read: Callable[[str, str], StatsRow | None],
    ) -> None:
        self._plan = plan
        self._read = read
        self._offsets = {table: watermarks[table].offset for table in STATS_TABLES}
        self._sources = {table: dict(watermarks[table].sources) for table in STATS_TABLES}
        self._rows: dict[str, dict[str, StatsRow]] = {table: {} for table in STATS_TABLES}
        self._ahead: dict[str, int] = {}
        self._counted: dict[str, Counted] = {}  # all but users, by the keys of signals

    def add(self, offset: int, batch: SignalBatch) -> None:
        """Fold the record at ``offset``.

        Raises ``SignalGap`` where signals before it are missing, and ``FoldError`` where entries
        could not be folded: all others were, and the fold has passed the record. After any other
        exception the fold is of no more use.
        """
        taken = self._taken(offset, batch)
        known = max(taken.values())
        counted, ahead, plan = self._counted, self._ahead, self._plan
        event_index = plan.event_index
        rejected: list[str] = []
        for number, signal in enumerate(batch.entries):
            event = event_index.get(signal.type)
            more = None if event is None else increment(event, signal.at, plan)
            previous, thought = signal.previous, signal.opinions
            session = signal.session if plan.sessions else 0
            partly = signal.offset <= known
            for key, many in signal.counts.items():
                row = counted.get(key)
                if row is None or partly:
                    kind, id = split(key)
                    if kind not in _STATS:
                        rejected.append(f"entry {number}: unknown key {key!r}")
                        continue
                    if signal.offset <= taken[kind]:
                        continue
                    if kind == USER:
                        try:
                            self._link(key, id, signal, offset)
                        except FoldError as error:
                            rejected.append(f"entry {number}: {error}")
                        continue
                if more is None:
                    rejected.append(f"entry {number}: unknown signal type {signal.type!r}")
                    continue
                if row is None:
                    row = self._begin(key, kind, id, more.at, offset)
                if ahead and ahead.get(key, -1) >= offset:
                    continue
                count(row, more, many, offset, plan)
                if previous and key in previous and isinstance(row, ItemRow):
                    add_previous(row, previous[key], more, plan)
                if thought and key in thought and isinstance(row, ItemRow):
                    opinions.add(row.opinions, thought[key], more.event, plan)
                if session and isinstance(row, ItemRow):
                    row.sessions = sessions.add(row.sessions, session, plan)
        self.skip(offset, batch)
        if rejected:
            raise FoldError("; ".join(rejected))

    def skip(self, offset: int, batch: SignalBatch | None = None) -> None:
        """Pass the record at ``offset`` without folding it: ``None`` if it is no batch at all."""
        for table in STATS_TABLES:
            if offset <= self._offsets[table]:
                continue
            self._offsets[table] = offset
            if batch is not None:
                sources = self._sources[table]
                sources[batch.source] = max(sources.get(batch.source, -1), batch.last)

    def finish(self) -> FoldedStats:
        """What came of it; the fold is used up."""
        watermarks = {
            table: Watermark(self._offsets[table], dict(sorted(self._sources[table].items())))
            for table in STATS_TABLES
        }
        return FoldedStats(self._rows, watermarks)

    def _taken(self, offset: int, batch: SignalBatch) -> dict[str, int]:
        """Up to which source offset each kind has the batch's source; all of it if passed."""
        taken = {}
        for kind, table in _STATS.items():
            if offset <= self._offsets[table]:
                taken[kind] = batch.last
                continue
            taken[kind] = self._sources[table].get(batch.source, -1)
            if batch.previous > taken[kind]:
                raise SignalGap(
                    f"{table}: the signals record at offset {offset} follows on source offset "
                    f"{batch.previous} of visitor-events[{batch.source}], but only those up to "
                    f"{taken[kind]} have come"
                )
        return taken

    def _begin(self, key: str, kind: str, id: str, at: int, offset: int) -> Counted:
        """The row of ``key``, which is new to this fold."""
        table = _STATS[kind]
        row = cast(ItemRow | SellerRow | SegmentRow | None, self._read(table, id))
        if row is None:
            row = _NEW[kind](offset, at, self._plan)
        elif row.offset >= offset:
            self._ahead[key] = row.offset
        self._rows[table][id] = row
        self._counted[key] = row
        return row

    def _link(self, key: str, id: str, signal: Signal, offset: int) -> None:
        table = _STATS[USER]
        rows = self._rows[table]
        row = rows.get(id)
        if row is None:
            row = self._read(table, id)
            if row is not None and row.offset >= offset:
                self._ahead[key] = row.offset
                rows[id] = row
        if self._ahead.get(key, -1) < offset:
            rows[id] = fold_user(cast(UserRow | None, row), signal, offset, self._plan)


class CatalogueFold:
    """Folds one partition of catalogue. ``read`` gives the row of a catalogue key."""

    def __init__(self, watermark: Watermark, read: Callable[[str], CatalogueRow | None]) -> None:
        self._offset = watermark.offset
        self._read = read
        self._rows: dict[str, CatalogueRow] = {}

    def add(self, offset: int, record: CatalogueRecord) -> None:
        """Fold the record at ``offset``. Raises ``FoldError``, having passed it."""
        if offset <= self._offset:
            return
        self._offset = offset
        key = catalogue_key(record.kind, record.id)
        row = self._rows.get(key)
        if row is None:
            row = self._read(key)
        if row is None or offset > row.offset:
            self._rows[key] = fold_catalogue(row, record, offset)

    def skip(self, offset: int, record: object = None) -> None:
        """Pass the record at ``offset`` without folding it."""
        self._offset = max(self._offset, offset)

    def finish(self) -> FoldedCatalogue:
        """What came of it; the fold is used up."""
        return FoldedCatalogue(self._rows, Watermark(self._offset))
