"""What the rows look like from outside: see ``rows.py`` for where it comes from."""

import msgspec

from personalization.events import Attribute

Counters = dict[str, dict[str, float]]


class AffinityView(msgspec.Struct, frozen=True):
    """What a visitor likes: ``weight`` decayed to now, over ``count`` events."""

    dimension: str
    value: str
    weight: float
    count: int
    daypart: str | None = None


class InteractionView(msgspec.Struct, frozen=True):
    """One of the visitor's last interactions; ``at`` in ms."""

    at: int
    event: str
    item: str


class SessionView(msgspec.Struct, frozen=True):
    """The visitor's current, or last, session; times in ms, ``number`` counted from 1."""

    id: str | None
    start: int
    last: int
    number: int
    counts: dict[str, int]
    affinities: list[AffinityView]


class VisitorView(msgspec.Struct, frozen=True):
    """A visitor, with all that are linked through ``user`` merged in. Times in ms.

    ``counters`` has, by event and half-life, how often it happened, decayed to ``now``;
    ``counts`` plainly. ``mean`` is the geometric mean (of 1 + value) of numbers such as price.
    """

    visitor: str
    user: str | None
    linked: list[str]
    now: int
    offset: int
    first_at: int | None
    last_at: int | None
    counters: Counters
    counts: dict[str, int]
    affinities: list[AffinityView]
    mean: dict[str, float]
    last: list[InteractionView]
    session: SessionView | None


class ItemView(msgspec.Struct, frozen=True):
    """An item: what the catalogue says and what happened with it. Times in ms.

    Offsets are -1, and times ``None``, where there is no such row. ``covisited``: weights of the
    items that visitors came from.
    """

    item: str
    now: int
    seller: str | None
    attributes: dict[str, Attribute]
    created_at: int | None
    updated_at: int | None
    deleted: bool
    first_at: int | None
    counters: Counters
    counts: dict[str, int]
    covisited: dict[str, float]
    offset: int
    catalogue_offset: int


class SellerView(msgspec.Struct, frozen=True):
    """A seller: what the catalogue says and what happened with all items. As of an item."""

    seller: str
    now: int
    attributes: dict[str, Attribute]
    created_at: int | None
    updated_at: int | None
    deleted: bool
    first_at: int | None
    counters: Counters
    counts: dict[str, int]
    offset: int
    catalogue_offset: int
