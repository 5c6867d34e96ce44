"""Vectors of items: as they are kept, and how the nearest are found."""

import numpy as np
import pytest

from personalization.columns import Columns, view_of
from personalization.columns.vector_index import VectorIndex
from personalization.events import Attribute
from personalization.features.view import F32, Moment
from personalization.state.rows import CatalogueRow
from personalization.vectors import unit_of
from tests.feature_shop import NOW, Shop, random_shop, wide_spec
from tests.vector_spec import SPEC, direction

pytestmark = pytest.mark.kernel


def units(count: int, seed: int = 1, size: int = 8) -> F32:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    unit: F32 = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 1e200, 1e307])
def test_only_the_direction_counts(scale: float) -> None:
    """Whatever the length, the unit is the same; no square overflows or vanishes."""
    unit = unit_of([3.0 * scale, 0.0, -4.0 * scale], 3)
    np.testing.assert_allclose(unit, [0.6, 0.0, -0.8], rtol=1e-3 if scale == 1e-320 else 1e-7)


@pytest.mark.parametrize("value", [None, 1.0, [1.0], ["1", "2"], [0.0, 0.0], [1.0, np.inf]])
def test_what_is_no_vector_is_not_known(value: object) -> None:
    """As a price in words is not: it may have been told under another spec."""
    assert unit_of(value, 2).tolist() == [0.0, 0.0]


def listed(offset: int, vector: Attribute, deleted: bool = False) -> CatalogueRow:
    attributes: dict[str, Attribute] = {} if vector is None else {"embedding": vector}
    return CatalogueRow(offset, NOW, NOW, None, attributes, deleted)


def test_columns_hold_the_vector_of_the_newest_row() -> None:
    """Of an item that moves, loses its vector, is deleted; zeros where nothing is known."""
    columns = Columns(SPEC.plan, items=2, groups=2)

    def told(*rows: CatalogueRow) -> list[float]:
        for row in rows:
            columns.apply_catalogue("item", "a", row)
        units: list[list[float]] = columns.candidates(["ghost", "a"]).vectors["embedding"].tolist()
        assert units[0] == direction()
        return units[1]

    assert told(listed(1, direction(2.0))) == direction(1.0)
    assert told(listed(3, direction(0.0, 5.0)), listed(2, direction(7.0))) == direction(0.0, 1.0)
    assert told(listed(4, [1.0, 2.0])) == direction()
    assert told(listed(5, direction(3.0))) == direction(1.0)
    assert told(listed(6, direction(3.0), deleted=True)) == direction()
    for number in range(20):  # more than there was room for
        columns.apply_catalogue("item", f"i{number}", listed(7, direction(1.0)))
    assert columns.vectors_at(columns.slots(["i19"]))["embedding"][0].tolist() == direction(1.0)


def test_nothing_is_kept_where_nothing_is_declared() -> None:
    """No table, and no column in a view."""
    plan = wide_spec().plan
    columns = Columns(type(plan)(**{**plan.shapes_rows, "vectors": ()}), items=8, groups=8)
    assert columns.vectors == columns.vectors_at(columns.slots(["a"])) == {}


def test_a_view_has_vectors_of_the_last_items() -> None:
    """Newest first, as co-visits have them."""
    spec = wide_spec()
    shop: Shop = random_shop(3, spec.plan)
    columns = shop.columns()
    view = view_of(columns, Moment(NOW), ["i0"], shop.visitor)
    last = [columns.item_id(code) if code >= 0 else "" for code in view.last_codes.tolist()]
    expected = [
        unit_of(shop.catalogue[id].attributes.get("embedding"), 5)
        if id in shop.catalogue
        else np.zeros(5)
        for id in last
    ]
    np.testing.assert_array_equal(view.last_vectors["embedding"], expected)
    assert view.last_vectors["embedding"].any()


def exact(vectors: dict[int, F32], unit: F32, n: int) -> list[int]:
    return sorted(vectors, key=lambda slot: -float(vectors[slot] @ unit))[:n]


def recall(index: VectorIndex, vectors: dict[int, F32], asked: F32, n: int = 20) -> float:
    """The share of the true nearest that are found; none that is not there, best first."""
    found = 0
    for unit in asked:
        slots, cosines = index.nearest(unit, n)
        assert len(set(slots.tolist())) == len(slots)
        assert (np.diff(cosines) <= 0.0).all()
        truth = [float(vectors[slot] @ unit) for slot in slots.tolist()]
        np.testing.assert_allclose(cosines, truth, atol=1e-5)
        found += len(set(slots.tolist()) & set(exact(vectors, unit, n)))
    return found / (min(n, len(vectors)) * len(asked))


def test_nearly_all_of_the_nearest_are_found() -> None:
    """Against a search of all, and of few all of them."""
    every = units(3000, size=24)
    index, vectors = VectorIndex(24, 16), {}
    for slot, unit in enumerate(every, 1):
        index.put(slot, unit)
        vectors[slot] = unit
        if slot == 15:
            assert recall(index, vectors, every[:9], 15) == 1.0
    assert recall(index, vectors, units(100, seed=2, size=24)) > 0.95


def test_a_vector_may_lie_across_memory() -> None:
    """A column of a matrix is the same point as a row."""
    index, across = VectorIndex(8, 64), np.asfortranarray(units(50))
    for slot, unit in enumerate(across):
        index.put(slot, unit)
    assert recall(index, dict(enumerate(units(50))), across, 10) == 1.0


def test_the_nearest_are_found_through_all_changes() -> None:
    """Each vector moves, goes and comes back several times, while graphs are made anew."""
    chance = np.random.default_rng(7)
    index, vectors, asked = VectorIndex(8, 64), dict[int, F32](), units(20, seed=3)
    graphs = [index._graph]
    for unit in units(12_000, seed=4):
        slot = int(chance.integers(1, 800))
        if chance.random() < 0.3:
            index.drop(slot)
            vectors.pop(slot, None)
        else:
            index.put(slot, unit)
            vectors[slot] = unit
        if index._graph is not graphs[-1]:
            graphs.append(index._graph)
        assert (slot in index) == (slot in vectors)
        if chance.random() < 0.01:
            assert recall(index, vectors, asked) > 0.95
    assert len(graphs) > 2
    assert len(index._graph.slots) < 4 * len(vectors) + 4096
    for slot in [*vectors]:
        index.drop(slot)
    assert index.nearest(asked[0], 5)[0].tolist() == []


def test_the_same_changes_find_the_same() -> None:
    """No chance that is not passed in: two indexes agree to the bit."""
    ones, others = VectorIndex(8, 64), VectorIndex(8, 64)
    for slot, unit in enumerate(units(500)):
        for index in (ones, others):
            index.put(slot % 300, unit)
    for unit in units(50, seed=5):
        (slots, cosines), others_found = ones.nearest(unit, 30), others.nearest(unit, 30)
        assert slots.tobytes() == others_found[0].tobytes()
        assert cosines.tobytes() == others_found[1].tobytes()
