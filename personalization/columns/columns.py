"""Items, sellers, segments and the catalogue, in columns."""

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np

from personalization.columns.counters import CounterTable
from personalization.columns.growth import grown
from personalization.columns.interner import Interner
from personalization.columns.items import (
    CREATED,
    LISTED,
    PERSON,
    SEGMENTS,
    SELLER_CODE,
    SELLER_SLOT,
    ItemTable,
)
from personalization.columns.profiles import Profiles
from personalization.columns.vectors import VectorTable
from personalization.decay import decay_columns
from personalization.events import Stamp
from personalization.features.view import (
    AT,
    COUNTS,
    F32,
    F64,
    FIRST_AT,
    I8,
    I32,
    I64,
    ITEM,
    OFFSET,
    SELLER,
    U32,
    Bool,
    CandidateColumns,
    Neighbours,
)
from personalization.plan import GLOBAL, StatePlan
from personalization.stamping import MAX_TAGS, stamp_items
from personalization.state import keys
from personalization.state.opinions import LIKED
from personalization.state.rows import CatalogueRow, ItemRow, SegmentRow, SellerRow

ITEM_CAPACITY = 1 << 18
GROUP_CAPACITY = 1 << 16
IN_STOCK = "in_stock"


class Columns:
    """The state that a ranking gathers from, by id: pure memory, one writer at a time.

    A user who is looked at is an item, called ``user:<id>``, whose attributes are in ``profiles``.
    An item has one slot, which is also its code in ``CandidateColumns`` and ``Neighbours``;
    sellers and segments (*groups*) share another range. Slot 0 is nothing. Rows may come in any
    order: of two rows of one entity that with the higher offset stays. ``arrivals`` are the slots
    of items in the order in which they became listed; it only grows. ``vectors`` has a table for
    each vector of the plan, by name. ``items`` and ``groups`` are how many slots there is room for
    before the arrays must grow; unused ones cost no memory.
    """

    def __init__(
        self, plan: StatePlan, items: int = ITEM_CAPACITY, groups: int = GROUP_CAPACITY
    ) -> None:
        self.plan = plan
        self.texts = Interner()
        self.half_lives: I64 = np.array(plan.half_lives, np.int64)
        self.levels = (ITEM, SELLER, *plan.segments)
        self.arrivals: list[int] = []
        self._ids = [""]
        self._slots: dict[str, int] = {}
        self._groups: dict[tuple[str, str], int] = {}
        self._group_counters = CounterTable(plan, groups)
        self._group_facts: I64 = np.zeros((groups, 2), np.int64)
        self._group_facts[0, OFFSET] = -1
        self._segment_levels = [(level, *keys.segment_level(level)) for level in plan.segments]
        self._everything = self._group("g", GLOBAL)
        self._items = ItemTable(plan, self.texts, items, self._everything)
        self.profiles = Profiles(plan, self.texts)
        self._item_counters = CounterTable(plan, items)
        self.vectors = {vector.name: VectorTable(vector.size, items) for vector in plan.vectors}

    def apply_item(self, id: str, row: ItemRow) -> bool:
        """An item's counters and co-visited items. False: a later row is there."""
        slot = self._item(id)
        if not self._item_counters.write(slot, row):
            return False
        others = row.covisited.entries
        slots = list(map(self._slots.get, others, repeat(-1)))
        if -1 in slots:
            slots = [self._item(other) for other in others]
        self._items.write_covisited(slot, row.covisited, slots)
        if self.plan.opinions:
            codes = [2 * self._item(key[1:]) + (key[0] == LIKED) for key in row.opinions]
            self._items.write_opinions(slot, codes, row.opinions.values())
        if row.sessions and self.plan.sessions:
            self._items.write_sessions(slot, row.sessions)
        return True

    def apply_seller(self, id: str, row: SellerRow) -> bool:
        """A seller's counters. False: a later row is there."""
        return self._group_counters.write(self._group("s", id), row)

    def apply_segment(self, key: str, row: SegmentRow) -> bool:
        """A segment's counters; ``key`` is the signal's without ``g:``, as ``category:shoes``.
        False: a later row is there."""
        return self._group_counters.write(self._group("g", key), row)

    def apply_catalogue(self, kind: str, id: str, row: CatalogueRow) -> None:
        """The attributes of an ``item``, a ``seller`` or a ``user``."""
        if kind == ITEM:
            slot = self._item(id)
            before = self._items.facts[slot]
            if row.offset < before[OFFSET]:
                return
            if not row.deleted and not before[LISTED]:
                self.arrivals.append(slot)
            stamp = stamp_items((id,), lambda _: row, self.plan)[0]
            self._items.write(slot, row, stamp, *self._groups_of(stamp))
            shown = not row.deleted and stamp.attributes.get(IN_STOCK) is not False
            for name, table in self.vectors.items():
                table.write(slot, None if row.deleted else row.attributes.get(name), shown)
        elif kind == SELLER:
            slot = self._group("s", id)
            if row.offset >= self._group_facts[slot, OFFSET]:
                self._group_facts[slot] = [row.offset, 0 if row.deleted else row.created_at]
        else:
            self.profiles.write(id, row, self._slots)

    def slots(self, ids: Sequence[str]) -> I64:
        """The slot of each item, int64[n]; 0 where it was never heard of."""
        return np.fromiter(map(self._slots.get, ids, repeat(0)), np.int64, len(ids))

    def slot(self, id: str) -> int:
        """The slot of an item; 0 if it was never heard of."""
        return self._slots.get(id, 0)

    def candidates(
        self,
        ids: Sequence[str],
        caller: Mapping[str, F64] | None = None,
        people: I64 | None = None,
    ) -> CandidateColumns:
        """All that is known of ``ids``, in their order; ``caller`` are its own features [n].

        ``people`` are the slots of ``ids`` among profiles, where all are known to have one.
        """
        slots = self.slots(ids) if people is None else self.profiles.items[people]
        items, plan, n = self._items, self.plan, len(slots)
        facts = items.facts.take(slots, axis=0)
        numbers = items.numbers.take(slots, axis=0)
        flags = items.flags.take(slots, axis=0)
        if people is None and self.profiles.slots:
            people = np.fromiter(map(self.profiles.slots.get, ids, repeat(0)), np.int64, n)
        if people is not None:
            self._add_profiles(people, facts, numbers, flags)
        groups = np.ascontiguousarray(facts[:, SELLER_SLOT : SEGMENTS + len(plan.segments)].T)
        stats, counters = self._layers(slots, groups)
        tags = facts[:, items.tags :].reshape(n, len(plan.tags), MAX_TAGS)
        catalogue_offset = facts[:, OFFSET]
        seller_facts = self._group_facts.take(groups[0], axis=0)
        return CandidateColumns(
            ids=list(ids),
            codes=slots - (slots == 0),
            known=(catalogue_offset >= 0) | (stats[0, :, OFFSET] >= 0),
            listed=facts[:, LISTED] == 1,
            catalogue_offset=catalogue_offset,
            created_at=facts[:, CREATED],
            seller=facts[:, SELLER_CODE],
            seller_created_at=seller_facts[:, CREATED],
            seller_catalogue_offset=seller_facts[:, OFFSET],
            categories={
                name: facts[:, items.categories + index]
                for index, name in enumerate(plan.categories)
            },
            tags={name: tags[:, index] for index, name in enumerate(plan.tags)},
            numbers={name: numbers[:, index] for index, name in enumerate(plan.numbers)},
            flags={name: flags[:, index] for index, name in enumerate(plan.flags)},
            levels=self.levels,
            stats=stats,
            counters=counters,
            covisited=self.neighbours_at(slots),
            caller={} if caller is None else dict(caller),
            vectors=self.vectors_at(slots),
        )

    def _add_profiles(self, people: I64, facts: I64, numbers: F64, flags: I8) -> None:
        """Put the attributes of ``people`` (0: not a user) into their rows."""
        profiles = self.profiles
        users = people.nonzero()[0]
        if len(users):
            slots = people[users]
            facts[users, : LISTED + 1] = profiles.facts[slots]
            facts[users, self._items.categories :] = profiles.texts(slots)
            numbers[users] = profiles.numbers[slots]
            flags[users] = profiles.flags[slots]

    def neighbours(self, ids: Sequence[str]) -> Neighbours:
        """The items co-visited with each of ``ids``."""
        return self.neighbours_at(self.slots(ids))

    def keepers(self, id: str, among: I64) -> tuple[I64, F64, I64]:
        """Those of the slots ``among`` that keep ``id`` as co-visited: slots [m], their weights,
        and the times (ms) that these are decayed to."""
        items = self._items
        rows, places = np.nonzero(items.neighbours.take(among, axis=0) == self._slots[id])
        slots = among[rows]
        return slots, items.weights[slots, places], items.covisited_at[slots]

    def decayed(self, slots: I64, now: int) -> F64:
        """The counters of items [n, E*H], decayed to ``now`` (ms)."""
        items = self._item_counters
        decayed: F64 = decay_columns(
            items.counters.take(slots, axis=0), items.stats[slots, AT], now, self.half_lives
        )
        return decayed

    def listings(self, slots: I64, event: int) -> tuple[I64, I64, I64]:
        """Of items, and below of their sellers: a number that is theirs alone among their kind,
        when they were first listed (ms; 0: never, or the item is not any more), and their plain
        count of the plan's event number ``event``; int64[2, n] each."""
        facts, column = self._items.facts, COUNTS + event
        keys, listed_at, counts = np.empty((3, 2, len(slots)), np.int64)
        keys[0], keys[1] = slots, facts[slots, SELLER_SLOT]
        listed_at[0], listed_at[1] = facts[slots, CREATED], self._group_facts[keys[1], CREATED]
        listed_at *= facts[slots, LISTED]
        counts[0] = self._item_counters.stats[slots, column]
        counts[1] = self._group_counters.stats[keys[1], column]
        return keys, listed_at, counts

    @property
    def first_event_at(self) -> int:
        """When the first event of all happened, in ms (0: there was none)."""
        return int(self._group_counters.stats[self._everything, FIRST_AT])

    def item_offsets(self, ids: Sequence[str]) -> I64:
        """The offset of each item's counters, int64[n] (-1: it has none)."""
        offsets: I64 = self._item_counters.stats[self.slots(ids), OFFSET]
        return offsets

    def listed_offsets(self, ids: Sequence[str]) -> I64:
        """The offset of each item's attributes, int64[n] (-1: it has none)."""
        offsets: I64 = self._items.facts[self.slots(ids), OFFSET]
        return offsets

    def item_id(self, code: int) -> str:
        """The id of an item's code. Raises ``IndexError`` where there is none."""
        if code <= 0:
            raise IndexError(f"no item has code {code}")
        return self._ids[code]

    @property
    def size(self) -> int:
        """How many item slots there are, slot 0 included: the length of the columns below."""
        return len(self._ids)

    @property
    def item_ids(self) -> Sequence[str]:
        """The id of every slot; that of slot 0 is empty. Grows; never changes."""
        return self._ids

    @property
    def listed(self) -> Bool:
        """Whether the catalogue has the item of each slot."""
        listed: Bool = self._items.facts[: self.size, LISTED] == 1
        return listed

    def are_items(self, slots: I64) -> Bool:
        """Which of ``slots`` are not users who were looked at."""
        items: Bool = self._items.facts[slots, LISTED] != PERSON
        return items

    @property
    def created_at(self) -> I64:
        """When each slot's item was listed first, in ms (0: unknown)."""
        return self._items.facts[: self.size, CREATED]

    @property
    def sellers(self) -> I64:
        """The text code of each slot's seller (-1: none)."""
        return self._items.facts[: self.size, SELLER_CODE]

    def category(self, name: str) -> I64:
        """The text code of each slot's category (-1: none). Raises ``ValueError``."""
        column = self._items.categories + self.plan.categories.index(name)
        return self._items.facts[: self.size, column]

    def number(self, name: str) -> F64:
        """The number of each slot (NaN: unknown). Raises ``ValueError``."""
        return self._items.numbers[: self.size, self.plan.numbers.index(name)]

    def flag(self, name: str) -> I8:
        """The flag of each slot (-1: unknown). Raises ``ValueError``."""
        return self._items.flags[: self.size, self.plan.flags.index(name)]

    @property
    def counters(self) -> F64:
        """The counters of each slot [size, E*H], as stored: decayed to ``counted_at``."""
        return self._item_counters.counters[: self.size]

    @property
    def counted_at(self) -> I64:
        """The time (ms) that each slot's counters are decayed to."""
        return self._item_counters.stats[: self.size, 1]

    def _layers(self, slots: I64, groups: I64) -> tuple[I64, F64]:
        """``stats`` and ``counters`` of items [n] and their groups [L-1, n], stacked."""
        item, group = self._item_counters, self._group_counters
        shape = (len(self.levels), len(slots))
        stats = np.empty((*shape, item.stats.shape[1]), np.int64)
        counters = np.empty((*shape, item.counters.shape[1]))
        item.stats.take(slots, axis=0, out=stats[0], mode="clip")
        item.counters.take(slots, axis=0, out=counters[0], mode="clip")
        group.stats.take(groups, axis=0, out=stats[1:], mode="clip")
        group.counters.take(groups, axis=0, out=counters[1:], mode="clip")
        return stats, counters

    def neighbours_at(self, slots: I64) -> Neighbours:
        """The items co-visited with those of ``slots`` (0: none)."""
        items = self._items
        return Neighbours(
            codes=items.neighbours.take(slots, axis=0),
            weights=items.weights.take(slots, axis=0),
            at=items.covisited_at.take(slots),
        )

    def vectors_at(self, slots: I64) -> dict[str, F32]:
        """The vectors of items at ``slots`` (0: none), float32[n, size] each, by name."""
        return {name: table.units.take(slots, axis=0) for name, table in self.vectors.items()}

    def opinions_at(self, slots: I64) -> tuple[I32, F32]:
        """Of items at ``slots`` (0: none) the codes of opinions [n, K] and the counts [n, K, E].

        A code is twice the slot of the other item, plus 1 if that was liked; -1: none.
        """
        items = self._items
        return items.opinions.take(slots, axis=0), items.given.take(slots, axis=0)

    def sessions_at(self, slots: I64) -> U32:
        """The sessions that the items at ``slots`` (0: none) were wanted in, [n, R]: see
        ``state.sessions``; oldest first, 0 at the end where there are fewer."""
        return self._items.sessions.take(slots, axis=0)

    def _item(self, id: str) -> int:
        slot = self._slots.get(id)
        if slot is None:
            slot = self._slots[id] = len(self._ids)
            self._ids.append(id)
            self._items.open(slot)
            if id.startswith(keys.USER_VISITOR):
                self._items.facts[slot, LISTED] = PERSON
                person = self.profiles.slots.get(id)
                if person is not None:
                    self.profiles.items[person] = slot
            self._item_counters.open(slot)
            for table in self.vectors.values():
                table.open(slot)
        return slot

    def _group(self, kind: str, key: str) -> int:
        slot = self._groups.get((kind, key))
        if slot is None:
            slot = self._groups[kind, key] = len(self._groups) + 1
            self._group_counters.open(slot)
            self._group_facts = grown(self._group_facts, slot + 1)
            self._group_facts[slot, OFFSET] = -1
        return slot

    def _groups_of(self, stamp: Stamp) -> tuple[int, list[int]]:
        """The slot of an item's seller and of each of its segments (0: it has none)."""
        seller = stamp.seller
        segments = []
        for level, within_seller, dimension in self._segment_levels:
            value = stamp.attributes.get(dimension)
            if level == GLOBAL:
                segments.append(self._group("g", GLOBAL))
            elif not isinstance(value, str) or (within_seller and seller is None):
                segments.append(0)
            else:
                key = keys.segment_key(level, seller if within_seller else None, value)
                segments.append(self._group(*keys.split(key)))
        return 0 if seller is None else self._group("s", seller), segments
