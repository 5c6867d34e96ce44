"""The rows of items, sellers, segments, users and the catalogue; bounded maps."""

from typing import Any

import pytest
from msgspec.structs import replace

from personalization.events import Attribute, CatalogueRecord, Signal
from personalization.plan import StatePlan
from personalization.state import topk
from personalization.state.catalogue import fold_catalogue
from personalization.state.counters import Counted
from personalization.state.errors import FoldError
from personalization.state.item import fold_item
from personalization.state.rows import CatalogueRow, Link, TopK
from personalization.state.segment import fold_segment
from personalization.state.seller import fold_seller
from personalization.state.user import fold_user

HOUR, DAY = 3_600_000, 86_400_000
NOON = 1_795_435_200_000

PLAN = StatePlan(
    events=("impression", "view", "dislike"),
    weights=(0.0, 2.0, -4.0),
    half_lives=(HOUR, DAY),
    categories=(),
    numbers=(),
    flags=(),
    tags=(),
    segments=("global",),
    affinities=(),
    covisits=2,
    covisit_half_life=DAY,
    linked_visitors=2,
)


def left(row: Counted, at: int) -> Any:
    """Of the row's counters at ``at``, by event and half-life."""
    factors = [2.0 ** ((row.at - at) / half_life) for half_life in PLAN.half_lives]
    return pytest.approx([c * f for c, f in zip(row.counters, factors * 3, strict=True)])


def test_an_item_counts_its_signals() -> None:
    """Counts, counters, the first moment and the offset follow; a late signal decays. Counters
    are as of the start of the newest signal's span of 16 hours."""
    row = fold_item(None, "i:a", Signal(3, "view", NOON + DAY, {"i:a": 1}), 7, PLAN)
    row = fold_item(row, "i:a", Signal(4, "impression", NOON, {"i:a": 1}), 8, PLAN)
    assert (row.offset, row.at, row.first_at) == (8, NOON + DAY - 4 * HOUR, NOON)
    assert row.counts == [1, 1, 0]
    assert left(row, NOON + DAY) == [2.0**-24, 0.5, 1.0, 1.0, 0.0, 0.0]


def came_from(kind: str, at: int, *previous: str) -> Signal:
    return Signal(0, kind, at, {"i:a": 1}, previous={"i:a": previous})


def test_interest_says_where_visitors_came_from() -> None:
    """Previous items are co-visited with the weight of a view, never of an impression or a
    dislike; the lightest but the newcomer goes when there are too many."""
    row = fold_item(None, "i:a", came_from("view", NOON, "b", "c"), 0, PLAN)
    row = fold_item(row, "i:a", came_from("dislike", NOON, "d"), 1, PLAN)
    row = fold_item(row, "i:a", came_from("impression", NOON, "e"), 2, PLAN)
    assert row.covisited == TopK(NOON, 0.0, {"b": (2.0, 1), "c": (2.0, 1)})
    row = fold_item(row, "i:a", came_from("view", NOON + DAY, "c", "f"), 3, PLAN)
    assert row.covisited == TopK(NOON, 2.0, {"c": (6.0, 2), "f": (4.0, 1)})


def test_an_item_counts_its_events_by_what_visitors_thought_of_others() -> None:
    """Every event counts for each opinion its visitor held; where there are too many, the one
    with the fewest events goes, but not the newcomer."""
    plan = replace(PLAN, opinions=3)

    def thought(kind: str, *opinions: str) -> Signal:
        return Signal(0, kind, NOON, {"i:a": 1}, opinions={"i:a": opinions})

    row = fold_item(None, "i:a", thought("impression", "+b", "-c"), 0, plan)
    row = fold_item(row, "i:a", thought("view", "+b"), 1, plan)
    row = fold_item(row, "i:a", thought("impression"), 2, plan)
    assert row.opinions == {"+b": [1, 1, 0], "-c": [1, 0, 0]}
    row = fold_item(row, "i:a", thought("dislike", "-b", "+d"), 3, plan)
    assert row.opinions == {"+b": [1, 1, 0], "-b": [0, 0, 1], "+d": [0, 0, 1]}


def test_an_item_keeps_the_last_sessions_it_was_wanted_in() -> None:
    """Each once, as it was when the item came into it; the oldest goes when there are too many."""
    plan = replace(PLAN, sessions=3)
    row = None
    for offset, (mark, length) in enumerate([(7, 1), (1, 2), (7, 9), (0x010000, 1), (5, 4)]):
        wanted = Signal(0, "view", NOON, {"i:a": 1}, session=mark << 8 | length)
        row = fold_item(row, "i:a", wanted, offset, plan)
    assert row is not None
    kept = [int.from_bytes(row.sessions[n : n + 4], "little") for n in range(0, 12, 4)]
    assert [(told >> 8, told & 255) for told in kept] == [(1, 2), (0x010000, 1), (5, 4)]
    assert len(row.sessions) == 12
    wanted = Signal(0, "view", NOON, {"i:a": 1}, session=7 << 8 | 1)
    assert fold_item(None, "i:a", wanted, 0, PLAN).sessions == b""


def test_sellers_and_segments_count_all_items_of_an_event() -> None:
    """One signal brings the number of items that fall to them."""
    seller = fold_seller(None, "s:s1", Signal(0, "view", NOON, {"s:s1": 3}), 0, PLAN)
    seller = fold_seller(seller, "s:s1", Signal(1, "view", NOON + DAY, {"s:s1": 1}), 1, PLAN)
    segment = fold_segment(None, "g:global", Signal(0, "view", NOON, {"g:global": 3}), 0, PLAN)
    later = Signal(1, "view", NOON + DAY, {"g:global": 1})
    segment = fold_segment(segment, "g:global", later, 1, PLAN)
    for row in (seller, segment):
        assert row.counts == [0, 4, 0]
        assert left(row, NOON + DAY) == [0.0, 0.0, 1 + 3 * 2.0**-24, 2.5, 0.0, 0.0]
        assert (row.offset, row.at, row.first_at) == (1, NOON + DAY - 4 * HOUR, NOON)


def test_signals_of_unknown_events_are_refused() -> None:
    """Nothing of them is counted."""
    row = fold_item(None, "i:a", Signal(0, "view", NOON, {"i:a": 1}), 0, PLAN)
    with pytest.raises(FoldError, match="unknown signal type 'bought'"):
        fold_item(row, "i:a", Signal(1, "bought", NOON, {"i:a": 1}), 1, PLAN)
    assert (row.offset, row.counts) == (0, [0, 1, 0])


def link(visitor: str, at: int, kind: str = "identify") -> Signal:
    return Signal(0, kind, at, {"u:u1": 1}, visitor=visitor)


def test_a_user_has_its_newest_visitors_once_each() -> None:
    """Identifying again makes a link newer, never older; the oldest makes room."""
    row = fold_user(None, link("a", 10), 0, PLAN)
    row = fold_user(row, link("b", 20), 1, PLAN)
    row = fold_user(row, link("a", 30), 2, PLAN)
    row = fold_user(row, link("a", 5), 3, PLAN)
    assert row.visitors == [Link("b", 20), Link("a", 30)]
    row = fold_user(row, link("c", 40), 4, PLAN)
    assert row.visitors == [Link("a", 30), Link("c", 40)]
    assert row.offset == 4


def test_unlinking_removes_a_visitor() -> None:
    """And does nothing for one that is not linked, or for a user never heard of."""
    row = fold_user(None, link("a", 10), 0, PLAN)
    row = fold_user(row, link("b", 20), 1, PLAN)
    row = fold_user(row, link("b", 30, "unlink"), 2, PLAN)
    row = fold_user(row, link("x", 30, "unlink"), 3, PLAN)
    assert (row.visitors, row.offset) == ([Link("a", 10)], 3)
    assert fold_user(None, link("a", 10, "unlink"), 0, PLAN).visitors == []


@pytest.mark.parametrize("wrong", [link("a", 10, "view"), Signal(0, "identify", 10, {"u:u1": 1})])
def test_what_is_not_a_link_is_refused(wrong: Signal) -> None:
    """A user's row takes links only, and each names a visitor."""
    with pytest.raises(FoldError, match="does not link"):
        fold_user(None, wrong, 0, PLAN)


def told(op: str, at: int, seller: str | None = None, **attributes: Attribute) -> CatalogueRecord:
    return CatalogueRecord(op, "item", "i1", at, seller, attributes)


def test_put_replaces_and_patch_changes_what_it_names() -> None:
    """Attributes are kept in the order of their names; ``None`` removes, or is not kept."""
    first = fold_catalogue(None, told("put", 10, "s1", price=1.0, brand="acme", colour=None), 0)
    assert first == CatalogueRow(0, 10, 10, "s1", {"brand": "acme", "price": 1.0})
    assert list(first.attributes) == ["brand", "price"]
    patched = fold_catalogue(first, told("patch", 20, in_stock=False, price=None), 1)
    assert patched == CatalogueRow(1, 10, 20, "s1", {"brand": "acme", "in_stock": False})
    moved = fold_catalogue(patched, told("patch", 30, "s2"), 2)
    assert (moved.seller, moved.attributes) == ("s2", patched.attributes)
    replaced = fold_catalogue(moved, told("put", 40, price=2.0), 3)
    assert replaced == CatalogueRow(3, 10, 40, None, {"price": 2.0})
    assert first.attributes == {"brand": "acme", "price": 1.0}


def test_a_patch_may_come_first() -> None:
    """It creates what was not known."""
    row = fold_catalogue(None, told("patch", 10, "s1", price=1.0), 0)
    assert row == CatalogueRow(0, 10, 10, "s1", {"price": 1.0})


@pytest.mark.parametrize("op", ["put", "patch"])
def test_life_after_deletion_is_new(op: str) -> None:
    """Nothing of the first life is left, not even its beginning."""
    row = fold_catalogue(None, told("put", 10, "s1", price=1.0), 0)
    row = fold_catalogue(row, told("delete", 20), 1)
    assert row == CatalogueRow(1, 10, 20, None, {}, deleted=True)
    row = fold_catalogue(row, told("delete", 25), 2)
    assert (row.created_at, row.deleted) == (10, True)
    row = fold_catalogue(row, told(op, 30, brand="acme"), 3)
    assert row == CatalogueRow(3, 30, 30, None, {"brand": "acme"})


def test_deleting_the_unknown_is_remembered() -> None:
    """So that the row knows which record it has seen."""
    assert fold_catalogue(None, told("delete", 20), 5) == CatalogueRow(
        5, 20, 20, None, {}, deleted=True
    )


def test_catalogue_records_that_cannot_be_are_refused() -> None:
    """An unknown op; patches that would add up to more than the bound."""
    with pytest.raises(FoldError, match="unknown catalogue op 'set'"):
        fold_catalogue(None, told("set", 10), 0)
    row = fold_catalogue(None, told("put", 10, a="x" * 3_000), 0)
    with pytest.raises(FoldError, match="'i1': attributes over 4096 bytes"):
        fold_catalogue(row, told("patch", 20, b="x" * 3_000), 1)
    assert fold_catalogue(row, told("patch", 20, a=None, b="x" * 3_000), 1).updated_at == 20


def test_what_is_lost_decays_like_what_is_kept() -> None:
    """What comes a half-life later weighs twice; 17 later all is decayed to then."""
    kept = TopK()
    for key in ("a", "b", "c"):
        topk.add(kept, key, 1.0, 0, 500, 2)
    assert kept == TopK(0, 1.0, {"b": (1.0, 1), "c": (1.0, 1)})
    topk.add(kept, "c", 1.0, 500, 500, 2)
    assert kept == TopK(0, 1.0, {"b": (1.0, 1), "c": (3.0, 2)})
    topk.add(kept, "c", 1.0, 17 * 500, 500, 2)
    left = 2.0**-17
    assert kept == TopK(8_500, left, {"b": (left, 1), "c": (1.0 + 3.0 * left, 3)})


def test_a_dislike_is_heavy() -> None:
    """The lightest entry is the one nearest to 0, in a map and in a merge of maps."""
    kept = TopK()
    for key, weight in (("a", -4.0), ("b", 1.0), ("c", 2.0)):
        topk.add(kept, key, weight, 0, 500, 2)
    assert kept == TopK(0, 1.0, {"a": (-4.0, 1), "c": (2.0, 1)})
    merged = topk.merge([kept, TopK(500, 0.0, {"d": (0.25, 1)})], 500, 2)
    assert merged == TopK(500, 0.75, {"a": (-2.0, 1), "c": (1.0, 1)})


def test_weights_decay_to_now_and_never_grow() -> None:
    """Read before its own time, a map gives its weights as they are."""
    kept = TopK(1_000, 0.0, {"a": (2.0, 1)})
    assert topk.weights_at(kept, 1_500, 500) == {"a": 1.0}
    assert topk.weights_at(kept, 900, 500) == {"a": 2.0}
