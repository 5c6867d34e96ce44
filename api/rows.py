"""Rows as the ranker sees them: names for columns, counters decayed to now."""

import math
from collections.abc import Callable, Sequence

from api.row_views import (
    AffinityView,
    Counters,
    InteractionView,
    ItemView,
    SellerView,
    SessionView,
    VisitorView,
)
from personalization.codec import Codec
from personalization.decay import decay_factor
from personalization.plan import DAYPARTS
from personalization.ranking.hydrate import VISITOR, hydrate
from personalization.spec import Spec
from personalization.state import topk
from personalization.state.rows import CatalogueRow, ItemRow, SellerRow, VisitorRow
from tables.replicas import Replicas
from tables.topics import ITEMS, SELLERS

_ITEM = Codec(ItemRow)
_SELLER = Codec(SellerRow)


class RowReader:
    """Reads rows of the replicas and names what is in them."""

    def __init__(self, replicas: Replicas, spec: Spec, clock: Callable[[], int]) -> None:
        self._replicas = replicas
        self._plan = spec.plan
        self._half_lives = dict(zip(spec.half_lives, spec.plan.half_lives, strict=True))
        self._clock = clock

    def attributes(self, kind: str, id: str) -> CatalogueRow | None:
        """The catalogue row of an ``item``, a ``seller`` or a ``user``."""
        return self._replicas.catalogue_row(kind, id)

    def visitor(self, id: str) -> VisitorView | None:
        """The visitor, if there were any events of theirs."""
        plan, now = self._plan, self._clock()
        who = hydrate(id, None, self._replicas, plan)
        row = who.visitor
        if row is None:
            return None
        means = zip(plan.numbers, row.numbers, strict=True)
        return VisitorView(
            visitor=id,
            user=who.user,
            linked=[r.id for r in who.read if r.kind == VISITOR and r.merged and r.id != id],
            now=now,
            offset=row.offset,
            first_at=row.first_at or None,
            last_at=row.last_at or None,
            counters=self._counters(row.counters, row.at, now),
            counts=self._counts(row.counts),
            affinities=self._affinities(row, now),
            mean={name: math.expm1(logs / w) for name, (w, logs) in means if w > 0},
            last=[InteractionView(i.at, plan.events[i.event], i.item) for i in row.last],
            session=self._session(row),
        )

    def item(self, id: str) -> ItemView | None:
        """The item, if the catalogue or any event knows it."""
        data, told = self._replicas.row(ITEMS.name, id), self.attributes("item", id)
        if data is None and told is None:
            return None
        now = self._clock()
        row = None if data is None else _ITEM.decode(data)
        half_life = self._plan.covisit_half_life
        return ItemView(
            item=id,
            now=now,
            seller=None if told is None else told.seller,
            attributes={} if told is None else told.attributes,
            created_at=None if told is None else told.created_at,
            updated_at=None if told is None else told.updated_at,
            deleted=told is not None and told.deleted,
            first_at=None if row is None else row.first_at,
            counters={} if row is None else self._counters(row.counters, row.at, now),
            counts={} if row is None else self._counts(row.counts),
            covisited={} if row is None else topk.weights_at(row.covisited, now, half_life),
            offset=-1 if row is None else row.offset,
            catalogue_offset=-1 if told is None else told.offset,
        )

    def seller(self, id: str) -> SellerView | None:
        """The seller, if the catalogue or any event knows them."""
        data, told = self._replicas.row(SELLERS.name, id), self.attributes("seller", id)
        if data is None and told is None:
            return None
        now = self._clock()
        row = None if data is None else _SELLER.decode(data)
        return SellerView(
            seller=id,
            now=now,
            attributes={} if told is None else told.attributes,
            created_at=None if told is None else told.created_at,
            updated_at=None if told is None else told.updated_at,
            deleted=told is not None and told.deleted,
            first_at=None if row is None else row.first_at,
            counters={} if row is None else self._counters(row.counters, row.at, now),
            counts={} if row is None else self._counts(row.counts),
            offset=-1 if row is None else row.offset,
            catalogue_offset=-1 if told is None else told.offset,
        )

    def _counters(self, values: Sequence[float], at: int, now: int) -> Counters:
        elapsed = float(max(0, now - at))
        factors = {name: decay_factor(elapsed, ms) for name, ms in self._half_lives.items()}
        columns = iter(values)
        return {
            event: {name: next(columns) * factor for name, factor in factors.items()}
            for event in self._plan.events
        }

    def _counts(self, counts: Sequence[int]) -> dict[str, int]:
        return dict(zip(self._plan.events, counts, strict=True))

    def _affinities(self, row: VisitorRow, now: int) -> list[AffinityView]:
        views = []
        for declared, kept in zip(self._plan.affinities, row.affinities, strict=True):
            for key, weight in topk.weights_at(kept, now, declared.half_life).items():
                daypart, value = None, key
                if declared.by_daypart:
                    part, _, value = key.partition("|")
                    daypart = DAYPARTS[int(part)]
                count = kept.entries[key][1]
                views.append(AffinityView(declared.dimension, value, weight, count, daypart))
        return sorted(views, key=lambda view: -view.weight)

    def _session(self, row: VisitorRow) -> SessionView | None:
        session = row.session
        if session is None:
            return None
        plain = [declared for declared in self._plan.affinities if not declared.by_daypart]
        affinities = [
            AffinityView(declared.dimension, value, weight, 0)
            for declared, weights in zip(plain, session.affinities, strict=True)
            for value, weight in weights.items()
        ]
        return SessionView(
            session.id,
            session.start,
            session.last,
            session.number,
            self._counts(session.counts),
            affinities,
        )
