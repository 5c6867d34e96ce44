"""The parity audit: a decision's vectors, computed again from rows folded again from the log."""

from typing import Protocol

import numpy as np

from personalization.codec import Codec
from personalization.columns import Columns, view_of
from personalization.decisions import Decision, offsets_of, scored_of, vector_bytes
from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, ITEM, SELLER
from personalization.plan import GLOBAL
from personalization.ranking.hydrate import VISITOR, merged_again
from personalization.ranking.replay import Mismatch
from personalization.ranking.request import callers_candidates, moment_of
from personalization.spec import Spec
from personalization.state import keys
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
)

_VISITORS = Codec(VisitorRow)
_USERS = Codec(UserRow)


class RowsAt(Protocol):
    """Rows as the log defines them: each as it was after the record at ``offset``."""

    def item(self, id: str, offset: int) -> ItemRow:
        """An item's counters."""
        ...

    def seller(self, id: str, offset: int) -> SellerRow:
        """A seller's counters."""
        ...

    def segment(self, key: str, offset: int) -> SegmentRow:
        """A segment's counters; ``key`` as ``category:shoes``."""
        ...

    def catalogue(self, kind: str, id: str, offset: int) -> CatalogueRow:
        """The attributes of an ``item`` or a ``seller``."""
        ...

    def visitor(self, id: str, offset: int) -> VisitorRow:
        """A visitor's row."""
        ...

    def user(self, id: str, offset: int) -> UserRow:
        """A user's row."""
        ...


def vectors_again(decision: Decision, rows: RowsAt, spec: Spec) -> F32:
    """The vectors of all candidates, float32[n, k], from ``rows`` at the recorded offsets.

    The visitor's rows are those of the record: ``audit`` compares them with the log's.
    """
    columns = Columns(spec.plan, items=4096, groups=4096)
    catalogue, sellers_catalogue, counters = offsets_of(decision)
    for index, id in enumerate(decision.candidates):
        row = None
        if catalogue[index] >= 0:
            row = rows.catalogue(ITEM, id, int(catalogue[index]))
            columns.apply_catalogue(ITEM, id, row)
        if row is not None and row.seller is not None and sellers_catalogue[index] >= 0:
            seller = rows.catalogue(SELLER, row.seller, int(sellers_catalogue[index]))
            columns.apply_catalogue(SELLER, row.seller, seller)
        for level, offset in zip(decision.offsets.levels, counters[:, index].tolist(), strict=True):
            if offset >= 0:
                _apply_counters(columns, rows, id, row, level, offset)
    for id, offset in decision.offsets.last_items.items():
        if offset >= 0:
            columns.apply_item(id, rows.item(id, offset))
    caller = callers_candidates(decision.request.candidates or [])[1]
    visitor = merged_again(decision.rows, spec.plan)
    moment = moment_of(decision.request, decision.at)
    return feature_matrix(spec, view_of(columns, moment, decision.candidates, visitor, caller))


def audit(decision: Decision, rows: RowsAt, spec: Spec) -> Mismatch | None:
    """``None`` where the log gives the rows and the vectors that were served, bit for bit."""
    for read in decision.rows:
        again: bytes
        if read.kind == VISITOR:
            again = _VISITORS.encode(rows.visitor(read.id, _VISITORS.decode(read.row).offset))
        else:
            again = _USERS.encode(rows.user(read.id, _USERS.decode(read.row).offset))
        if again != read.row:
            return Mismatch("rows", f"{read.kind} {read.id} is another row in the log")
    again_ = vectors_again(decision, rows, spec)[list(scored_of(decision))]
    served = np.frombuffer(vector_bytes(decision), np.uint32).reshape(again_.shape)
    differs = np.argwhere(again_.view(np.uint32) != served)
    if len(differs):
        row, column = differs[0].tolist()
        item = decision.candidates[scored_of(decision)[row]]
        return Mismatch("vectors", f"{item}: {spec.columns[column]} is {again_[row, column]!r}")
    return None


def _apply_counters(
    columns: Columns, rows: RowsAt, id: str, row: CatalogueRow | None, level: str, offset: int
) -> None:
    if level == ITEM:
        columns.apply_item(id, rows.item(id, offset))
    elif level == GLOBAL:
        columns.apply_segment(GLOBAL, rows.segment(GLOBAL, offset))
    elif row is not None and level == SELLER and row.seller is not None:
        columns.apply_seller(row.seller, rows.seller(row.seller, offset))
    elif row is not None:
        by_seller, dimension = keys.segment_level(level)
        value = str(row.attributes[dimension])
        key = keys.split(keys.segment_key(level, row.seller if by_seller else None, value))[1]
        columns.apply_segment(key, rows.segment(key, offset))
