"""The spec: what differs between a shop, a news site and a fraud scorer, declared once."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from personalization.features.context import ContextValue, LocalTimePart
from personalization.features.family import Feature
from personalization.features.user import UserFeature
from personalization.plan import (
    GLOBAL,
    MAX_VISITOR_ROW_BYTES,
    StatePlan,
    VectorPlan,
    duration_ms,
)
from personalization.state.bounds import worst_visitor_row
from personalization.vectors import MAX_SIZE

_RESERVED = frozenset({"item", "seller", "user", "identify", "unlink", "delete", "served"})
# What filters, rules and segments say beside attributes.
_ITEM_RESERVED = frozenset({"item", "seller", "global", "visitor"})


class Event(msgspec.Struct, frozen=True):
    """An interaction. ``weight`` is what it says of interest (negative: dislike; 0: counted
    only); ``label`` marks what a ranking is meant to bring about."""

    name: str
    weight: float = 0.0
    label: bool = False


class Category(msgspec.Struct, frozen=True, tag=True):
    """An item attribute with one of many values: a text."""

    name: str


class Number(msgspec.Struct, frozen=True, tag=True):
    """An item attribute that is a non-negative amount, such as a price."""

    name: str


class Flag(msgspec.Struct, frozen=True, tag=True):
    """An item attribute that is true or false."""

    name: str


class Tags(msgspec.Struct, frozen=True, tag=True):
    """An item attribute with several values: a list of texts (the first 8 are used)."""

    name: str


class Vector(msgspec.Struct, frozen=True, tag=True):
    """An item attribute that is a list of ``size`` numbers, such as an embedding of its text or
    picture. Only its direction counts."""

    name: str
    size: int


class Context(msgspec.Struct, frozen=True, tag=True):
    """What a request says of its moment; with ``values`` it becomes one column for each."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, init=False)
class LocalTime:
    """The visitor's local time, from ``utc_offset`` (minutes) in context and properties: a
    column for each of ``parts``, which are ``"hour"`` and ``"weekday"``."""

    parts: tuple[str, ...]

    def __init__(self, *parts: str) -> None:
        object.__setattr__(self, "parts", parts or ("hour", "weekday"))


class SpecError(ValueError):
    """A declaration that cannot be: the message names it and says why."""


class Spec:
    """Events, item attributes, context and features; state and columns follow from them.

    What is declared of the context becomes the first columns. Raises ``SpecError`` for names
    declared twice, features that need what is not declared, or a visitor row that could exceed
    its bound.
    """

    def __init__(
        self,
        *,
        events: Sequence[Event],
        item: Sequence[Category | Number | Flag | Tags | Vector],
        features: Sequence[Feature],
        context: Sequence[Context | LocalTime] = (),
        half_lives: Sequence[str] = ("1h", "1d", "30d"),
    ) -> None:
        self.events = tuple(_event(event) for event in events)
        self.item = tuple(item)
        self.context = tuple(context)
        self.half_lives = tuple(half_lives)
        self._features = (*_context_features(self.context), *features)
        self._validate()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The families and functions, in the order of their columns."""
        return self._features

    def feature(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Declare a column computed from columns: a decorator.

        The parameters name what it reads (``item_price``, ``visitor_mean_price``, or any column
        declared before it); it returns one column of floats. Raises ``SpecError`` for others.
        """
        before = self._features
        try:
            self._features = (*before, UserFeature.of(function))
        except (OSError, TypeError, ValueError) as error:
            raise SpecError(f"{function!r} has no source to be read: {error}") from error
        self._forget_derived()
        try:
            self._validate()
        except SpecError:
            self._features = before
            self._forget_derived()
            raise
        return function

    @cached_property
    def plan(self) -> StatePlan:
        """What shapes the rows."""
        categories = tuple(d.name for d in self.item if isinstance(d, Category))
        affinities = [needed for feature in self._features for needed in feature.affinities()]
        shown = [needed for feature in self._features for needed in feature.shown()]
        return StatePlan(
            events=tuple(event.name for event in self.events),
            weights=tuple(float(event.weight) for event in self.events),
            half_lives=tuple(duration_ms(text) for text in self.half_lives),
            categories=categories,
            numbers=tuple(d.name for d in self.item if isinstance(d, Number)),
            flags=tuple(d.name for d in self.item if isinstance(d, Flag)),
            tags=tuple(d.name for d in self.item if isinstance(d, Tags)),
            segments=(GLOBAL, *categories, *(f"seller*{name}" for name in categories)),
            affinities=tuple(dict.fromkeys(affinities)),
            opinions=max((feature.opinions() for feature in self._features), default=0),
            sessions=max((feature.sessions() for feature in self._features), default=0),
            shown=tuple(dict.fromkeys(shown)),
            vectors=tuple(VectorPlan(d.name, d.size) for d in self.item if isinstance(d, Vector)),
        )

    @cached_property
    def layout(self) -> tuple[tuple[Feature, int, int], ...]:
        """Each feature with its first column and the one after its last."""
        placed = []
        first = 0
        for feature in self._features:
            end = first + len(feature.columns(self))
            placed.append((feature, first, end))
            first = end
        return tuple(placed)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the feature matrix's columns."""
        return tuple(name for feature in self._features for name in feature.columns(self))

    @cached_property
    def feature_set_id(self) -> str:
        """12 hex digits of the hash of all declarations: names, parameters, types and the
        source of user functions. A model is never given another set's vector."""
        declared = [[type(feature).__name__, feature.declaration()] for feature in self._features]
        told: list[Any] = [self.plan.shapes_rows, declared]
        if self.plan.vectors:
            told.append(self.plan.vectors)
        canonical = msgspec.json.encode(told, order="sorted")
        return hashlib.blake2b(canonical, digest_size=6).hexdigest()

    def _forget_derived(self) -> None:
        for name in ("plan", "layout", "columns", "feature_set_id"):
            self.__dict__.pop(name, None)

    def _validate(self) -> None:
        names = [event.name for event in self.events]
        for name in names:
            if name in _RESERVED:
                raise SpecError(f"event {name!r}: the name is reserved")
        _refuse_twice("event", names)
        _refuse_twice("item attribute", [declared.name for declared in self.item])
        for declared in self.item:
            if declared.name in _ITEM_RESERVED:
                raise SpecError(f"item attribute {declared.name!r}: the name is reserved")
            if isinstance(declared, Vector) and declared.size not in range(1, MAX_SIZE + 1):
                raise SpecError(
                    f"vector {declared.name!r}: size {declared.size} is not from 1 to {MAX_SIZE}"
                )
        try:
            plan = self.plan
        except ValueError as error:
            raise SpecError(f"half-life {error}") from error
        maps = [(a.dimension, a.by_daypart) for a in plan.affinities]
        _refuse_twice("affinity", [f"{d} by daypart" if by else d for d, by in maps])
        largest = worst_visitor_row(plan)
        if largest > MAX_VISITOR_ROW_BYTES:
            raise SpecError(
                f"a visitor's row could take {largest} bytes, and {MAX_VISITOR_ROW_BYTES} are"
                " allowed: keep fewer values (the size of affinities), events or half-lives"
            )
        columns: list[str] = []
        for feature in self._features:
            try:
                if isinstance(feature, UserFeature):
                    feature.check(plan, columns)
                columns += feature.columns(self)
            except KeyError as error:
                raise SpecError(f"{feature!r}: {error} is not declared") from error
            except ValueError as error:
                raise SpecError(f"{feature!r}: {error}") from error
        _refuse_twice("column", columns)


def _context_features(declared: Sequence[Context | LocalTime]) -> list[Feature]:
    features: list[Feature] = []
    for context in declared:
        if isinstance(context, LocalTime):
            features += [LocalTimePart(part) for part in context.parts]
        elif context.values:
            features.append(ContextValue(context.name, context.values))
    return features


def _event(event: Event) -> Event:
    """``event``, whose fields Python has not checked."""
    try:
        checked = msgspec.convert(msgspec.to_builtins(event), Event)
    except (msgspec.ValidationError, TypeError) as error:
        raise SpecError(f"{event!r}: {error}") from error
    if not math.isfinite(checked.weight):
        raise SpecError(f"event {event.name!r}: weight {event.weight} is not finite")
    return checked


def _refuse_twice(kind: str, names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise SpecError(f"{kind} {name!r} is declared twice")
