"""The nearest of many vectors, found in a graph that follows every change."""

import numpy as np
import voyager

from personalization.features.view import F32, I64

# Small graphs are fast to change. The seed is fixed, and entries are added one by one: the same
# changes give the same graph.
_LINKS, _BREADTH, _SEED = 12, 100, 1
_LOOKED_AT = 128  # entries that a search keeps in view
_FEW = 1024
_PASSED = 64  # dead entries that one change steps over


class VectorIndex:
    """Unit vectors by slot, and which of them are nearest to another (HNSW: Malkov & Yashunin,
    TPAMI 2020).

    What was put can be found at once. A vector that moves or goes leaves a dead entry behind: a
    graph whose entries are changed in place finds less and less. Dead entries make searches slow,
    so where they are more than half as many as the living, these move into a new graph: one with
    every change, so that none takes long.
    """

    def __init__(self, size: int, capacity: int) -> None:
        self._size = size
        self._graph = _Graph(size, capacity)
        self._next: _Graph | None = None
        self._moved = 0  # entries of the graph that are dead or in the next one

    def __contains__(self, slot: int) -> bool:
        return slot in self._graph.entries or (
            self._next is not None and slot in self._next.entries
        )

    def put(self, slot: int, unit: F32) -> None:
        """Have ``slot`` be found at ``unit`` float32[size], wherever it was before."""
        if self._next is None:
            self._graph.put(slot, unit)
        else:
            self._graph.drop(slot)
            self._next.put(slot, unit)
        self._move_on()

    def drop(self, slot: int) -> None:
        """Have ``slot`` not be found any more."""
        if slot in self:
            self._graph.drop(slot)
            if self._next is not None:
                self._next.drop(slot)
            self._move_on()

    def nearest(self, unit: F32, n: int) -> tuple[I64, F32]:
        """Up to ``n`` slots, the nearest to ``unit`` first, and their cosines.

        Nearly all of the true ones: the search is approximate.
        """
        slots, cosines = self._graph.nearest(unit, n)
        if self._next is None:
            return slots, cosines
        more, theirs = self._next.nearest(unit, n)
        return best_first(np.concatenate([slots, more]), np.concatenate([cosines, theirs]), n)

    def _move_on(self) -> None:
        graph, target = self._graph, self._next
        alive = len(graph.entries)
        if target is None:
            if len(graph.slots) - alive > max(_FEW, alive // 2):
                self._next, self._moved = _Graph(self._size, max(_FEW, 2 * alive)), 0
            return
        for entry in range(self._moved, min(self._moved + _PASSED, len(graph.slots))):
            self._moved = entry + 1
            slot = graph.slots[entry]
            if graph.entries.get(slot) == entry:
                target.put(slot, graph.unit(entry))
                break
        if self._moved == len(graph.slots):
            self._graph, self._next = target, None


class _Graph:
    """Entries that are added and never change; ``entries`` are the living ones, by slot."""

    def __init__(self, size: int, capacity: int) -> None:
        self.slots: list[int] = []  # of each entry
        self.entries: dict[int, int] = {}
        self._index = voyager.Index(
            voyager.Space.Cosine,
            size,
            M=_LINKS,
            ef_construction=_BREADTH,
            random_seed=_SEED,
            max_elements=capacity,
        )

    def put(self, slot: int, unit: F32) -> None:
        self.drop(slot)
        entry = len(self.slots)
        if entry == self._index.max_elements:
            self._index.resize(2 * entry)  # by itself it would make room for one more
        self._index.add_item(np.ascontiguousarray(unit), entry)  # it takes no notice of strides
        self.slots.append(slot)
        self.entries[slot] = entry

    def drop(self, slot: int) -> None:
        entry = self.entries.pop(slot, None)
        if entry is not None:
            self._index.mark_deleted(entry)

    def unit(self, entry: int) -> F32:
        unit: F32 = self._index.get_vector(entry)
        return unit

    def nearest(self, unit: F32, n: int) -> tuple[I64, F32]:
        wanted, unit = min(n, len(self.entries)), np.ascontiguousarray(unit)
        while wanted > 0:
            looked_at = max(wanted, _LOOKED_AT)
            try:
                found, far = self._index.query(unit, wanted, num_threads=1, query_ef=looked_at)
            except voyager.RecallError:  # so many cannot be reached from where it begins
                wanted //= 2
                continue
            slots = [self.slots[entry] for entry in found.tolist()]
            return np.array(slots, np.int64), 1.0 - far
        return np.empty(0, np.int64), np.empty(0, np.float32)


def best_first(slots: I64, cosines: F32, n: int) -> tuple[I64, F32]:
    """The ``n`` slots with the largest cosines, each once with its largest, in that order."""
    order = np.argsort(-cosines, kind="stable")
    slots, cosines = slots[order], cosines[order]
    first = np.sort(np.unique(slots, return_index=True)[1])[:n]
    return slots[first], cosines[first]
