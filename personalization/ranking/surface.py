"""Surfaces: a named place on the product, and how it ranks."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from personalization.events import IMPRESSION
from personalization.guarantee import Guarantee
from personalization.plan import StatePlan, VectorPlan, duration_ms
from personalization.ranking.filters import FilterError, Predicate, compile_predicate
from personalization.ranking.values import SELLER, attribute_kinds

MIXING = 0.3
SCORES = "scores"
"""The surface of ``/v1/score``: pairs are scored, and nothing is shown."""

_ACTIONS_OF = {"amount": ("boost", "bury"), "position": ("pin",)}

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class SourcePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source of candidates, and how many it may bring."""

    name: Literal[
        "fresh",
        "trending",
        "popular",
        "covisited",
        "near",
        "session",
        "affinity",
        "rising",
        "own",
        "cold_items",
        "cold_sellers",
    ]
    count: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done with the candidates for which ``when`` (a predicate) holds.

    ``exclude`` drops them; ``boost`` and ``bury`` add ``amount`` to their logit or take it off;
    ``pin`` puts the best of them at ``position`` (1 is the first).
    """

    name: Name
    action: Literal["exclude", "boost", "bury", "pin"]
    when: dict[str, Any] = {}
    amount: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    position: Annotated[int, msgspec.Meta(ge=1, le=500)] = 1


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Drop what the visitor had to do with: ``events`` among its ``last`` interactions.

    Only events with a weight are among them (a visitor's row keeps no impressions).
    """

    events: tuple[str, ...]
    last: Annotated[int, msgspec.Meta(ge=1)] = 24


class Blocked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is never shown here."""

    items: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()


class Surface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A surface's configuration.

    ``caps`` limits how many items of one seller, or of one value of a category, a page has.
    ``diversity`` is what an item loses of its logit for each one above it that has the same
    value (the greedy re-ranking of maximal marginal relevance, Carbonell & Goldstein, 1998, with
    equality as similarity). ``temperature`` 0 shows the best; above it, items are drawn by
    softmax. ``counts_served``: what was served counts as an impression. ``guarantee``: what is
    owed to new items and sellers, and which places of a page are for that.
    """

    name: Name = "default"
    sources: tuple[SourcePlan, ...] = ()
    rules: tuple[Rule, ...] = ()
    caps: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    diversity: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    seen: Seen | None = None
    blocked: Blocked = Blocked()
    counts_served: bool = False
    guarantee: Guarantee | None = None


def default_surface(
    categories: Sequence[str] = ("category",), vectors: Sequence[VectorPlan] = ()
) -> Surface:
    """The surface that is there when none is declared; ``categories`` and ``vectors`` are the
    spec's.

    Pages are mixed by the first of them: before anything is known of a session, several
    categories find out what it is after sooner than several items of the most popular one, and
    one click outweighs the mixing.
    """
    return Surface(
        sources=(
            SourcePlan("session", 150),
            SourcePlan("covisited", 20),
            *([SourcePlan("near", 50)] if vectors else []),
            SourcePlan("own", 100),
            SourcePlan("affinity", 50),
            SourcePlan("trending", 30),
            SourcePlan("popular", 30),
            SourcePlan("fresh", 30),
        ),
        diversity=dict.fromkeys(categories[:1], MIXING),
    )


class SurfaceError(ValueError):
    """A surface that cannot be; the message says which part and why."""


def check_surface(surface: Surface, plan: StatePlan) -> None:
    """Raises ``SurfaceError`` where ``surface`` has values that cannot be, or asks for what
    ``plan`` does not declare."""
    try:
        # Only what msgspec decodes has been validated, and surfaces are made in Python.
        msgspec.convert(msgspec.to_builtins(surface), Surface)
    except (msgspec.ValidationError, TypeError) as error:
        raise SurfaceError(f"surface {surface.name!r}: {_in_words(error)}") from error
    if surface.name == SCORES:
        raise SurfaceError(f"surface {SCORES!r}: the name is reserved")
    for rule in surface.rules:
        for part, actions in _ACTIONS_OF.items():
            default = next(f.default for f in msgspec.structs.fields(Rule) if f.name == part)
            if rule.action not in actions and getattr(rule, part) != default:
                raise SurfaceError(
                    f"surface {surface.name!r}: rules.{rule.name}.{part} is for "
                    f"{' and '.join(actions)}, not for {rule.action}"
                )
    try:
        compile_rules(surface.rules, attribute_kinds(plan))
    except FilterError as error:
        raise SurfaceError(f"surface {surface.name!r}: {error}") from error
    grouped = {*plan.categories, SELLER}
    for part, declared in (("caps", surface.caps), ("diversity", surface.diversity)):
        for name in declared:
            if name not in grouped:
                raise SurfaceError(
                    f"surface {surface.name!r}: {part}.{name} is none of {sorted(grouped)}"
                )
    names = [rule.name for rule in surface.rules]
    positions = [rule.position for rule in surface.rules if rule.action == "pin"]
    if len(set(names)) < len(names):
        raise SurfaceError(f"surface {surface.name!r}: two rules have one name")
    if len(set(positions)) < len(positions):
        raise SurfaceError(f"surface {surface.name!r}: two rules pin the same position")
    _check_guarantee(surface, plan)
    kept = [event for event, weight in zip(plan.events, plan.weights, strict=True) if weight]
    for event in () if surface.seen is None else surface.seen.events:
        if event not in kept:
            raise SurfaceError(f"surface {surface.name!r}: seen.events: {event} is none of {kept}")


def _check_guarantee(surface: Surface, plan: StatePlan) -> None:
    if surface.guarantee is None:
        return
    where = f"surface {surface.name!r}: guarantee"
    if IMPRESSION not in plan.event_index:
        raise SurfaceError(
            f"{where}: counts events {IMPRESSION!r}, which the spec does not declare"
        )
    try:
        duration_ms(surface.guarantee.within)
    except ValueError as error:
        raise SurfaceError(f"{where}.within: {error}") from error


def _in_words(error: Exception) -> str:
    """msgspec's "why - at `$.where`" as "where: why"."""
    why, _, where = str(error).partition(" - at `$.")
    return f"{where.rstrip('`')}: {why}" if where else why


def compile_rules(rules: tuple[Rule, ...], kinds: dict[str, str]) -> list[tuple[Rule, Predicate]]:
    """Each rule with its predicate. Raises ``FilterError``, whose path names the rule."""
    return [
        (rule, compile_predicate(rule.when, kinds, f"rules.{rule.name}.when")) for rule in rules
    ]
