"""Decisions with random filters, rules and caps: none is broken, every drop has a reason.

What may be shown is worked out here once more, from the items as they were listed, one at a time.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from personalization.candidates.index import build_index
from personalization.codec import Codec
from personalization.columns import Columns
from personalization.decisions import DECISIONS, Decision, pack, scores_of
from personalization.events import Stamp, StampedEvent
from personalization.presets import marketplace as spec
from personalization.ranking.formula import Formula
from personalization.ranking.pipeline import rank
from personalization.ranking.replay import replay
from personalization.ranking.request import CandidateIn, RankRequest
from personalization.ranking.surface import (
    Blocked,
    Rule,
    Seen,
    SourcePlan,
    Surface,
    check_surface,
)
from personalization.state.rows import CatalogueRow, ItemRow, TopK, VisitorRow
from personalization.state.visitor import fold_visitor

ITEMS, VISITORS = 500, 30
NOW = 1_795_428_000_000
CATEGORIES = [f"c{n}" for n in range(6)]
SELLERS = [f"s{n}" for n in range(25)]
TAGS = ["red", "blue", "new", "old"]
EVENTS = ["view", "click", "purchase", "dislike"]
FORMULA = Formula(spec.columns, spec.feature_set_id)
Facts = dict[str, Any]


class Market:
    """500 items, some deleted, some without attributes, and visitors with a past."""

    def __init__(self, rng: np.random.Generator) -> None:
        plan, width = spec.plan, len(spec.plan.half_lives)
        self.columns = Columns(plan, items=1024, groups=1024)
        self.facts: dict[str, Facts] = {}
        self._rows: dict[str, bytes] = {}
        self.last: dict[str, list[tuple[str, str]]] = {}
        for number in range(ITEMS):
            id, kept = f"i{number}", rng.random(5) < 0.9
            facts: Facts = {
                "category": str(rng.choice(CATEGORIES)),
                "brand": f"b{rng.integers(12)}",
                "price": float(rng.integers(1, 100)),
                "in_stock": bool(rng.random() < 0.8),
                "tags": sorted(set(rng.choice(TAGS, 2).tolist())),
            }
            facts = {name: v for (name, v), keep in zip(facts.items(), kept, strict=True) if keep}
            seller = str(rng.choice(SELLERS)) if rng.random() < 0.9 else None
            deleted = bool(rng.random() < 0.05)
            row = CatalogueRow(number, NOW - number, NOW, seller, facts, deleted)
            self.columns.apply_catalogue("item", id, row)
            self.facts[id] = {**facts, "seller": seller, "deleted": deleted}
            counts = rng.integers(0, 50, len(plan.events)).tolist()
            counters = [float(count) for count in counts for _ in range(width)]
            self.columns.apply_item(id, ItemRow(number, NOW, NOW, counters, counts, TopK()))
        for number in range(VISITORS):
            self._live(f"v{number}", rng)

    def _live(self, visitor: str, rng: np.random.Generator) -> None:
        row, self.last[visitor] = None, []
        for offset in range(int(rng.integers(0, 20))):
            item, type = f"i{rng.integers(60)}", str(rng.choice(EVENTS, p=[0.4, 0.3, 0.2, 0.1]))
            stamp = Stamp(item, self.facts[item]["seller"])
            event = StampedEvent(type, visitor, NOW - 1000 + offset, [stamp])
            row = fold_visitor(row, event, offset, spec.plan)
            self.last[visitor].append((type, item))
        if row is not None:
            self._rows[visitor] = Codec(VisitorRow).encode(row)

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        return (0, self._rows[id]) if id in self._rows else None

    def user(self, id: str) -> tuple[int, bytes] | None:
        return None


def random_predicate(rng: np.random.Generator, depth: int = 0) -> Any:
    if depth < 2 and rng.random() < 0.35:
        parts = [random_predicate(rng, depth + 1) for _ in range(int(rng.integers(1, 4)))]
        return {str(rng.choice(["all", "any", "not"])): parts}
    price = int(rng.integers(1, 100))
    some = rng.choice(CATEGORIES, 3).tolist()
    choices: list[Any] = [
        {"category": {"in": some}},
        {"category": {"not_in": some}},
        {"category": {"exists": bool(rng.random() < 0.8)}},
        {"seller": {"not_in": rng.choice(SELLERS, 4).tolist()}},
        {"price": {str(rng.choice(["lt", "lte", "gt", "gte"])): price}},
        {"price": {"gte": price // 2, "lte": price * 2}},
        {"in_stock": {"eq": True}},
        {"tags": {"in": rng.choice(TAGS, 2).tolist()}},
        {"tags": {"not_in": [str(rng.choice(TAGS))]}},
        {"item": {"not_in": [f"i{rng.integers(ITEMS)}" for _ in range(9)]}},
    ]
    return choices[int(rng.integers(len(choices)))]


def holds(tree: Any, id: str, facts: Facts) -> bool:
    """One candidate against a predicate, as the documentation says it."""
    for name, inner in tree.items():
        if name in ("all", "any", "not"):
            some = [holds(part, id, facts) for part in inner]
            if not {"all": all(some), "any": any(some), "not": not any(some)}[name]:
                return False
            continue
        value = id if name == "item" else facts.get(name)
        for operator, operand in inner.items():
            if operator == "exists":
                fulfilled = (value is not None) == operand
            elif value is None:
                fulfilled = False
            elif operator in ("in", "not_in"):
                values = set(value if isinstance(value, list) else [value])
                fulfilled = bool(values & set(operand)) == (operator == "in")
            else:
                fulfilled = {
                    "eq": lambda a, b: a == b,
                    "lt": lambda a, b: a < b,
                    "lte": lambda a, b: a <= b,
                    "gt": lambda a, b: a > b,
                    "gte": lambda a, b: a >= b,
                }[operator](value, operand)
            if not fulfilled:
                return False
    return True


def random_surface(rng: np.random.Generator) -> Surface:
    positions = rng.permutation(8) + 1
    actions = rng.choice(["exclude", "boost", "bury", "pin"], int(rng.integers(0, 5))).tolist()
    rules = tuple(
        Rule(
            f"r{n}",
            action,
            random_predicate(rng),
            float(rng.integers(1, 4)) if action in ("boost", "bury") else 1.0,
            int(positions[n]) if action == "pin" else 1,
        )
        for n, action in enumerate(actions)
    )
    return Surface(
        sources=(SourcePlan("trending", 30), SourcePlan("fresh", 20), SourcePlan("affinity", 20)),
        rules=rules,
        caps={d: int(rng.integers(1, 4)) for d in ("seller", "category") if rng.random() < 0.4},
        diversity={"category": 0.3} if rng.random() < 0.3 else {},
        temperature=float(rng.choice([0.0, 0.0, 0.5])),
        seen=Seen(("purchase", "view"), 24) if rng.random() < 0.4 else None,
        blocked=Blocked(
            tuple(f"i{n}" for n in rng.integers(0, ITEMS, int(rng.integers(0, 40)))),
            tuple(rng.choice(SELLERS, int(rng.integers(0, 3))).tolist()),
        ),
    )


def random_request(rng: np.random.Generator) -> RankRequest:
    ids = [f"i{n}" for n in rng.integers(0, ITEMS, int(rng.integers(1, 70)))]
    ids += [f"unknown{n}" for n in rng.integers(0, 50, int(rng.integers(0, 4)))]
    rng.shuffle(ids)
    candidates = [CandidateIn(id, {"score": 1.0}) if rng.random() < 0.1 else id for id in ids]
    return RankRequest(
        visitor=f"v{rng.integers(VISITORS)}" if rng.random() < 0.8 else None,
        candidates=None if rng.random() < 0.2 else candidates,
        limit=int(rng.integers(1, 25)),
        filters=random_predicate(rng) if rng.random() < 0.6 else None,
        explain=bool(rng.random() < 0.1),
    )


def reasons_to_drop(
    market: Market, decision: Decision, id: str, before: tuple[str, ...]
) -> set[str]:
    """Every reason for which this candidate must not be shown."""
    facts, surface, request = market.facts.get(id, {}), decision.surface, decision.request
    last = market.last.get(request.visitor or "", [])
    seen = () if surface.seen is None else surface.seen.events
    found = {
        "deleted": facts.get("deleted", False),
        "out_of_stock": facts.get("in_stock") is False,
        "blocked": id in surface.blocked.items or facts.get("seller") in surface.blocked.sellers,
        "disliked": ("dislike", id) in last,
        "seen": any((event, id) in last for event in seen),
        "shown_before": id in before,
        "filtered": request.filters is not None and not holds(request.filters, id, facts),
    }
    for rule in surface.rules:
        if rule.action == "exclude":
            found[f"rule:{rule.name}"] = holds(rule.when, id, facts)
    return {reason for reason, applies in found.items() if applies}


def full_groups(market: Market, surface: Surface, ids: list[str]) -> set[tuple[str, str]]:
    """The sellers and categories of which a page of ``ids`` has as many as it may."""
    counts = Counter(
        (dimension, value)
        for id in ids
        for dimension in surface.caps
        if (value := market.facts.get(id, {}).get(dimension)) is not None
    )
    for (dimension, _), count in counts.items():
        assert count <= surface.caps[dimension]
    return {group for group, count in counts.items() if count == surface.caps[group[0]]}


def groups_of(market: Market, surface: Surface, id: str) -> set[tuple[str, str]]:
    facts = market.facts.get(id, {})
    return {(d, facts[d]) for d in surface.caps if facts.get(d) is not None}


def check(market: Market, decision: Decision, before: tuple[str, ...]) -> None:
    surface, limit = decision.surface, decision.request.limit
    page = [decision.candidates[one.candidate] for one in decision.shown]
    assert len(set(page)) == len(page) <= limit
    assert len(set(decision.candidates)) == len(decision.candidates)
    assert set(page).isdisjoint(decision.dropped)
    full = full_groups(market, surface, page)
    open_: list[str] = []
    for id in decision.candidates:
        reasons = reasons_to_drop(market, decision, id, before)
        if reasons:
            assert decision.dropped[id] in reasons
            continue
        open_.append(id)
        if id in decision.dropped:
            assert decision.dropped[id] == "capped"
            assert groups_of(market, surface, id) & full
        else:
            assert id in page or len(page) == limit

    check_pins(market, decision, page, open_)
    pins = tuple(f"rule:{rule.name}" for rule in surface.rules if rule.action == "pin")
    free = [one for one in decision.shown if not set(one.reasons) & set(pins)]
    unknown = [decision.candidates[one.candidate] not in market.facts for one in free]
    assert unknown == sorted(unknown)
    assert all(
        ("unknown" in one.reasons) == (decision.candidates[one.candidate] not in market.facts)
        for one in decision.shown
    )
    assert all(0.0 < one.propensity <= 1.0 for one in decision.shown)
    if surface.temperature == 0.0:
        assert {one.propensity for one in decision.shown} <= {1.0}
        if not surface.diversity:
            logits = [logit(market, decision, one.candidate) for one in free]
            known = logits[: len(logits) - sum(unknown)]
            assert known == sorted(known, reverse=True)


def logit(market: Market, decision: Decision, candidate: int) -> float:
    id, total = decision.candidates[candidate], float(scores_of(decision)[candidate])
    for rule in decision.surface.rules:
        if rule.action in ("boost", "bury") and holds(rule.when, id, market.facts.get(id, {})):
            total += rule.amount if rule.action == "boost" else -rule.amount
    return total


def check_pins(market: Market, decision: Decision, page: list[str], open_: list[str]) -> None:
    surface = decision.surface
    rules = [r for r in surface.rules if r.action == "pin" and r.position <= decision.request.limit]
    pinned: list[str] = []
    for rule in sorted(rules, key=lambda rule: rule.position):
        places = [n for n, one in enumerate(decision.shown) if f"rule:{rule.name}" in one.reasons]
        if places:
            assert len(places) == 1
            assert holds(rule.when, page[places[0]], market.facts.get(page[places[0]], {}))
            short = len(page) < decision.request.limit
            assert places[0] == rule.position - 1 or (short and places[0] < rule.position)
            pinned.append(page[places[0]])
        else:
            full = full_groups(market, surface, pinned)
            for id in open_:
                if holds(rule.when, id, market.facts.get(id, {})):
                    assert id in pinned or groups_of(market, surface, id) & full


def decided(
    market: Market, rng: np.random.Generator, decisions: int
) -> Iterator[tuple[Decision, Any]]:
    index = build_index(market.columns, NOW)
    for number in range(decisions):
        surface = random_surface(rng)
        if number % 100 == 0:
            check_surface(surface, spec.plan)
        before = tuple(f"i{n}" for n in rng.integers(0, ITEMS, int(rng.integers(0, 30))))
        yield (
            rank(
                random_request(rng),
                market,
                spec,
                surface,
                FORMULA,
                index,
                now=NOW,
                seed=number,
                decision_id="01M83XJ8BV001G000000000000",
                shown_before=before,
            ),
            before,
        )


@pytest.mark.parametrize("decisions", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_rule_is_broken_and_every_drop_has_a_reason(decisions: int) -> None:
    """Each candidate is shown, dropped for a reason that holds, or below the limit; caps, pins,
    the order and "unknown comes last" hold; and every 20th runs again from its record."""
    rng = np.random.default_rng(1)
    market = Market(rng)
    reasons: Counter[str] = Counter()
    for number, (decision, before) in enumerate(decided(market, rng, decisions)):
        check(market, decision, before)
        reasons.update(reason.split(":")[0] for reason in decision.dropped.values())
        if number % 20 == 0:
            record = DECISIONS.encode(pack(decision))
            assert replay(DECISIONS.decode(record), FORMULA) is None
    assert set(reasons) == {
        "deleted",
        "out_of_stock",
        "blocked",
        "disliked",
        "seen",
        "shown_before",
        "filtered",
        "rule",
        "capped",
    }
    assert min(reasons.values()) > decisions // 100
