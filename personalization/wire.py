"""The wire format: one event, over HTTP or as one line of a file, checked and made a record."""

import re
from collections.abc import Callable
from datetime import datetime

import msgspec

from personalization.events import (
    IDENTIFY,
    UNLINK,
    Attribute,
    CatalogueRecord,
    Scalar,
    Stamp,
    StampedEvent,
)
from personalization.plan import MAX_ATTRIBUTES_BYTES, MAX_ID_BYTES, StatePlan
from personalization.state.keys import USER_VISITOR
from personalization.vectors import vector_error

MAX_FUTURE_MS = 5 * 60_000
EARLIEST_MS = 946_684_800_000  # 2000-01-01: earlier is a wrong clock or a wrong unit
MAX_ITEMS = 500
KINDS = ("item", "seller", "user")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One event as clients write it. ``at`` is RFC 3339 or ms; the rest is as its name says."""

    type: str
    visitor: str | None = None
    user: str | None = None
    item: str | None = None
    items: list[str] | None = None
    seller: str | None = None
    at: int | str | None = None
    id: str | None = None
    session: str | None = None
    decision: str | None = None
    value: float | None = None
    properties: dict[str, Scalar | None] = {}
    attributes: dict[str, Attribute] = {}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field."""

    field: str
    reason: str


class Rejected(ValueError):
    """An event that is not taken; ``errors`` name every field that is wrong."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.reason}" for error in errors))


def accept(
    line: Line, *, plan: StatePlan, now: int, stamp: Callable[[str], Stamp]
) -> StampedEvent | CatalogueRecord:
    """The record for ``line``, received at ``now`` (ms), its items stamped by ``stamp``.

    Raises ``Rejected``. Nothing is stamped unless all fields are right.
    """
    kind = line.type
    if kind in plan.event_index or kind in (IDENTIFY, UNLINK):
        return _visitor_event(line, now, stamp)
    if kind in KINDS or kind == "delete":
        return _catalogue_record(line, now, plan)
    known = ", ".join((*plan.events, IDENTIFY, UNLINK, *KINDS, "delete"))
    raise Rejected([FieldError("type", f"{kind[:40]!r} is none of {known}")])


def id_error(value: str) -> str | None:
    """Why ``value`` cannot be an id, or ``None``."""
    if not value:
        return "is empty"
    if len(value.encode("utf-8", "replace")) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES} bytes"
    if not value.isprintable() and _CONTROL.search(value):
        return "has control characters"
    return None


def parse_at(at: int | str | None, now: int) -> int:
    """``at`` in ms; ``now`` where it is absent. Raises ``ValueError`` that says why not."""
    if at is None:
        return now
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            raise ValueError("is neither RFC 3339 nor milliseconds") from None
        if moment.tzinfo is None:
            raise ValueError("has no time zone: end it with Z or an offset")
        try:
            at = round(moment.timestamp() * 1000)
        except (OverflowError, ValueError):
            raise ValueError("is out of range") from None
    if at < EARLIEST_MS:
        raise ValueError("is before 2000: milliseconds since 1970 are expected")
    if at > now + MAX_FUTURE_MS:
        raise ValueError("is more than 5 minutes in the future")
    return at


LISTED_AS_USER = f"may not start with {USER_VISITOR!r}: list the user instead"


class _Check:
    """Collects what is wrong with a line."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, field: str, reason: str) -> None:
        self.errors.append(FieldError(field, reason))

    def id(self, field: str, value: str | None) -> None:
        if value is not None:
            reason = id_error(value)
            if reason is not None:
                self.add(field, reason)

    def at(self, line: Line, now: int) -> int:
        try:
            return parse_at(line.at, now)
        except ValueError as error:
            self.add("at", str(error))
            return now

    def absent(self, line: Line, *fields: str) -> None:
        for field in fields:
            if getattr(line, field) not in (None, {}):
                self.add(field, f"does not belong to {line.type!r}")

    def done(self) -> None:
        if self.errors:
            raise Rejected(self.errors)


def _visitor_event(line: Line, now: int, stamp: Callable[[str], Stamp]) -> StampedEvent:
    check = _Check()
    at = check.at(line, now)
    check.id("visitor", line.visitor)
    check.id("user", line.user)
    check.id("id", line.id)
    check.id("session", line.session)
    check.id("decision", line.decision)
    visitor = line.visitor
    if visitor is None:
        if line.type in (IDENTIFY, UNLINK):
            check.add("visitor", f"is required for {line.type!r}")
        elif line.user is None:
            check.add("visitor", "is required, or user")
        else:
            visitor = USER_VISITOR + line.user
            check.id("user", visitor)
    elif visitor.startswith(USER_VISITOR):
        check.add("visitor", f"may not start with {USER_VISITOR!r}: give user instead")
    check.absent(line, "seller", "attributes")
    items = _items(line, check)
    if line.type in (IDENTIFY, UNLINK):
        check.absent(line, "item", "items")
        if line.type == IDENTIFY and line.user is None:
            check.add("user", "is required for 'identify'")
    elif not items:
        check.add("item", "is required, or items")
    properties, utc_offset = _properties(line, check)
    check.done()
    assert visitor is not None
    return StampedEvent(
        line.type,
        visitor,
        at,
        [stamp(item) for item in items],
        line.id,
        line.user,
        line.session,
        line.decision,
        line.value,
        utc_offset,
        properties,
    )


def _items(line: Line, check: _Check) -> list[str]:
    if line.items is None:
        check.id("item", line.item)
        return [] if line.item is None else [line.item]
    if line.item is not None:
        check.add("items", "stands beside item: give one of them")
    if len(line.items) > MAX_ITEMS:
        check.add("items", f"are more than {MAX_ITEMS}")
        return line.items[:1]
    for index, item in enumerate(line.items):
        check.id(f"items[{index}]", item)
    return list(dict.fromkeys(line.items))


def _properties(line: Line, check: _Check) -> tuple[dict[str, Scalar], int]:
    if not line.properties:
        return {}, 0
    properties = {name: value for name, value in line.properties.items() if value is not None}
    _bounded(properties, "properties", check)
    offset = properties.get("utc_offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, float | int) or abs(offset) > 14 * 60:
        check.add("properties.utc_offset", "is not minutes from -840 to 840")
        offset = 0
    return properties, int(offset)


def _catalogue_record(line: Line, now: int, plan: StatePlan) -> CatalogueRecord:
    check = _Check()
    at = check.at(line, now)
    check.absent(line, "visitor", "items", "session", "decision", "value", "properties")
    op = "delete" if line.type == "delete" else "put"
    if op == "put":
        kind = line.type
    else:
        named = [kind for kind in KINDS if getattr(line, kind) is not None]
        kind = named[0] if named else "item"
        if len(named) != 1:
            check.add("item", "one of item, seller and user is required for 'delete'")
        check.absent(line, "attributes")
    check.id("id", line.id)
    for field in KINDS:
        check.id(field, getattr(line, field))
        if field != kind and not (kind == "item" and field == "seller"):
            check.absent(line, field)
    subject = getattr(line, kind)
    if kind == "item" and subject is not None and subject.startswith(USER_VISITOR):
        check.add("item", LISTED_AS_USER)
    if subject is None and op == "put":
        check.add(kind, f"is required for {line.type!r}")
    check_attributes(kind, line.attributes, plan, check.errors)
    check.done()
    seller = line.seller if kind == "item" else None
    return CatalogueRecord(op, kind, subject, at, seller, line.attributes)


def check_attributes(
    kind: str, attributes: dict[str, Attribute], plan: StatePlan, errors: list[FieldError]
) -> None:
    """Add an error where ``attributes`` of ``kind`` take more than their bound, and for each
    declared vector of an item that is none."""
    check = _Check()
    _bounded(attributes, "attributes", check)
    for vector in plan.vectors if kind == "item" else ():
        value = attributes.get(vector.name)
        reason = None if value is None else vector_error(value, vector.size)
        if reason is not None:
            check.add(f"attributes.{vector.name}", reason)
    errors.extend(check.errors)


def _bounded(values: object, field: str, check: _Check) -> None:
    if len(msgspec.msgpack.encode(values)) > MAX_ATTRIBUTES_BYTES:
        check.add(field, f"take more than {MAX_ATTRIBUTES_BYTES} bytes")
