"""The rows. Each is the fold of its own key's records in one topic, and says up to which offset.

Encoded as MessagePack arrays: a new field goes last and has a default.
"""

import msgspec

from personalization.events import Attribute


class TopK(msgspec.Struct, array_like=True):
    """The K heaviest keys by decayed weight.

    ``entries`` maps a key to (weight as of ``at``, plain count): of what came after ``at`` more
    than it weighs, so that as much is left of it now. ``lost`` is the sum of the weights that were
    evicted, decayed alike: a kept key's true weight exceeds what is kept by at most ``lost``; 0
    means exact.
    """

    at: int = 0
    lost: float = 0.0
    entries: dict[str, tuple[float, int]] = {}


class Interaction(msgspec.Struct, array_like=True, frozen=True):
    """One of a visitor's last interactions: ``event`` is an index into the plan's events."""

    at: int
    offset: int
    index: int
    event: int
    item: str


class Session(msgspec.Struct, array_like=True):
    """The current session. ``affinities`` are plain weights per dimension of the plan's
    affinities that are not by part of day, in their order; ``number`` counts sessions from 1.
    ``shown`` are counts of items by value, for each of what the plan has a session count.
    ``opened`` is the offset of the event that opened it."""

    id: str | None
    start: int
    last: int
    number: int
    counts: list[int]
    affinities: list[dict[str, float]]
    shown: list[dict[str, float]] = []
    opened: int = 0


class VisitorRow(msgspec.Struct, array_like=True):
    """Behaviour of one visitor. ``counters`` are decayed to ``at``; ``numbers`` holds, for each
    of the plan's numbers, (sum of weights, sum of weight x log1p(value)), decayed to ``at``."""

    offset: int
    at: int
    first_at: int
    last_at: int
    counters: list[float]
    counts: list[int]
    affinities: list[TopK]
    numbers: list[tuple[float, float]]
    last: list[Interaction]
    session: Session | None = None
    user: str | None = None
    deleted: bool = False


class ItemRow(msgspec.Struct, array_like=True):
    """Counters of one item, and the items its visitors came from.

    ``opinions`` has the plain counts, of the plan's events, that are due to visitors who had an
    opinion of another item before (see ``state.opinions``), ``sessions`` the last sessions it
    was wanted in (see ``state.sessions``); both are empty unless the plan keeps them.
    """

    offset: int
    at: int
    first_at: int
    counters: list[float]
    counts: list[int]
    covisited: TopK
    deleted: bool = False
    opinions: dict[str, list[int]] = {}
    sessions: bytes = b""


class SellerRow(msgspec.Struct, array_like=True):
    """Counters over one seller's items."""

    offset: int
    at: int
    first_at: int
    counters: list[float]
    counts: list[int]
    deleted: bool = False


class SegmentRow(msgspec.Struct, array_like=True):
    """Counters of one segment: a category, a seller within a category, everything."""

    offset: int
    at: int
    first_at: int
    counters: list[float]
    counts: list[int]
    deleted: bool = False


class Link(msgspec.Struct, array_like=True, frozen=True):
    """A visitor of a user, since ``at``."""

    visitor: str
    at: int


class UserRow(msgspec.Struct, array_like=True):
    """The visitors of one user, the most recently linked last, at most the plan's number."""

    offset: int
    visitors: list[Link]
    deleted: bool = False


class CatalogueRow(msgspec.Struct, array_like=True):
    """Attributes of an item, a seller or a user. ``created_at`` is when it was first listed."""

    offset: int
    created_at: int
    updated_at: int
    seller: str | None
    attributes: dict[str, Attribute]
    deleted: bool = False


class Watermark(msgspec.Struct, array_like=True):
    """How far a partition of a table has read its topic: the last record of every batch.

    ``offset`` is the last one folded. ``sources`` (tables fed by signals): the last source
    offset taken from each partition of visitor-events. ``chain`` (visitors): the last source
    offset sent to each partition of signals. Both are sorted by partition.
    """

    offset: int = -1
    sources: dict[int, int] = {}
    chain: dict[int, int] = {}
