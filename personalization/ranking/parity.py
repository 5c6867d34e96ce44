"""The parity audit: a decision's vectors, computed again from rows folded again from the log."""

from typing import Protocol

import msgspec
import numpy as np

from personalization.codec import Codec
from personalization.columns import Columns, view_of
from personalization.decisions import Decision, offsets_of, scored_of, vector_bytes
from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, ITEM, SELLER
from personalization.plan import GLOBAL, StatePlan
from personalization.ranking.hydrate import VISITOR, RowRead, merged_again
from personalization.ranking.request import callers_candidates, moment_of
from personalization.ranking.similar import looking_at
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

_ITEMS, _GROUPS = 1024, 256  # room to begin with: candidates and what they were seen with


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
        """The attributes of an ``item``, a ``user`` or a ``seller``."""
        ...

    def visitor(self, id: str, offset: int) -> VisitorRow:
        """A visitor's row."""
        ...

    def user(self, id: str, offset: int) -> UserRow:
        """A user's row."""
        ...


class Difference(msgspec.Struct, frozen=True):
    """What of one decision came out differently.

    ``rows`` are the visitors' and users' that are others in the log, as ``visitor v1``;
    ``features`` says of each column in how many vectors it differs, ``vectors`` in how many any
    does, and ``example`` the first value of each such column.
    """

    rows: list[str]
    features: dict[str, int]
    vectors: int
    example: dict[str, str]


def columns_again(decision: Decision, rows: RowsAt, plan: StatePlan) -> Columns:
    """What the candidates' vectors are made of, from ``rows`` at the recorded offsets."""
    columns = Columns(plan, items=_ITEMS, groups=_GROUPS)
    catalogue, sellers_catalogue, counters = offsets_of(decision)
    groups: set[tuple[str, str]] = set()
    layers = list(zip(decision.offsets.levels, counters.tolist(), strict=True))
    for index, id in enumerate(decision.candidates):
        row = None
        if catalogue[index] >= 0:
            kind, listed_as = keys.subject_of(id)
            row = rows.catalogue(kind, listed_as, int(catalogue[index]))
            columns.apply_catalogue(kind, listed_as, row)
        if row is not None and row.seller is not None and sellers_catalogue[index] >= 0:
            seller = rows.catalogue(SELLER, row.seller, int(sellers_catalogue[index]))
            columns.apply_catalogue(SELLER, row.seller, seller)
        for level, offsets in layers:
            offset = offsets[index]
            if offset < 0:
                continue
            if level == ITEM:
                columns.apply_item(id, rows.item(id, offset))
            elif (group := _group(level, row)) is not None and group not in groups:
                groups.add(group)
                if level == SELLER:
                    columns.apply_seller(group[1], rows.seller(group[1], offset))
                else:
                    columns.apply_segment(group[1], rows.segment(group[1], offset))
    for id, offset in decision.offsets.last_items.items():
        if offset >= 0:
            columns.apply_item(id, rows.item(id, offset))
    for id, offset in decision.offsets.last_listed.items():
        if offset >= 0:
            columns.apply_catalogue(ITEM, id, rows.catalogue(ITEM, id, offset))
    return columns


def audit(decision: Decision, rows: RowsAt, spec: Spec) -> Difference | None:
    """``None`` where the log gives the rows and the vectors that were served, bit for bit.

    All is from ``rows``: also the visitor's, so that what a wrong one does to features shows.
    """
    read = [_read_again(one, rows) for one in decision.rows]
    others = [
        f"{was.kind} {was.id}"
        for was, now in zip(decision.rows, read, strict=True)
        if was.row != now.row
    ]
    again = _vectors(decision, columns_again(decision, rows, spec.plan), read, spec)
    served = np.frombuffer(vector_bytes(decision), np.float32).reshape(again.shape)
    differs = again.view(np.uint32) != served.view(np.uint32)
    if not others and not differs.any():
        return None
    features, example = {}, {}
    for column in np.flatnonzero(differs.any(axis=0)).tolist():
        name, row = spec.columns[column], int(differs[:, column].argmax())
        features[name] = int(differs[:, column].sum())
        item = decision.candidates[scored_of(decision)[row]]
        was, now = served[row, column].item(), again[row, column].item()
        example[name] = f"{item}: {was!r} was served, {now!r} is in the log"
    return Difference(others, features, int(differs.any(axis=1).sum()), example)


def _vectors(decision: Decision, columns: Columns, read: list[RowRead], spec: Spec) -> F32:
    """The vectors of the candidates that were scored, float32[m, k]."""
    caller = callers_candidates(decision.request.candidates or [])[1]
    visitor, near = merged_again(read, spec.plan), decision.request.similar_to
    if near is not None:
        visitor = looking_at(visitor, near, decision.at, spec.plan)
    moment = moment_of(decision.request, decision.at)
    view = view_of(columns, moment, decision.candidates, visitor, caller)
    return feature_matrix(spec, view)[list(scored_of(decision))]


def _read_again(read: RowRead, rows: RowsAt) -> RowRead:
    if read.kind == VISITOR:
        row = _VISITORS.encode(rows.visitor(read.id, _VISITORS.decode(read.row).offset))
    else:
        row = _USERS.encode(rows.user(read.id, _USERS.decode(read.row).offset))
    return msgspec.structs.replace(read, row=row)


def _group(level: str, row: CatalogueRow | None) -> tuple[str, str] | None:
    """The seller or segment that counters of ``level`` were those of, with its level."""
    if level == GLOBAL:
        return level, GLOBAL
    if row is None or (level == SELLER and row.seller is None):
        return None
    if level == SELLER:
        return level, str(row.seller)
    by_seller, dimension = keys.segment_level(level)
    value = str(row.attributes[dimension])
    key = keys.segment_key(level, row.seller if by_seller else None, value)
    return level, keys.split(key)[1]
