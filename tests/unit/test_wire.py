"""One event at a time: what is taken, and as what; what is refused, and why."""

from typing import Any

import msgspec
import pytest

from personalization.events import CatalogueRecord, Stamp, StampedEvent
from personalization.presets.marketplace import marketplace
from personalization.vectors import MAX_SIZE
from personalization.wire import (
    FieldError,
    Line,
    Rejected,
    accept,
    check_attributes,
    id_error,
    parse_at,
)
from tests.vector_spec import SPEC, direction

NOW = 1_795_428_000_123
PLAN = marketplace.plan


def stamp(item: str) -> Stamp:
    return Stamp(item, "s1", {"category": "shoes"})


def taken(**fields: Any) -> StampedEvent | CatalogueRecord:
    line = msgspec.convert(fields, Line)
    return accept(line, plan=PLAN, now=NOW, stamp=stamp)


def refused(**fields: Any) -> list[str]:
    """The fields that are wrong."""
    with pytest.raises(Rejected) as error:
        taken(**fields)
    return [wrong.field for wrong in error.value.errors]


def test_an_interaction_is_stamped_and_complete() -> None:
    """Everything that a client says of it is in the record, its items with their stamps."""
    event = taken(
        type="view",
        visitor="v1",
        item="i1",
        at=NOW - 5,
        id="e1",
        user="u1",
        session="s",
        decision="d",
        value=2,
        properties={"utc_offset": 60, "device": "phone", "nothing": None},
    )
    assert event == StampedEvent(
        "view",
        "v1",
        NOW - 5,
        [stamp("i1")],
        "e1",
        "u1",
        "s",
        "d",
        2.0,
        60,
        {"utc_offset": 60, "device": "phone"},
    )


def test_items_keep_their_order_without_repeats() -> None:
    """As they were displayed."""
    event = taken(type="impression", visitor="v1", items=["b", "a", "b"])
    assert isinstance(event, StampedEvent)
    assert [each.item for each in event.items] == ["b", "a"]


def test_a_user_alone_is_a_visitor_of_their_own() -> None:
    """Visitor ``user:<id>``, which no client may name itself."""
    event = taken(type="view", user="u1", item="i1")
    assert isinstance(event, StampedEvent)
    assert (event.visitor, event.user) == ("user:u1", "u1")
    assert refused(type="view", visitor="user:u1", item="i1") == ["visitor"]


def test_links() -> None:
    """``identify`` needs both, ``unlink`` the visitor; neither has items."""
    event = taken(type="identify", visitor="v1", user="u1")
    assert event == StampedEvent("identify", "v1", NOW, user="u1")
    assert taken(type="unlink", visitor="v1") == StampedEvent("unlink", "v1", NOW)
    assert refused(type="identify", visitor="v1") == ["user"]
    assert refused(type="identify", user="u1") == ["visitor"]
    assert refused(type="unlink", user="u1") == ["visitor"]
    assert refused(type="unlink", visitor="v1", item="i1") == ["item"]


@pytest.mark.parametrize("kind", ["item", "seller", "user"])
def test_attributes_and_deletes(kind: str) -> None:
    """One line for each kind of entity; only items have sellers."""
    put = taken(type=kind, **{kind: "x"}, at=NOW, attributes={"a": 1, "b": ["c"]})
    assert put == CatalogueRecord("put", kind, "x", NOW, None, {"a": 1.0, "b": ["c"]})
    assert taken(type="delete", **{kind: "x"}) == CatalogueRecord("delete", kind, "x", NOW)
    assert refused(type=kind) == [kind]
    assert refused(type=kind, **{kind: "x"}, visitor="v1") == ["visitor"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5.0, "is not a list of 8 numbers"),
        ("[1, 2]", "is not a list of 8 numbers"),
        ([1.0, 2.0], "has 2 numbers, and 8 are declared"),
        (direction(1.0, float("inf")), "has a number that is not finite at [1]"),
        (direction(float("nan")), "has a number that is not finite at [0]"),
        ([*direction()[1:], "1"], "has no number at [7]"),
    ],
    ids=repr,
)
def test_what_is_no_vector_is_refused(value: Any, reason: str) -> None:
    """The attribute is named, and what is wrong with it; sellers and users have no vectors."""
    line = Line("item", item="i1", attributes={"embedding": value})
    with pytest.raises(Rejected) as error:
        accept(line, plan=SPEC.plan, now=NOW, stamp=stamp)
    assert error.value.errors == [FieldError("attributes.embedding", reason)]
    told = {"type": "user", "user": "u1", "attributes": {"embedding": value}}
    assert accept(msgspec.convert(told, Line), plan=SPEC.plan, now=NOW, stamp=stamp)


def test_a_vector_is_a_list_of_numbers() -> None:
    """Whole ones too; zeros and ``None`` are nothing known. The largest takes 4 KiB at most."""
    sent = (
        b'{"type": "item", "item": "i1", "attributes": {"embedding": [1, -2.5, 0, 0, 0, 0, 0, 3]}}'
    )
    record = accept(msgspec.json.decode(sent, type=Line), plan=SPEC.plan, now=NOW, stamp=stamp)
    assert isinstance(record, CatalogueRecord)
    assert record.attributes == {"embedding": [1.0, -2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]}
    for nothing in (direction(), None):
        line = Line("item", item="i1", attributes={"embedding": nothing})
        assert accept(line, plan=SPEC.plan, now=NOW, stamp=stamp)
    assert not refused_of({"embedding": [*map(float, range(MAX_SIZE))], "brand": "b" * 128})
    assert refused_of({"embedding": [0.5] * 500}) == ["attributes"]


def refused_of(attributes: dict[str, Any]) -> list[str]:
    errors: list[FieldError] = []
    check_attributes("item", attributes, PLAN, errors)
    return [error.field for error in errors]


def test_an_item_has_a_seller() -> None:
    """Kept in the record; a delete names one thing only."""
    put = taken(type="item", item="i1", seller="s1")
    assert put == CatalogueRecord("put", "item", "i1", NOW, "s1", {})
    assert refused(type="delete", item="i1", seller="s1") == ["item"]
    assert refused(type="delete") == ["item"]
    assert refused(type="seller", seller="s1", item="i1") == ["item"]
    assert refused(type="item", item="i1", value=0, visitor="") == ["visitor", "value"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Every field, not only the first."""
    wrong = refused(type="view", visitor="", at="x", id="", properties={"utc_offset": True})
    assert wrong == ["at", "visitor", "id", "item", "properties.utc_offset"]


def test_nothing_is_stamped_of_what_is_refused() -> None:
    """The catalogue is asked only for events that are taken."""

    def never(item: str) -> Stamp:
        raise AssertionError(item)

    with pytest.raises(Rejected):
        accept(Line("view", item="i1"), plan=PLAN, now=NOW, stamp=never)


@pytest.mark.parametrize(
    ("at", "ms"),
    [
        (None, NOW),
        (NOW - 1, NOW - 1),
        ("2026-11-23T10:00:00.123Z", 1_795_428_000_123),
        ("2026-11-23T11:00:00.123+01:00", 1_795_428_000_123),
        ("2026-11-23T10:00:00Z", 1_795_428_000_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        (NOW + 300_000, NOW + 300_000),
    ],
)
def test_times(at: int | str | None, ms: int) -> None:
    """RFC 3339 or ms; the receipt where there is none."""
    assert parse_at(at, NOW) == ms


@pytest.mark.parametrize(
    "at",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T10:00:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        946_684_799_999,
        1_795_428_000,
        NOW + 300_001,
        -(10**30),
    ],
)
def test_times_that_cannot_be(at: int | str) -> None:
    """No time zone, before 2000, seconds for ms, more than five minutes ahead."""
    with pytest.raises(ValueError, match=r"is|has"):
        parse_at(at, NOW)


def test_ids() -> None:
    """1 to 128 bytes of UTF-8 without control characters."""
    for good in ("a", "é" * 64, "x" * 128, "a b/c?d", "日本", "a\u00a0b", "user"):
        assert id_error(good) is None
    for bad in ("", "x" * 129, "é" * 65, "a\x00", "a\n", "\x7f", "\x85", "\ud800"):
        assert id_error(bad) is not None
