"""A whole system in memory, for the tests of ranking."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from personalization.candidates.index import CatalogueIndex, build_index
from personalization.codec import Codec
from personalization.columns import Columns
from personalization.decisions import Decision
from personalization.events import CatalogueRecord, Stamp
from personalization.guarantee import Guarantee, UnderWay
from personalization.presets import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.signals import signals_of
from personalization.spec import Spec
from personalization.stamping import stamp_items
from personalization.state import keys
from personalization.state.catalogue import fold_catalogue
from personalization.state.item import fold_item
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
)
from personalization.state.segment import fold_segment
from personalization.state.seller import fold_seller
from personalization.state.user import fold_user
from personalization.state.visitor import fold_visitor
from personalization.wire import Line, accept

NOW = 1_795_428_000_000
FOLDS: dict[str, tuple[Callable[..., Any], type]] = {
    keys.ITEM: (fold_item, ItemRow),
    keys.SELLER: (fold_seller, SellerRow),
    keys.SEGMENT: (fold_segment, SegmentRow),
    keys.USER: (lambda row, key, *told: fold_user(row, *told), UserRow),
}


class Shop:
    """Folds every event at once, and keeps every row that ever was. Ranks with the formula."""

    def __init__(self, spec: Spec = marketplace) -> None:
        self.spec = spec
        self.columns = Columns(spec.plan, items=256, groups=256)
        self.formula = Formula(spec.columns, spec.feature_set_id)
        self.now = NOW
        self.offset = 0
        self._rows: dict[tuple[str, str], bytes] = {}
        self._history: dict[tuple[str, str, int], bytes] = {}

    def tell(self, type: str, **fields: Any) -> None:
        """One event in the wire format, a second after the one before."""
        self.now += 1000
        line = msgspec.convert({"at": self.now, "type": type, **fields}, Line)
        plan, offset = self.spec.plan, self.offset
        self.offset += 1
        event = accept(line, plan=plan, now=self.now, stamp=self._stamp)
        if isinstance(event, CatalogueRecord):
            row = fold_catalogue(self._row(event.kind, event.id, CatalogueRow), event, offset)
            self._keep(event.kind, event.id, row)
            self.columns.apply_catalogue(event.kind, event.id, row)
            return
        before = self._row("visitor", event.visitor, VisitorRow)
        signals = signals_of(before, event, offset, plan)
        self._keep("visitor", event.visitor, fold_visitor(before, event, offset, plan))
        for signal, key in [(each, key) for each in signals for key in each.counts]:
            kind, id = keys.split(key)
            fold, row_type = FOLDS[kind]
            row = fold(self._row(kind, id, row_type), key, signal, offset, plan)
            self._keep(kind, id, row)
            if kind == keys.ITEM:
                self.columns.apply_item(id, row)
            elif kind == keys.SELLER:
                self.columns.apply_seller(id, row)
            elif kind == keys.SEGMENT:
                self.columns.apply_segment(id, row)

    def stock(self, count: int, seller: str = "s1", **attributes: Any) -> None:
        """List ``count`` more items, ``i0``, ``i1`` and so on, all at one time."""
        first = sum(kind == "item" for kind, _ in self._rows)
        for number in range(first, first + count):
            self.tell("item", item=f"i{number}", seller=seller, attributes=attributes, at=NOW)

    def rank(
        self,
        *candidates: str,
        surface: Surface | None = None,
        index: bool = False,
        seed: int = 7,
        before: tuple[str, ...] = (),
        keep: Any = "all",
        near: Any = None,
        under_way: UnderWay | None = None,
        **request: Any,
    ) -> Decision:
        """A decision for what a client asks."""
        return rank(
            msgspec.convert({"candidates": list(candidates) or None, **request}, RankRequest),
            self,
            self.spec,
            surface or Surface(),
            self.formula,
            self.index(None if surface is None else surface.guarantee) if index else None,
            now=self.now,
            seed=seed,
            decision_id="01M83XJ8BV001G000000000000",
            near=near,
            shown_before=before,
            keep=keep,
            under_way=under_way,
        )

    def index(self, guarantee: Guarantee | None = None) -> CatalogueIndex:
        return build_index(self.columns, self.now, [] if guarantee is None else [guarantee])

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        row = self._rows.get(("visitor", id))
        return None if row is None else (0, row)

    def user(self, id: str) -> tuple[int, bytes] | None:
        row = self._rows.get((keys.USER, id))
        return None if row is None else (0, row)

    def _stamp(self, item: str) -> Stamp:
        rows = {item: self._row(*keys.subject_of(item), CatalogueRow)}
        return stamp_items([item], rows.get, self.spec.plan)[0]

    def _row(self, kind: str, id: str, row_type: Any) -> Any:
        data = self._rows.get((kind, id))
        return None if data is None else Codec(row_type).decode(data)

    def _keep(self, kind: str, id: str, row: Any) -> None:
        self._rows[kind, id] = self._history[kind, id, row.offset] = Codec(type(row)).encode(row)

    def then(self, kind: str, id: str, offset: int, row_type: Any) -> Any:
        """The row as it was after the record at ``offset``."""
        return Codec(row_type).decode(self._history[kind, id, offset])


@pytest.fixture
def shop() -> Shop:
    """An empty marketplace."""
    return Shop()
