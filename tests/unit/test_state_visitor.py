"""A visitor's row: what one event does to it, and what linked rows are together."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from personalization.events import Stamp, StampedEvent
from personalization.plan import AffinityPlan, ShownPlan, StatePlan
from personalization.state.errors import FoldError
from personalization.state.rows import VisitorRow
from personalization.state.topk import weights_at
from personalization.state.visitor import fold_visitor
from personalization.state.visitors import merge_visitors

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_795_435_200_000

PLAN = StatePlan(
    events=("impression", "view", "dislike"),
    weights=(0.0, 1.0, -4.0),
    half_lives=(HOUR, DAY),
    categories=("category",),
    numbers=("price",),
    flags=(),
    tags=("tags",),
    segments=("global",),
    affinities=(
        AffinityPlan("category", False, DAY, 4),
        AffinityPlan("seller", False, DAY, 4),
        AffinityPlan("tags", False, DAY, 4),
        AffinityPlan("category", True, DAY, 4),
    ),
    shown=(ShownPlan("impression", "category"), ShownPlan("impression", "tags")),
    last_items=3,
    session_size=2,
    shown_size=2,
)
SHOE = Stamp("shoe", "s1", {"category": "shoes", "price": 9.0, "tags": ["red", "new"]})
HAT = Stamp("hat", None, {"category": "hats"})
PLAIN = Stamp("plain")


def event(kind: str, at: int, *items: Stamp, **more: Any) -> StampedEvent:
    return StampedEvent(kind, more.pop("visitor", "v1"), at, list(items), **more)


def fold(events: Sequence[StampedEvent], row: VisitorRow | None = None) -> VisitorRow:
    for offset, told in enumerate(events, 0 if row is None else row.offset + 1):
        row = fold_visitor(row, told, offset, PLAN)
    assert row is not None
    return row


def left(row: VisitorRow, at: int) -> Any:
    """Of the row's counters at ``at``, by event and half-life."""
    factors = [2.0 ** ((row.at - at) / half_life) for half_life in PLAN.half_lives]
    return pytest.approx([c * f for c, f in zip(row.counters, factors * 3, strict=True)])


def test_an_event_counts_once_for_each_of_its_items() -> None:
    """Counters and counts move by the number of items, by 1 where there are none."""
    row = fold([event("impression", NOON, SHOE, HAT), event("view", NOON)])
    assert row.counts == [2, 1, 0]
    assert left(row, NOON) == [2.0, 2.0, 1.0, 1.0, 0.0, 0.0]
    assert (row.offset, row.at, row.first_at, row.last_at) == (1, NOON - 12 * HOUR, NOON, NOON)


def test_counters_decay_by_each_half_life() -> None:
    """A day later a half is left of the day's counter, and 2**-24 of the hour's."""
    row = fold([event("view", NOON, SHOE), event("impression", NOON + DAY, HAT)])
    assert left(row, NOON + DAY) == [1.0, 1.0, 2.0**-24, 0.5, 0.0, 0.0]
    assert row.counts == [1, 1, 0]


def test_only_interest_shapes_affinities_and_last_items() -> None:
    """An event of weight 0 is counted, and leaves no trace in what the visitor likes."""
    row = fold([event("impression", NOON, SHOE)])
    assert all(not kept.entries for kept in row.affinities)
    assert row.last == []
    assert row.numbers == [(0.0, 0.0)]


def test_affinities_follow_category_seller_tags_and_part_of_day() -> None:
    """A view adds its weight in every dimension it has a value in, a dislike takes away."""
    row = fold([event("view", NOON, SHOE, HAT), event("dislike", NOON, HAT, utc_offset=7 * 60)])
    category, seller, tags, by_daypart = (kept.entries for kept in row.affinities)
    assert category == {"shoes": (1.0, 1), "hats": (-3.0, 2)}
    assert seller == {"s1": (1.0, 1)}
    assert tags == {"red": (1.0, 1), "new": (1.0, 1)}
    assert by_daypart == {"2|shoes": (1.0, 1), "2|hats": (1.0, 1), "3|hats": (-4.0, 1)}


def test_a_late_event_weighs_what_would_be_left_of_it() -> None:
    """An event a day late adds half its weight to maps and sums with a day's half-life."""
    row = fold([event("view", NOON + DAY, HAT), event("view", NOON, SHOE)])
    assert row.affinities[0].entries == {"hats": (1.0, 1), "shoes": (0.5, 1)}
    assert weights_at(row.affinities[0], NOON + 2 * DAY, DAY) == {"hats": 0.5, "shoes": 0.25}
    assert (row.first_at, row.last_at, row.at) == (NOON, NOON + DAY, NOON + DAY - 4 * HOUR)
    weight = 2 ** (-20 * HOUR / PLAN.number_half_life)
    assert row.numbers[0] == pytest.approx((weight, weight * math.log1p(9.0)))


def test_numbers_keep_the_mean_of_what_was_liked() -> None:
    """The sums give the weighted mean of log1p(price), also after decay; dislikes and items
    without a price add nothing."""
    row = fold(
        [
            event("view", NOON, SHOE),
            event("dislike", NOON, Stamp("x", None, {"price": 1e6})),
            event("view", NOON + 30 * DAY, HAT),
        ]
    )
    weight = 2 ** ((row.at - NOON) / -PLAN.number_half_life)
    assert row.numbers[0] == pytest.approx((weight, weight * math.log1p(9.0)))


def test_the_newest_items_by_time_stay() -> None:
    """The last items are the newest by event time, whatever order they came in."""
    row = fold([event("view", NOON + n * MINUTE, Stamp(f"i{n}")) for n in (5, 1, 4, 2, 3)])
    assert [(i.item, i.offset) for i in row.last] == [("i3", 4), ("i4", 2), ("i5", 0)]
    row = fold([event("dislike", NOON + DAY, *(Stamp(f"j{n}") for n in range(5)))], row)
    assert [(i.item, i.index, i.event) for i in row.last] == [
        ("j2", 2, 2),
        ("j3", 3, 2),
        ("j4", 4, 2),
    ]


def test_a_pause_opens_a_session() -> None:
    """Half an hour of silence is within a session, a millisecond more begins the next."""
    row = fold([event("view", NOON, SHOE), event("view", NOON + 30 * MINUTE, HAT)])
    assert row.session is not None
    assert (row.session.number, row.session.counts) == (1, [0, 2, 0])
    assert row.session.affinities == [
        {"shoes": 1.0, "hats": 1.0},
        {"s1": 1.0},
        {"red": 1.0, "new": 1.0},
    ]
    row = fold([event("view", NOON + 60 * MINUTE + 1, HAT)], row)
    assert row.session is not None
    assert (row.session.number, row.session.start) == (2, NOON + 60 * MINUTE + 1)
    assert row.session.counts == [0, 1, 0]
    assert row.session.affinities == [{"hats": 1.0}, {}, {}]


def test_a_session_counts_what_it_was_shown() -> None:
    """By value, each item of a page once, the values shown most; views are none of it, and the
    next session begins with nothing."""
    scarf = Stamp("scarf", None, {"category": "scarves"})
    pages = [event("impression", NOON, SHOE, HAT, SHOE), event("view", NOON, HAT)]
    row = fold([*pages, event("impression", NOON + MINUTE, scarf)])
    assert row.session is not None
    assert row.session.shown == [{"shoes": 2.0, "scarves": 1.0}, {"red": 2.0, "new": 2.0}]
    row = fold([event("impression", NOON + DAY, HAT)], row)
    assert row.session is not None
    assert row.session.shown == [{"hats": 1.0}, {}]


def test_a_given_session_decides_alone() -> None:
    """A named session ends with another name, not with a pause; an event without a name goes
    by the pause."""
    row = fold([event("view", NOON, SHOE, session="a"), event("view", NOON + DAY, session="a")])
    assert row.session is not None
    assert (row.session.id, row.session.number, row.session.last) == ("a", 1, NOON + DAY)
    row = fold([event("view", NOON + DAY + 1)], row)
    assert row.session is not None
    assert row.session.number == 1
    row = fold([event("view", NOON + DAY + 2, session="b")], row)
    assert row.session is not None
    assert (row.session.id, row.session.number) == ("b", 2)


def test_a_late_event_neither_opens_nor_closes_a_session() -> None:
    """It counts in the session that is open, whatever session it names."""
    row = fold([event("view", NOON, session="a"), event("view", NOON - DAY, session="z")])
    assert row.session is not None
    assert (row.session.id, row.session.last, row.session.counts) == ("a", NOON, [0, 2, 0])


def test_a_session_keeps_its_heaviest_and_its_newest() -> None:
    """In a full session the lightest value makes room for a new one; a dislike is not light."""
    stamps = [Stamp(n, None, {"category": n}) for n in ("a", "b", "c", "d")]
    a, b, c, d = stamps
    row = fold([event("view", NOON, a, b), event("view", NOON, b), event("view", NOON, c)])
    assert row.session is not None
    assert row.session.affinities[0] == {"b": 2.0, "c": 1.0}
    row = fold([event("dislike", NOON, d), event("view", NOON, a)], row)
    assert row.session is not None
    assert row.session.affinities[0] == {"d": -4.0, "a": 1.0}


def test_an_old_record_changes_nothing() -> None:
    """A record at or below the row's offset returns the row as it is."""
    row = fold_visitor(None, event("view", NOON, SHOE), 7, PLAN)
    for offset in (6, 7):
        assert fold_visitor(row, event("view", NOON, SHOE), offset, PLAN) is row
    assert row.counts == [0, 1, 0]


def test_long_ids_leave_room_for_fewer_interactions() -> None:
    """Eight with ids of up to 4 bytes, as many fewer as one is longer, but never fewer than led
    to the next item; with it gone, there is room again."""
    plan = msgspec.structs.replace(PLAN, last_items=8, last_id_bytes=4, covisit_window=3)
    row = None
    kept = []
    for offset in range(24):
        item = {8: "x" * 8, 12: "é" * 60}.get(offset, f"{offset:04}")
        row = fold_visitor(row, event("view", NOON + offset, Stamp(item)), offset, plan)
        assert row.last[-1].item == item
        kept.append(len(row.last))
    assert kept[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert kept[8:12] == [4, 4, 4, 4]
    assert kept[12:16] == [3, 3, 3, 3]
    assert kept[16:] == [4, 5, 6, 7, 8, 8, 8, 8]


def test_being_served_is_not_an_interaction() -> None:
    """It moves the offset and nothing else: who was only served was never seen."""
    row = fold([event("served", NOON, SHOE, user="u1", visitor="user:u1")])
    assert (row.offset, row.at, row.first_at, row.last_at) == (0, 0, 0, 0)
    assert (row.counts, row.session, row.user, row.last) == ([0, 0, 0], None, None, [])


def test_identify_links_replaces_and_unlink_clears() -> None:
    """A visitor has one user at a time; interactions do not change who it is."""
    row = fold([event("identify", NOON, user="u1")])
    assert (row.user, row.counts) == ("u1", [0, 0, 0])
    assert fold([event("view", NOON, SHOE, user="u9")], row).user == "u1"
    assert fold([event("identify", NOON, user="u2")], row).user == "u2"
    assert fold([event("unlink", NOON)], row).user is None


def test_an_event_with_only_a_user_links_itself() -> None:
    """The visitor ``user:<id>`` is that user's from its first event on."""
    row = fold([event("view", NOON, SHOE, visitor="user:u1", user="u1")])
    assert row.user == "u1"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (event("bought", NOON, SHOE), "unknown event type 'bought'"),
        (event("identify", NOON), "identify without a user"),
    ],
)
def test_what_no_row_can_take_is_refused(wrong: StampedEvent, why: str) -> None:
    """The refusal says why, and leaves the row as it was."""
    row = fold([event("view", NOON, SHOE)])
    with pytest.raises(FoldError, match=why):
        fold_visitor(row, wrong, 1, PLAN)
    assert (row.offset, row.user, row.counts) == (0, None, [0, 1, 0])


def test_a_plan_may_know_nothing_of_items() -> None:
    """Without numbers and affinities events are counted, and the last items kept."""
    plan = msgspec.structs.replace(PLAN, numbers=(), affinities=())
    row = fold_visitor(None, event("view", NOON, SHOE), 0, plan)
    assert (row.counts, row.numbers, row.affinities) == ([0, 1, 0], [], [])
    assert [i.item for i in row.last] == ["shoe"]
    assert merge_visitors([(0, row), (1, row)], plan).counts == [0, 2, 0]


def test_linked_rows_are_one_when_read() -> None:
    """Counters meet at the later time; the newest items, the session that was last active and
    the first and last moments are kept; the user stays where all agree."""
    phone = fold([event("identify", NOON, user="u1"), event("view", NOON, SHOE, HAT)])
    desk = fold([event("identify", NOON, user="u1"), event("view", NOON + DAY, SHOE, PLAIN)])
    merged = merge_visitors([(3, phone), (5, desk)], PLAN)
    assert merged.counts == [0, 4, 0]
    assert left(merged, NOON + DAY) == [0.0, 0.0, 2 + 2 * 2.0**-24, 3.0, 0.0, 0.0]
    assert (merged.at, merged.first_at, merged.last_at) == (desk.at, NOON, NOON + DAY)
    assert merged.affinities[0].entries == {"hats": (0.5, 1), "shoes": (1.5, 2)}
    assert [i.item for i in merged.last] == ["hat", "shoe", "plain"]
    assert merged.session == desk.session
    assert (merged.offset, merged.user, merged.deleted) == (1, "u1", False)


def test_rows_without_interactions_add_nothing() -> None:
    """A visitor who was only served does not make the merged one older, and differing users
    are none."""
    seen = fold([event("identify", NOON, user="u1"), event("view", NOON, SHOE)])
    served = fold([event("served", NOON)])
    merged = merge_visitors([(0, seen), (1, served)], PLAN)
    assert (merged.at, merged.first_at, merged.counters) == (seen.at, NOON, seen.counters)
    assert merged.user is None
    assert merged.session == seen.session
    nobody = merge_visitors([(0, served), (1, fold([event("served", NOON)]))], PLAN)
    assert (nobody.first_at, nobody.session) == (0, None)


def test_a_single_row_is_its_own_merge() -> None:
    """Nothing is computed where there is nothing to merge."""
    row = fold([event("view", NOON, SHOE)])
    assert merge_visitors([(2, row)], PLAN) is row
