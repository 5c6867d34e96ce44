"""The state plan: what shapes the rows, derived from a spec."""

import hashlib
from functools import cache, cached_property
from typing import Any

import msgspec

MAX_ID_BYTES = 128
MAX_ATTRIBUTES_BYTES = 4096
MAX_VISITOR_ROW_BYTES = 32 * 1024
DAYPARTS = ("night", "morning", "afternoon", "evening")
GLOBAL = "global"

_ROWS = b"4"  # to be counted up when a fold gives other rows than before

_SPAN_HALF_LIVES = 16

_AMOUNT = "amount:"

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@cache
def duration_ms(text: str) -> int:
    """``"90s"``, ``"30m"``, ``"1h"``, ``"7d"`` in milliseconds.

    >>> duration_ms("1h")
    3600000

    Raises ``ValueError`` where ``text`` is not a whole number and a unit.
    """
    if len(text) < 2 or text[-1] not in _UNITS or not text[:-1].isdecimal() or int(text[:-1]) == 0:
        raise ValueError(f"{text!r} is not a duration such as '30m', '1h' or '7d'")
    return int(text[:-1]) * _UNITS[text[-1]]


def duration_text(ms: int) -> str:
    """What ``duration_ms`` takes, in the largest unit that fits.

    >>> duration_text(7_200_000)
    '2h'
    """
    unit = max((unit for unit in _UNITS if ms % _UNITS[unit] == 0), key=lambda unit: _UNITS[unit])
    return f"{ms // _UNITS[unit]}{unit}"


def amounts_dimension(of: str, half_life: str) -> str:
    """The dimension of a top-K map that sums events' values instead of their weights.

    >>> amounts_dimension("seller", "30d")
    'amount:seller:30d'
    """
    return f"{_AMOUNT}{of}:{half_life}"


class AffinityPlan(msgspec.Struct, frozen=True):
    """One top-K map of a visitor: values of ``dimension``, by part of day where ``by_daypart``;
    of ``amounts_dimension`` it sums events' values.

    ``half_life`` is in ms; ``size`` is K, of keys up to ``key_bytes`` long: where the longest is
    longer, as many fewer are kept.
    """

    dimension: str
    by_daypart: bool
    half_life: int
    size: int
    key_bytes: int = MAX_ID_BYTES


class ShownPlan(msgspec.Struct, frozen=True):
    """What a session counts: items in its ``event`` events, by their value of ``dimension``."""

    event: str
    dimension: str


class VectorPlan(msgspec.Struct, frozen=True):
    """Vectors of items, in columns: the attribute's name, and how many numbers each has."""

    name: str
    size: int


class StatePlan(msgspec.Struct, frozen=True, dict=True):
    """What shapes the rows, and columns. Two specs whose plans differ in ``vectors`` only, which
    no row is made of, share their tables.

    ``events`` are interaction names in the order of their columns, ``weights`` what each says of
    a visitor's interest (0: only counted), ``half_lives`` in ms. Column ``e * H + h`` of a
    counter vector is event ``e`` at half-life ``h``. ``segments`` names the levels counters are
    kept for beside items and sellers: ``"global"``, ``"category"``, ``"seller*category"``.
    ``opinions`` is of how many opinions of other items an item's row counts its events (0: none),
    ``sessions`` how many of the last sessions it was wanted in an item's row keeps (0: none).
    A visitor's row keeps the ``last_items`` last interactions with ids up to ``last_id_bytes``
    long: where the longest is longer, as many fewer, but ``covisit_window``, which is also how
    many items led to the next. Of ``shown`` a session keeps the ``shown_size`` values with the
    largest counts.
    """

    events: tuple[str, ...]
    weights: tuple[float, ...]
    half_lives: tuple[int, ...]
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    flags: tuple[str, ...]
    tags: tuple[str, ...]
    segments: tuple[str, ...]
    affinities: tuple[AffinityPlan, ...]
    shown: tuple[ShownPlan, ...] = ()
    last_items: int = 96
    last_id_bytes: int = 16
    covisits: int = 64
    covisit_window: int = 24
    covisit_half_life: int = 30 * 86_400_000
    number_half_life: int = 30 * 86_400_000
    session_gap: int = 30 * 60_000
    session_size: int = 8
    shown_size: int = 12
    linked_visitors: int = 16
    opinions: int = 0
    sessions: int = 0
    vectors: tuple[VectorPlan, ...] = ()

    @cached_property
    def event_index(self) -> dict[str, int]:
        """The position of every interaction name."""
        return {name: index for index, name in enumerate(self.events)}

    @cached_property
    def affinity_index(self) -> dict[tuple[str, bool], int]:
        """The position of every top-K map, by dimension and whether it is by part of day."""
        return {(a.dimension, a.by_daypart): index for index, a in enumerate(self.affinities)}

    @cached_property
    def amounts(self) -> tuple[str | None, ...]:
        """For every top-K map, in order, the dimension whose amounts it sums; ``None``: it sums
        weights. ``"visitor"`` is all that a visitor did."""
        return tuple(
            a.dimension.split(":")[1] if a.dimension.startswith(_AMOUNT) else None
            for a in self.affinities
        )

    @cached_property
    def session_index(self) -> dict[str, int]:
        """The position of every dimension in a session's affinities."""
        plain = [a.dimension for a in self.affinities if not a.by_daypart]
        return {dimension: index for index, dimension in enumerate(plain)}

    @cached_property
    def shown_index(self) -> dict[int, tuple[tuple[int, str], ...]]:
        """Of every event that a session counts: positions among what is shown, and dimensions."""
        found: dict[int, tuple[tuple[int, str], ...]] = {}
        for place, one in enumerate(self.shown):
            event = self.event_index[one.event]
            found[event] = (*found.get(event, ()), (place, one.dimension))
        return found

    @cached_property
    def span(self) -> int:
        """How long (ms) counters are kept decayed to one time."""
        return _SPAN_HALF_LIVES * min(self.half_lives)

    @cached_property
    def dimensions(self) -> frozenset[str]:
        """The attributes that are stamped into events."""
        return frozenset((*self.categories, *self.numbers, *self.flags, *self.tags))

    @cached_property
    def state_id(self) -> str:
        """Names the tables: 12 hex digits of the plan's hash, and of how rows are kept."""
        shapes_rows = msgspec.json.encode(self.shapes_rows)
        return hashlib.blake2b(_ROWS + shapes_rows, digest_size=6).hexdigest()

    @cached_property
    def shapes_rows(self) -> dict[str, Any]:
        """All but the vectors, by name."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        del told["vectors"]
        return told

    def counter(self, event: str, half_life: int) -> int:
        """The column of ``event`` at ``half_life`` ms. Raises ``KeyError`` or ``ValueError``."""
        found = self._counters.get((event, half_life))
        if found is not None:
            return found
        if half_life not in self.half_lives:
            declared = ", ".join(map(duration_text, self.half_lives))
            raise ValueError(f"half-life {duration_text(half_life)!r} is not declared ({declared})")
        raise KeyError(event)

    @cached_property
    def _counters(self) -> dict[tuple[str, int], int]:
        several = len(self.half_lives)
        return {
            (event, half_life): column * several + self.half_lives.index(half_life)
            for event, column in self.event_index.items()
            for half_life in self.half_lives
        }
