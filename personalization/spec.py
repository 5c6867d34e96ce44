"""The spec: what differs between a shop, a news site and a fraud scorer, declared once."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec

from personalization.features.family import Feature, UserFeature
from personalization.plan import GLOBAL, AffinityPlan, StatePlan, duration_ms

_RESERVED = frozenset({"item", "seller", "user", "identify", "unlink", "delete", "served"})


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


class Context(msgspec.Struct, frozen=True, tag=True):
    """What a request says of its moment; with ``values`` it becomes one column for each."""

    name: str
    values: tuple[str, ...] = ()


class LocalTime(msgspec.Struct, frozen=True, tag=True):
    """The visitor's local time, from ``utc_offset`` (minutes) in context and properties."""

    parts: tuple[str, ...] = ("hour", "weekday")


class SpecError(ValueError):
    """A declaration that cannot be: the message names it and says why."""


class Spec:
    """Events, item attributes, context and features; state and columns follow from them.

    Raises ``SpecError`` for names declared twice, features that need what is not declared, or a
    visitor row that could exceed its bound.
    """

    def __init__(
        self,
        *,
        events: Sequence[Event],
        item: Sequence[Category | Number | Flag | Tags],
        features: Sequence[Feature],
        context: Sequence[Context | LocalTime] = (),
        half_lives: Sequence[str] = ("1h", "1d", "30d"),
    ) -> None:
        self.events = tuple(events)
        self.item = tuple(item)
        self.context = tuple(context)
        self.half_lives = tuple(half_lives)
        self._features = list(features)
        self._validate()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The declared families and functions, in the order of their columns."""
        return tuple(self._features)

    def feature(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Declare a column computed from columns: a decorator.

        The parameters name what it reads (``item_price``, ``visitor_mean_price``, or any column
        declared before it); it returns one column of floats.
        """
        self._features.append(UserFeature.of(function))
        self.__dict__.pop("columns", None)
        self.__dict__.pop("feature_set_id", None)
        return function

    @cached_property
    def plan(self) -> StatePlan:
        """What shapes the rows."""
        categories = tuple(d.name for d in self.item if isinstance(d, Category))
        affinities: dict[tuple[str, bool], AffinityPlan] = {}
        for feature in self._features:
            for needed in feature.affinities():
                affinities.setdefault((needed.dimension, needed.by_daypart), needed)
        return StatePlan(
            events=tuple(event.name for event in self.events),
            weights=tuple(float(event.weight) for event in self.events),
            half_lives=tuple(duration_ms(text) for text in self.half_lives),
            categories=categories,
            numbers=tuple(d.name for d in self.item if isinstance(d, Number)),
            flags=tuple(d.name for d in self.item if isinstance(d, Flag)),
            tags=tuple(d.name for d in self.item if isinstance(d, Tags)),
            segments=(GLOBAL, *categories, *(f"seller*{name}" for name in categories)),
            affinities=tuple(affinities.values()),
        )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the feature matrix's columns."""
        return tuple(name for feature in self._features for name in feature.columns(self))

    @cached_property
    def feature_set_id(self) -> str:
        """12 hex digits of the hash of all declarations: names, parameters, types and the
        source of user functions. A model is never given another set's vector."""
        declared = [
            [type(feature).__name__, feature.declaration()] for feature in self._features
        ]
        canonical = msgspec.json.encode(
            [self.plan, [msgspec.to_builtins(c) for c in self.context], declared], order="sorted"
        )
        return hashlib.blake2b(canonical, digest_size=6).hexdigest()

    def _validate(self) -> None:
        names = [event.name for event in self.events]
        for name in names:
            if name in _RESERVED:
                raise SpecError(f"event {name!r}: the name is reserved")
        attributes = [declared.name for declared in self.item]
        for kind, declared_names in (("event", names), ("item attribute", attributes)):
            for name in declared_names:
                if declared_names.count(name) > 1:
                    raise SpecError(f"{kind} {name!r} is declared twice")
        for feature in self._features:
            try:
                feature.columns(self)
            except (KeyError, ValueError) as error:
                raise SpecError(f"feature {feature!r}: {error}") from error


def source_of(function: Callable[..., Any]) -> str:
    """The source of a user function, as it is hashed."""
    return inspect.getsource(function)
