"""Importing into a data folder that no server has open: the same records, folded in bulk."""

import time
from collections.abc import Sequence
from typing import TypeVar

from eventlog.protocol import Topic
from freshet.state import State
from personalization.events import CatalogueRecord, Stamp, StampedEvent
from personalization.stamping import stamp_items
from personalization.state.catalogue import fold_catalogue
from personalization.state.keys import catalogue_key, shown_as, subject_of
from personalization.state.rows import CatalogueRow
from personalization.wire import Line, Rejected, accept
from tables.topics import CATALOGUE_ROWS, ROWS, VISITOR_EVENT, VISITOR_EVENTS

_MOST_KEPT = 200_000
_SURELY_FITS = 100  # items of an event, at about 2 KiB each
_MOST_BYTES = Topic(VISITOR_EVENTS, 1).max_record_bytes

T = TypeVar("T")


class ToData:
    """Appends events to the log of ``state`` and folds them, a large batch at a time."""

    batch = 20_000

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: dict[str, CatalogueRow | None] = {}
        self._stamps: dict[str, Stamp] = {}

    async def resume(self, token: str | None) -> None:
        """Nothing to make sure of: the checkpoint is deleted with the data."""

    async def send(self, lines: Sequence[Line]) -> tuple[list[str | None], str | None]:
        """Append ``lines`` and fold them; see ``run.Sink``."""
        now = time.time_ns() // 1_000_000
        events: list[StampedEvent] = []
        catalogue: list[CatalogueRecord] = []
        reasons: list[str | None] = []
        for line in lines:
            try:
                record = accept(line, plan=self._state.plan, now=now, stamp=self._stamp)
            except Rejected as error:
                first = error.errors[0]
                reasons.append(f"{first.field}: {first.reason}")
                continue
            if isinstance(record, CatalogueRecord):
                catalogue.append(record)
                self._list(record)
            elif _fits(record):
                events.append(record)
            else:
                reasons.append(f"items: with their attributes take more than {_MOST_BYTES} bytes")
                continue
            reasons.append(None)
        await self._state.bulk.append(events, catalogue)
        await self._state.bulk.catch_up()
        return reasons, None

    def _stamp(self, item: str) -> Stamp:
        """The item as it is after the lines before; kept, as few items are in many events."""
        stamp = self._stamps.get(item)
        if stamp is None:
            (stamp,) = stamp_items([item], lambda id: self._row(*subject_of(id)), self._state.plan)
            _keep(self._stamps, item, stamp)
        return stamp

    def _list(self, record: CatalogueRecord) -> None:
        row = self._row(record.kind, record.id)
        offset = 0 if row is None else row.offset + 1  # only its own order matters here
        folded = fold_catalogue(row, record, offset)
        _keep(self._rows, catalogue_key(record.kind, record.id), folded)
        self._stamps.pop(shown_as(record.kind, record.id) or "", None)

    def _row(self, kind: str, id: str) -> CatalogueRow | None:
        key = catalogue_key(kind, id)
        if key not in self._rows:
            stored = self._state.row(CATALOGUE_ROWS.name, key)
            row = None if stored is None else ROWS[CATALOGUE_ROWS.name].decode(stored)
            assert row is None or isinstance(row, CatalogueRow)
            _keep(self._rows, key, row)
        return self._rows[key]


def _fits(event: StampedEvent) -> bool:
    if len(event.items) < _SURELY_FITS:
        return True
    return len(event.visitor) + len(VISITOR_EVENT.encode(event)) <= _MOST_BYTES


def _keep(kept: dict[str, T], key: str, value: T) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
