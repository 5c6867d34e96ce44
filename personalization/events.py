"""Events: as stamped into the log. The wire format they come from is in ``wire.py``."""

import msgspec

Scalar = str | float | bool
Attribute = str | float | bool | list[str | float] | None
Dimension = str | float | bool | list[str] | None

IMPRESSION = "impression"
IDENTIFY = "identify"
UNLINK = "unlink"
SERVED = "served"


class Stamp(msgspec.Struct, array_like=True, frozen=True):
    """An item as it was when the event was accepted: its seller and its declared dimensions.

    ``attributes`` holds only declared dimensions that have a value.
    """

    item: str
    seller: str | None = None
    attributes: dict[str, Dimension] = {}


class StampedEvent(msgspec.Struct, array_like=True, frozen=True):
    """A visitor's event, complete: what the fold reads, and nothing else.

    ``type`` is one of the plan's events, ``identify``, ``unlink`` or ``served``. ``at`` is in ms,
    ``utc_offset`` in minutes (the visitor's local time), ``items`` in displayed order without
    repeats. ``visitor`` is ``user:<id>`` where only a user was given, and ``user`` is then that
    user; with ``identify`` it is the user to link.
    """

    type: str
    visitor: str
    at: int
    items: list[Stamp] = []
    id: str | None = None
    user: str | None = None
    session: str | None = None
    decision: str | None = None
    value: float | None = None
    utc_offset: int = 0
    properties: dict[str, Scalar] = {}


class CatalogueRecord(msgspec.Struct, array_like=True, frozen=True):
    """A change to an item's, a seller's or a user's attributes.

    ``op`` is ``put`` (replaces all), ``patch`` (replaces what is named; ``None`` removes) or
    ``delete``; ``kind`` is ``item``, ``seller`` or ``user``. ``seller`` belongs to items; in a
    patch ``None`` leaves it as it is.
    """

    op: str
    kind: str
    id: str
    at: int
    seller: str | None = None
    attributes: dict[str, Attribute] = {}


class Signal(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a visitor's event means for other entities. Facts, never deltas.

    ``offset`` is the source record's in its partition of visitor-events. ``counts`` has, by the
    key of each entity, how many of the event's items fall to it: ``i:<item>``, ``s:<seller>``,
    ``g:<level>:<values>`` (a segment) or ``u:<user>``. ``previous`` has, by the keys of items,
    the visitor's items before this one, newest first, without this one, where there are any.
    ``visitor`` is set for links only. ``opinions`` are, by the keys of items, what the visitor
    thought of other items before (see ``state.opinions``). ``session`` is what an event of
    interest tells of its session (see ``state.sessions``; 0: of none).
    """

    offset: int
    type: str
    at: int
    counts: dict[str, int]
    value: float | None = None
    previous: dict[str, tuple[str, ...]] = {}
    visitor: str | None = None
    opinions: dict[str, tuple[str, ...]] = {}
    session: int = 0


class SignalBatch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """All signals of one source batch for one target partition, in source order.

    ``source`` is the partition of visitor-events; ``previous`` the ``last`` of the record sent
    to this target before it (-1: none); ``last`` the source offset of its own last entry.
    """

    source: int
    previous: int
    last: int
    entries: list[Signal]
