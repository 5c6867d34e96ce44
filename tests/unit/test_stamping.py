"""Stamping, and the signals that follow from what was stamped; duplicates."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from personalization.duplicates import DuplicateWindow
from personalization.events import Signal, Stamp, StampedEvent
from personalization.plan import StatePlan
from personalization.signals import signals_of
from personalization.stamping import stamp_items
from personalization.state.errors import FoldError
from personalization.state.rows import CatalogueRow, VisitorRow
from personalization.state.sessions import mark
from personalization.state.visitor import fold_visitor

NOON = 1_795_435_200_000
HOUR = 3_600_000

PLAN = StatePlan(
    events=("impression", "view", "dislike"),
    weights=(0.0, 1.0, -4.0),
    half_lives=(3_600_000,),
    categories=("category",),
    numbers=("price",),
    flags=("in_stock",),
    tags=("tags",),
    segments=("global", "category", "seller*category"),
    affinities=(),
    covisit_window=2,
)


def stamp(**attributes: Any) -> dict[str, Any]:
    row = CatalogueRow(0, NOON, NOON, "s1", attributes)
    [stamped] = stamp_items(["i1"], {"i1": row}.get, PLAN)
    assert (stamped.item, stamped.seller) == ("i1", "s1")
    return stamped.attributes


def test_items_are_stamped_once_in_order() -> None:
    """Repeats go; unknown and deleted items have neither seller nor attributes."""
    rows = {
        "a": CatalogueRow(0, NOON, NOON, "s1", {"category": "shoes"}),
        "gone": CatalogueRow(1, NOON, NOON, "s1", {"category": "shoes"}, deleted=True),
    }
    assert stamp_items(["b", "a", "b", "gone"], rows.get, PLAN) == [
        Stamp("b"),
        Stamp("a", "s1", {"category": "shoes"}),
        Stamp("gone"),
    ]


def test_only_declared_attributes_of_the_declared_type_are_stamped() -> None:
    """What is not declared, or is something else than declared, stays out of the event."""
    right = {"category": "shoes", "price": 5.0, "in_stock": True, "tags": ["red"]}
    assert stamp(**right, colour="red") == right
    assert stamp(category=1.0, price="5", in_stock=1.0, tags="red") == {}
    assert stamp(category=["x"], price=True, in_stock="yes", tags=[]) == {}
    for price in (-1.0, float("nan"), float("inf")):
        assert stamp(price=price) == {}
    assert stamp(price=0.0) == {"price": 0.0}


def test_long_values_and_many_tags_stay_out() -> None:
    """128 bytes are the most, counted as bytes; eight tags, without repeats, are enough."""
    assert stamp(category="x" * 128, tags=["é" * 64]) == {"category": "x" * 128, "tags": ["é" * 64]}
    assert stamp(category="x" * 129, tags=["é" * 64 + "x", "red", "red"]) == {"tags": ["red"]}
    assert stamp(tags=[f"t{n}" for n in range(20)]) == {"tags": [f"t{n}" for n in range(8)]}


SHOE = Stamp("shoe", "s1", {"category": "shoes"})
BOOT = Stamp("boot", "s1", {"category": "shoes"})
HAT = Stamp("hat", "s|2", {"category": "hats"})
PLAIN = Stamp("plain")


def event(kind: str, at: int, *items: Stamp, **more: Any) -> StampedEvent:
    return StampedEvent(kind, more.pop("visitor", "v1"), at, list(items), **more)


def visitor(*events: StampedEvent) -> VisitorRow | None:
    row: VisitorRow | None = None
    for offset, known in enumerate(events):
        row = fold_visitor(row, known, offset, PLAN)
    return row


def test_a_view_is_told_to_item_seller_and_segments() -> None:
    """Each once, with time and value; an unknown item has neither seller nor category."""
    signals = signals_of(None, event("view", NOON, HAT, value=2.5), 9, PLAN)
    keys = ("i:hat", "s:s|2", "g:global", "g:category:hats", "g:seller*category:s%7C2|hats")
    told = Signal(9, "view", NOON, dict.fromkeys(keys, 1), 2.5, session=mark(9, NOON) << 8 | 1)
    assert signals == [told]
    [signal] = signals_of(None, event("view", NOON, PLAIN), 9, PLAN)
    assert list(signal.counts) == ["i:plain", "g:global"]


def test_groups_hear_of_an_event_once() -> None:
    """Sellers and segments hear how many items fall to them, in one order."""
    [signal] = signals_of(None, event("impression", NOON, SHOE, HAT, BOOT), 9, PLAN)
    assert list(signal.counts.items()) == [
        ("i:shoe", 1),
        ("i:hat", 1),
        ("i:boot", 1),
        ("s:s1", 2),
        ("s:s|2", 1),
        ("g:global", 3),
        ("g:category:shoes", 2),
        ("g:category:hats", 1),
        ("g:seller*category:s1|shoes", 2),
        ("g:seller*category:s%7C2|hats", 1),
    ]


def test_items_hear_what_their_visitor_thought_of_others() -> None:
    """Of each other item what was thought last, newest first, with every event; nothing of what
    came later, and nothing at all unless the plan keeps it."""
    row = visitor(
        event("view", NOON, SHOE),
        event("view", NOON + 1, HAT),
        event("dislike", NOON + 2, BOOT),
        event("dislike", NOON + 3, SHOE),
        event("impression", NOON + 4, PLAIN),
    )

    def told(kind: str, at: int, *items: Stamp) -> list[tuple[str, ...]]:
        [signal] = signals_of(
            row, event(kind, at, *items), 99, replace(PLAN, opinions=9, covisit_window=3)
        )
        return [signal.opinions[f"i:{stamp.item}"] for stamp in items]

    assert told("impression", NOON + 9, PLAIN) == [("-shoe", "-boot", "+hat")]
    assert told("dislike", NOON + 9, HAT, PLAIN) == [("-shoe", "-boot"), ("-shoe", "-boot", "+hat")]
    assert told("view", NOON + 2, PLAIN) == [("-boot", "+hat", "+shoe")]
    signals = signals_of(row, event("view", NOON + 9, PLAIN), 99, PLAN)
    assert [signal.opinions for signal in signals] == [{}]


def test_items_hear_of_the_session_they_were_wanted_in() -> None:
    """One mark for all of a session, another for the next; how long it was by then; nothing with
    events that say nothing of interest. Whether rows keep it is for those who hear it."""
    row = visitor(event("impression", NOON, SHOE), event("view", NOON + 1, SHOE))
    [first] = signals_of(None, event("view", NOON, SHOE), 0, PLAN)
    [again] = signals_of(row, event("view", NOON + 2, HAT, BOOT), 99, PLAN)
    [later] = signals_of(row, event("view", NOON + 3 * HOUR, HAT), 99, PLAN)
    assert (first.session >> 8, first.session & 255) == (mark(0, NOON), 1)
    assert (again.session >> 8, again.session & 255) == (mark(0, NOON), 3)
    assert (later.session >> 8, later.session & 255) == (mark(99, NOON + 3 * HOUR), 1)
    for kind in ("impression", "dislike"):
        assert [s.session for s in signals_of(row, event(kind, NOON, HAT), 99, PLAN)] == [0]


def test_a_long_session_is_no_longer_than_its_byte() -> None:
    """From 255 events of interest on it is as long as that."""
    row = visitor(*[event("view", NOON + n, SHOE) for n in range(300)])
    [signal] = signals_of(row, event("view", NOON + 300, HAT), 999, PLAN)
    assert signal.session == mark(0, NOON) << 8 | 255


def previous(row: VisitorRow | None, told: StampedEvent) -> list[tuple[str, ...]]:
    [signal] = signals_of(row, told, 99, PLAN)
    return [signal.previous.get(f"i:{stamp.item}", ()) for stamp in told.items]


def test_interest_tells_which_items_led_here() -> None:
    """The newest distinct ones of interest before this, without this; none for an impression or
    a dislike."""
    row = visitor(
        event("view", NOON, SHOE),
        event("view", NOON + 1, HAT),
        event("view", NOON + 2, BOOT),
        event("view", NOON + 3, HAT),
        event("dislike", NOON + 4, PLAIN),
    )
    assert previous(row, event("view", NOON + 9, PLAIN)) == [("hat", "boot")]
    assert previous(row, event("view", NOON + 9, HAT)) == [("boot", "shoe")]
    assert previous(row, event("view", NOON + 1, PLAIN)) == [("hat", "shoe")]
    assert previous(row, event("impression", NOON + 9, PLAIN)) == [()]
    assert previous(row, event("dislike", NOON + 9, PLAIN)) == [()]
    assert previous(None, event("view", NOON, SHOE)) == [()]


def test_what_was_before_the_session_led_nowhere() -> None:
    """Neither after a gap, nor in a session with another name."""
    row = visitor(event("view", NOON, SHOE))
    late = NOON + PLAN.session_gap
    assert previous(row, event("view", late, HAT)) == [("shoe",)]
    assert previous(row, event("view", late + 1, HAT)) == [()]
    named = msgspec.structs.replace(event("view", NOON + 1, HAT), session="s")
    assert previous(row, named) == [()]
    row = visitor(event("view", NOON, SHOE), event("view", late + 1, HAT))
    assert previous(row, event("view", late + 2, BOOT)) == [("hat",)]


def test_items_of_one_event_lead_to_each_other() -> None:
    """In their order, as if they had come one after another."""
    row = visitor(event("view", NOON, SHOE))
    told = event("view", NOON + 1, HAT, SHOE, BOOT)
    assert previous(row, told) == [("shoe",), ("hat",), ("shoe", "hat")]


def links(row: VisitorRow | None, told: StampedEvent) -> list[tuple[str, str, str | None]]:
    signals = signals_of(row, told, 99, PLAN)
    return [(key, s.type, s.visitor) for s in signals for key in s.counts if key.startswith("u:")]


def test_links_are_told_to_the_users_they_concern() -> None:
    """A new link to its user, the end of the old one to the user it was."""
    linked = visitor(event("identify", NOON, user="u1"))
    assert links(None, event("identify", NOON, user="u1")) == [("u:u1", "identify", "v1")]
    assert links(linked, event("identify", NOON, user="u1")) == [("u:u1", "identify", "v1")]
    assert links(linked, event("identify", NOON, user="u2")) == [
        ("u:u1", "unlink", "v1"),
        ("u:u2", "identify", "v1"),
    ]
    assert links(linked, event("unlink", NOON)) == [("u:u1", "unlink", "v1")]
    assert links(None, event("unlink", NOON)) == []
    assert links(linked, event("view", NOON, SHOE, user="u1")) == []


def test_an_event_with_only_a_user_is_linked_once() -> None:
    """Its first event tells the user; being served does not."""
    told = event("view", NOON, SHOE, visitor="user:u1", user="u1")
    assert links(None, told) == [("u:u1", "identify", "user:u1")]
    assert links(visitor(told), told) == []
    assert signals_of(None, event("served", NOON, user="u1", visitor="user:u1"), 0, PLAN) == []


def test_unknown_events_mean_nothing_to_anyone() -> None:
    """They are refused, as by the visitor's row."""
    with pytest.raises(FoldError, match="unknown event type 'bought'"):
        signals_of(None, event("bought", NOON, SHOE), 0, PLAN)


def test_what_the_row_holds_is_told_already() -> None:
    """A record at or below the row's offset has no signals."""
    row = visitor(event("view", NOON, SHOE))
    assert signals_of(row, event("view", NOON, SHOE), 0, PLAN) == []


def test_a_retry_is_a_duplicate_within_the_window_only() -> None:
    """An id repeats an event up to ``span`` offsets before; the same record is not its own
    duplicate, and what has left the window can no longer be asked."""
    window = DuplicateWindow(span=3)
    assert window.end == -1
    assert [window.seen("a", offset) for offset in (0, 3, 3, 7, 8)] == [
        False,
        True,
        True,
        False,
        True,
    ]
    assert window.end == 8
    with pytest.raises(ValueError, match="offset 4 is more than 3 before 8"):
        window.seen("b", 4)


def test_the_window_forgets() -> None:
    """However long the stream, and whatever its gaps, it holds what is within the window."""
    window = DuplicateWindow(span=10)
    for offset in range(1_000):
        window.seen(f"id{offset % 600}", offset)
    for offset in range(2_000, 2_020):
        window.seen("again", offset)
    held = len(window._newest), len(window._duplicates)
    assert held[0] <= 11
    assert held[1] <= 11
