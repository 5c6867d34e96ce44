"""Columns: what rows look like to a ranking."""

import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from personalization.columns import Columns, view_of
from personalization.columns.views import last_items
from personalization.features.matrix import feature_matrix
from personalization.features.view import Moment
from personalization.state.rows import (
    CatalogueRow,
    Interaction,
    ItemRow,
    SegmentRow,
    SellerRow,
    TopK,
)
from tests.feature_shop import NOW, random_shop, random_visitor, wide_spec

SPEC = wide_spec()
PLAN = SPEC.plan
WIDTH = len(PLAN.events) * len(PLAN.half_lives)


def item_row(offset: int, count: float = 1.0, met: dict[str, float] | None = None) -> ItemRow:
    entries = {id: (weight, 1) for id, weight in (met or {}).items()}
    return ItemRow(
        offset, NOW, NOW - 5, [count] * WIDTH, [int(count)] * len(PLAN.events),
        TopK(NOW - 7, 0.0, entries),
    )  # fmt: skip


def _counted(count: int = 0) -> tuple[int, int, list[float], list[int]]:
    return NOW, NOW - 5, [float(count)] * WIDTH, [count] * len(PLAN.events)


def listed(offset: int, seller: str | None = "s1", **attributes: Any) -> CatalogueRow:
    return CatalogueRow(offset, NOW - 9, NOW, seller, attributes)


def text(columns: Columns, codes: np.ndarray) -> list[str | None]:
    return [None if code < 0 else columns.texts.text(code) for code in codes]


def test_a_candidate_has_its_attributes_and_counters() -> None:
    """What the rows say of an item, its seller and its segments is found at its position."""
    columns = Columns(PLAN)
    columns.apply_catalogue(
        "item", "a", listed(3, category="shoes", price=5.0, in_stock=False, tags=["x", "y", "x"])
    )
    columns.apply_catalogue("seller", "s1", CatalogueRow(1, NOW - 99, NOW, None, {}))
    columns.apply_item("a", item_row(11, 2.0, {"b": 1.5}))
    shared = _counted(3)
    columns.apply_seller("s1", SellerRow(12, *shared))
    columns.apply_segment("category:shoes", SegmentRow(13, *shared))
    columns.apply_segment("seller*category:s1|shoes", SegmentRow(14, *shared))
    columns.apply_segment("global", SegmentRow(15, *shared))

    got = columns.candidates(["unknown", "a"])

    assert got.ids == ["unknown", "a"]
    assert got.known.tolist() == got.listed.tolist() == [False, True]
    assert got.codes[0] == -1
    assert columns.item_id(got.codes[1]) == "a"
    assert got.catalogue_offset.tolist() == [-1, 3]
    assert got.created_at.tolist() == [0, NOW - 9]
    assert got.seller_created_at.tolist() == [0, NOW - 99]
    assert text(columns, got.seller) == [None, "s1"]
    assert text(columns, got.categories["category"]) == [None, "shoes"]
    assert text(columns, got.categories["brand"]) == [None, None]
    assert text(columns, got.tags["tags"][1]) == ["x", "y", *[None] * 6]
    assert np.isnan(got.numbers["price"][0])
    assert got.numbers["price"][1] == 5.0
    assert got.flags["in_stock"].tolist() == [-1, 0]
    assert got.items.offset.tolist() == [-1, 11]
    assert got.items.first_at.tolist() == [0, NOW - 5]
    assert got.items.counts[1].tolist() == [2] * len(PLAN.events)
    assert got.sellers.offset.tolist() == [-1, 12]
    assert {level: columns_of.offset.tolist() for level, columns_of in got.segments.items()} == {
        "global": [15, 15],
        "category": [-1, 13],
        "brand": [-1, -1],
        "seller*category": [-1, 14],
        "seller*brand": [-1, -1],
    }
    assert got.segments["category"].counters[1].tolist() == [3.0] * WIDTH
    assert got.covisited.at.tolist() == [0, NOW - 7]
    assert columns.item_id(got.covisited.codes[1, 0]) == "b"
    assert got.covisited.codes[1, 1:].tolist() == [-1] * (PLAN.covisits - 1)
    assert got.covisited.weights[1, :2].tolist() == [1.5, 0.0]


def test_the_order_of_rows_does_not_matter() -> None:
    """Rows of several versions, in any order, give the same features."""
    shop = random_shop(5, PLAN)
    ids = [f"i{i}" for i in range(12)]
    applied: list[Callable[[Columns], object]] = [
        *[partial(Columns.apply_item, id=id, row=row) for id, row in shop.items.items()],
        *[partial(Columns.apply_seller, id=id, row=row) for id, row in shop.sellers.items()],
        *[partial(Columns.apply_segment, key=key, row=row) for key, row in shop.segments.items()],
        *[
            partial(Columns.apply_catalogue, kind=kind, id=id, row=row)
            for kind, rows in (("item", shop.catalogue), ("seller", shop.seller_catalogue))
            for id, row in rows.items()
        ],
        partial(Columns.apply_item, id="i0", row=item_row(-1)),
        partial(Columns.apply_seller, id="s0", row=SellerRow(-1, *_counted())),
    ]
    seen = set()
    for seed in range(6):
        columns = Columns(PLAN, items=4, groups=4)
        for apply in random.Random(seed).sample(applied, len(applied)):
            apply(columns)
        view = view_of(columns, Moment(NOW, session="now"), ids, shop.visitor)
        seen.add(feature_matrix(SPEC, view).tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_the_highest_offset_stays(order: tuple[int, ...]) -> None:
    """A row below the one held is ignored, for every kind of row."""
    columns = Columns(PLAN)
    for offset in order:
        columns.apply_item("a", item_row(offset, offset, {"b": 1.0 + offset}))
        columns.apply_catalogue("item", "a", listed(offset, price=float(offset)))
        columns.apply_catalogue("seller", "s1", CatalogueRow(offset, offset, 0, None, {}))
        shared = _counted(offset)
        columns.apply_seller("s1", SellerRow(offset, *shared))
        columns.apply_segment("global", SegmentRow(offset, *shared))
    got = columns.candidates(["a"])
    assert got.items.offset == got.sellers.offset == got.segments["global"].offset == [2]
    assert got.items.counters[0, 0] == got.sellers.counters[0, 0] == 2.0
    assert got.covisited.weights[0, 0] == 3.0
    assert got.catalogue_offset == [2]
    assert got.numbers["price"] == [2.0]
    assert got.seller_created_at == [2]


def test_deleted_rows_say_nothing_but_their_offset() -> None:
    """A deleted item is known but not listed; deleted counters are zero."""
    columns = Columns(PLAN)
    columns.apply_catalogue("item", "a", listed(1, category="shoes"))
    gone = listed(2, category="shoes")
    gone.deleted = True
    columns.apply_catalogue("item", "a", gone)
    columns.apply_item("a", item_row(1, 5.0))
    row = item_row(2, 5.0)
    row.deleted = True
    columns.apply_item("a", row)
    got = columns.candidates(["a"])
    assert (got.known[0], got.listed[0], got.seller[0]) == (True, False, -1)
    assert got.categories["category"][0] == -1
    assert got.items.offset[0] == 2
    assert not got.items.counters.any()
    assert not got.items.first_at.any()


def test_an_item_that_moves_has_its_new_segments() -> None:
    """Another category or seller: the counters of those, at once."""
    columns = Columns(PLAN)
    for value, offset in (("shoes", 20), ("bags", 21)):
        row = SegmentRow(offset, *_counted())
        columns.apply_segment(f"category:{value}", row)
    for offset, (category, expected) in enumerate([("shoes", 20), ("bags", 21), (None, -1)]):
        columns.apply_catalogue("item", "a", listed(offset, category=category))
        assert columns.candidates(["a"]).segments["category"].offset == [expected]


def test_values_of_the_wrong_type_are_left_out() -> None:
    """As in stamps: a number in words, a category that is a list."""
    columns = Columns(PLAN)
    columns.apply_catalogue(
        "item", "a", listed(1, category=["shoes"], price="5", in_stock="no", tags="red")
    )
    got = columns.candidates(["a"])
    assert got.categories["category"][0] == got.flags["in_stock"][0] == -1
    assert np.isnan(got.numbers["price"][0])
    assert (got.tags["tags"] == -1).all()


def test_columns_grow() -> None:
    """More items than there was room for keep what they had."""
    columns = Columns(PLAN, items=2, groups=2)
    for n in range(300):
        columns.apply_catalogue("item", f"i{n}", listed(n, f"s{n % 7}", price=float(n)))
        columns.apply_item(f"i{n}", item_row(n, n, {f"i{n + 1}": 1.0}))
    got = columns.candidates([f"i{n}" for n in range(300)])
    assert got.numbers["price"].tolist() == list(range(300))
    assert got.items.counters[:, 0].tolist() == list(range(300))
    assert [columns.item_id(code) for code in got.covisited.codes[:, 0]] == [
        f"i{n + 1}" for n in range(300)
    ]
    assert got.listed.all()


def test_sources_see_the_whole_catalogue_in_columns() -> None:
    """Every slot's id, attributes and counters; slot 0 is nothing."""
    columns = Columns(PLAN)
    columns.apply_catalogue("item", "a", listed(1, category="shoes", price=3.0, in_stock=True))
    columns.apply_item("b", item_row(1, 4.0, {"c": 1.0}))
    assert columns.size == 4
    assert list(columns.item_ids) == ["", "a", "b", "c"]
    assert columns.listed.tolist() == [False, True, False, False]
    assert columns.created_at.tolist() == [0, NOW - 9, 0, 0]
    assert text(columns, columns.sellers) == [None, "s1", None, None]
    assert text(columns, columns.category("category")) == [None, "shoes", None, None]
    assert columns.number("price")[1] == 3.0
    assert columns.flag("in_stock").tolist() == [-1, 1, -1, -1]
    assert columns.counters[:, 0].tolist() == [0.0, 0.0, 4.0, 0.0]
    assert columns.counted_at.tolist() == [0, 0, NOW, 0]
    assert columns.neighbours(["b", "x"]).codes[:, 0].tolist() == [3, -1]
    assert columns.item_offsets(["a", "b", "x"]).tolist() == [-1, 1, -1]


def test_arrivals_are_in_the_order_of_listing() -> None:
    """An item arrives when it becomes listed: not when it changes, but when it comes back."""
    columns = Columns(PLAN)
    columns.apply_item("b", item_row(1))
    columns.apply_catalogue("item", "a", listed(1))
    columns.apply_catalogue("item", "b", listed(1))
    columns.apply_catalogue("item", "a", listed(2, price=1.0))
    gone = listed(3)
    gone.deleted = True
    columns.apply_catalogue("item", "a", gone)
    columns.apply_catalogue("item", "a", listed(4))
    assert [columns.item_id(slot) for slot in columns.arrivals] == ["a", "b", "a"]


def test_a_user_is_a_candidate_by_the_name_that_events_give_them() -> None:
    """With the attributes of the user, whether or not anybody looked at them; a user's row takes
    no item's slot."""
    columns = Columns(PLAN)
    row = CatalogueRow(1, NOW, NOW, None, {"category": "design", "price": 30.0, "age": 3.0})
    columns.apply_catalogue("user", "u1", row)
    columns.apply_catalogue("item", "u1", listed(2, category="shoes"))
    assert columns.size == 2
    view = columns.candidates(["user:u1", "u1", "user:ghost"])
    design, shoes = (columns.texts.codes[text] for text in ("design", "shoes"))
    assert view.categories["category"].tolist() == [design, shoes, -1]
    assert view.numbers["price"][0] == 30.0
    assert view.listed.tolist() == [True, True, False]
    assert view.known.tolist() == [True, True, False]
    assert view.catalogue_offset.tolist() == [1, 2, -1]


def test_users_found_by_their_profiles_are_the_same_candidates() -> None:
    """Whether they were looked at before their profile came, after it or never."""
    columns = Columns(PLAN)
    columns.apply_item("user:u1", item_row(5, 2.0))
    for number in (1, 2, 3):
        row = CatalogueRow(number, NOW, NOW, None, {"category": "design", "price": float(number)})
        columns.apply_catalogue("user", f"u{number}", row)
    columns.apply_item("user:u2", item_row(6, 3.0))
    ids = ["user:u3", "user:u2", "user:u1"]
    told, found = columns.candidates(ids), columns.candidates(ids, None, np.array([3, 2, 1]))
    assert told.codes.tolist() == found.codes.tolist() == [-1, 2, 1]
    assert found.numbers["price"].tolist() == [3.0, 2.0, 1.0]
    assert found.stats.tobytes() == told.stats.tobytes()
    assert found.categories["category"].tolist() == told.categories["category"].tolist()


@pytest.mark.parametrize("code", [-1, 0])
def test_nothing_has_no_id(code: int) -> None:
    """The code of no item is an error, not another item."""
    with pytest.raises(IndexError):
        Columns(PLAN).item_id(code)


def test_no_text_has_a_negative_code() -> None:
    """The code of no text is an error, not the last text."""
    columns = Columns(PLAN)
    columns.texts.intern("x")
    with pytest.raises(IndexError):
        columns.texts.text(-1)


def test_the_last_items_are_those_of_interest() -> None:
    """Newest first, each once, none that was disliked."""
    visitor = random_visitor(random.Random(1), PLAN)
    view, dislike = PLAN.event_index["view"], PLAN.event_index["dislike"]
    told = [
        ("a", view),
        ("b", view),
        ("c", dislike),
        ("a", view),
        *[(f"x{n}", view) for n in "123"],
    ]
    visitor.last = [Interaction(n, n, 0, event, item) for n, (item, event) in enumerate(told)]
    columns = Columns(PLAN)
    for item in "abc":
        columns.apply_item(item, item_row(1))
    got = view_of(columns, Moment(NOW), ["a"], visitor)
    ids = [None if code < 0 else columns.item_id(code) for code in got.last_codes]
    assert ids == [None, None, None, "a", "b"]
    assert got.together.shape == (1, 5)
    assert got.last_decayed.shape == (5, got.visitor_decayed.size)


@pytest.mark.parametrize(("start", "seen"), [(9, 4), (5, 7), (0, 12), (None, 4)])
def test_a_long_session_is_seen_whole(start: int | None, seen: int) -> None:
    """As many last items as the plan's window, and all of the session: of twelve items the
    session's, but never fewer than four."""
    plan = msgspec.structs.replace(PLAN, covisit_window=4)
    visitor = random_visitor(random.Random(1), plan)
    view = plan.event_index["view"]
    visitor.last = [Interaction(n, n, 0, view, f"i{n}") for n in range(12)]
    assert visitor.session is not None
    if start is None:
        visitor.session = None
    else:
        visitor.session.start = start
    assert last_items(visitor, plan) == [f"i{n}" for n in reversed(range(12 - seen, 12))]
