"""The log's side of the parity audit: the rows that decisions read, folded again."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar

from eventlog.protocol import EventLog
from personalization.codec import Codec
from personalization.decisions import Decision, offsets_of
from personalization.features.view import SELLER
from personalization.plan import StatePlan
from personalization.ranking.hydrate import VISITOR
from personalization.ranking.parity import columns_again
from personalization.spec import Spec
from personalization.state.keys import catalogue_key, subject_of
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    TopK,
    UserRow,
    VisitorRow,
)
from tables.row_head import ROW_HEAD
from tables.rows_at import RowKey, rows_at
from tables.topics import CATALOGUE_ROWS, ITEMS, SEGMENTS, SELLERS, USERS, VISITORS

Row = TypeVar("Row")
Folded = Mapping[RowKey, Mapping[int, bytes]]

_ITEM = Codec(ItemRow)
_SELLER = Codec(SellerRow)
_SEGMENT = Codec(SegmentRow)
_CATALOGUE = Codec(CatalogueRow)
_VISITOR = Codec(VisitorRow)
_USER = Codec(UserRow)


class NotInLog(Exception):
    """A decision read a row at an offset at which the log does not change that row."""


class FoldedRows:
    """Rows by key and offset, as ``personalization.ranking.parity`` asks for them.

    Every method raises ``NotInLog`` for a row that the log does not have.
    """

    def __init__(self, folded: Folded) -> None:
        self._folded = folded

    def item(self, id: str, offset: int) -> ItemRow:
        """An item's counters."""
        return self._row(_ITEM, ITEMS.name, id, offset)

    def seller(self, id: str, offset: int) -> SellerRow:
        """A seller's counters."""
        return self._row(_SELLER, SELLERS.name, id, offset)

    def segment(self, key: str, offset: int) -> SegmentRow:
        """A segment's counters."""
        return self._row(_SEGMENT, SEGMENTS.name, key, offset)

    def catalogue(self, kind: str, id: str, offset: int) -> CatalogueRow:
        """The attributes of an item, a user or a seller."""
        return self._row(_CATALOGUE, CATALOGUE_ROWS.name, catalogue_key(kind, id), offset)

    def visitor(self, id: str, offset: int) -> VisitorRow:
        """A visitor's row."""
        return self._row(_VISITOR, VISITORS.name, id, offset)

    def user(self, id: str, offset: int) -> UserRow:
        """A user's row."""
        return self._row(_USER, USERS.name, id, offset)

    def _row(self, codec: Codec[Row], table: str, key: str, offset: int) -> Row:
        row = self._folded.get((table, key), {}).get(offset)
        if row is None:
            raise NotInLog(f"{table}: {key!r} has no row at offset {offset}")
        return codec.decode(row)


async def rows_of(
    log: EventLog,
    spec: Spec,
    decisions: Iterable[Decision],
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> FoldedRows:
    """All rows that ``decisions`` read, in two passes over the log.

    The first folds the catalogue rows of candidates, which say to which sellers and segments they
    belonged, and of last items that have vectors; the second all others. Where the log lacks one
    of the first, what its decision read otherwise is not looked for. ``progress`` is told (stage,
    done, total). Raises as ``rows_at`` does.
    """
    decided = list(decisions)
    listed: dict[RowKey, set[int]] = {}
    for decision in decided:
        offsets = offsets_of(decision)[0].tolist()
        candidates = zip(decision.candidates, offsets, strict=True)
        for id, offset in (*candidates, *decision.offsets.last_listed.items()):
            if offset >= 0:
                key = (CATALOGUE_ROWS.name, catalogue_key(*subject_of(id)))
                listed.setdefault(key, set()).add(offset)
    catalogue = await rows_at(log, spec.plan, listed, partial(progress, "catalogue"))
    asked = _Asked(spec.plan, catalogue)
    for decision in decided:
        for read in decision.rows:
            table = VISITORS.name if read.kind == VISITOR else USERS.name
            asked.wanted.setdefault((table, read.id), set()).add(ROW_HEAD.decode(read.row).offset)
        with suppress(NotInLog):  # the audit of this decision will say it
            columns_again(decision, asked, spec.plan)
    others = await rows_at(log, spec.plan, asked.wanted, partial(progress, "events and signals"))
    return FoldedRows(_both(catalogue, others))


class _Asked(FoldedRows):
    """Notes what is asked for, and answers with rows that have the offset and nothing else."""

    def __init__(self, plan: StatePlan, catalogue: Folded) -> None:
        super().__init__(catalogue)
        self.wanted: dict[RowKey, set[int]] = {}
        self._counters = [0.0] * (len(plan.events) * len(plan.half_lives))
        self._counts = [0] * len(plan.events)

    def item(self, id: str, offset: int) -> ItemRow:
        self._want(ITEMS.name, id, offset)
        return ItemRow(offset, 0, 0, self._counters, self._counts, TopK())

    def seller(self, id: str, offset: int) -> SellerRow:
        self._want(SELLERS.name, id, offset)
        return SellerRow(offset, 0, 0, self._counters, self._counts)

    def segment(self, key: str, offset: int) -> SegmentRow:
        self._want(SEGMENTS.name, key, offset)
        return SegmentRow(offset, 0, 0, self._counters, self._counts)

    def catalogue(self, kind: str, id: str, offset: int) -> CatalogueRow:
        if kind != SELLER:
            return super().catalogue(kind, id, offset)
        self._want(CATALOGUE_ROWS.name, catalogue_key(kind, id), offset)
        return CatalogueRow(offset, 0, 0, None, {})

    def _want(self, table: str, key: str, offset: int) -> None:
        self.wanted.setdefault((table, key), set()).add(offset)


def _both(one: Folded, other: Folded) -> Folded:
    return {key: {**one.get(key, {}), **other.get(key, {})} for key in one.keys() | other.keys()}
