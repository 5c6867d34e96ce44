"""From values and scores to a page: drops, rules, caps, diversity and the draw.

Pure, and all of it: a decision and its replay both come from ``choose``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from personalization.features.view import F64, I64, Bool
from personalization.guarantee import ITEMS, NOT_OWED, PATIENCE, SELLERS
from personalization.ranking.filters import Predicate, items_in
from personalization.ranking.select import NO_CAP, SETTLED, Ballot, select
from personalization.ranking.surface import SCORES, Rule, Surface
from personalization.ranking.values import IN_STOCK, SELLER, Values, among

CAPPED = "capped"
GUARANTEED = ("guarantee:item", "guarantee:seller")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a page must keep to, compiled: one request on one surface, for one visitor.

    ``seen`` and ``disliked`` are items of the visitor's last interactions.
    """

    surface: Surface
    rules: Sequence[tuple[Rule, Predicate]]
    caller: Predicate | None
    seen: frozenset[str]
    disliked: frozenset[str]
    shown_before: frozenset[str]
    limit: int
    seed: int

    def reads(self) -> set[str]:
        """The attributes that are looked at."""
        names = {IN_STOCK, *self.surface.caps, *self.surface.diversity}
        names.update(*(predicate.reads for _, predicate in self.rules))
        if self.caller is not None:
            names.update(self.caller.reads)
        if self.surface.blocked.sellers or self.surface.guarantee is not None:
            names.add(SELLER)
        return names


@dataclass(frozen=True, slots=True)
class Choice:
    """The page. ``dropped`` gives an item's reason, ``order`` the candidates shown with their
    ``propensities``, ``reasons`` what put each of them there beside its score."""

    dropped: dict[str, str]
    order: I64
    propensities: F64
    reasons: list[list[str]]


def choose(values: Values, scores: F64, terms: Terms) -> Choice:
    """Drop, then draw ``terms.limit`` of the rest by ``scores`` [n] (finite, logits).

    Each candidate ends up shown, in ``dropped`` with a reason, or below the limit. Reasons, the
    first that holds: ``deleted``, ``out_of_stock``, ``blocked``, ``disliked``, ``seen``,
    ``shown_before``, ``filtered`` (the caller's), ``rule:<name>``; and ``capped`` for what was
    not shown because its seller or category had its share of the page. Unknown candidates come
    after all others. The reason of what is shown by the surface's guarantee is ``guarantee:item``
    or ``guarantee:seller``, whichever is further behind. Of pairs that are
    only scored nothing is dropped or shown.
    """
    if terms.surface.name == SCORES:
        return Choice({}, np.empty(0, np.int64), np.empty(0), [])
    held = {rule.name: predicate.mask(values) for rule, predicate in terms.rules}
    dropped = _drops(values, terms, held)
    logits = scores
    for rule, _ in terms.rules:
        if rule.action in ("boost", "bury"):
            amount = rule.amount if rule.action == "boost" else -rule.amount
            logits = logits + amount * held[rule.name]
    groups, caps, penalties = _groups(values, terms.surface)
    rank = np.where(values.known, 0, 1)
    rank[list(dropped)] = SETTLED
    pins, pinned_by = _pins(logits, rank, groups, caps, terms, held)
    due = _due(values, logits, rank, terms.surface)
    every = NO_CAP if terms.surface.guarantee is None else terms.surface.guarantee.every
    ballot = Ballot(logits, rank, groups, caps, penalties, pins, due, every)
    order, propensities = select(ballot, terms.surface.temperature, terms.seed)
    shown = order.tolist()
    if terms.surface.caps:
        for candidate in _capped(shown, rank, groups, caps):
            dropped[candidate] = CAPPED
    reasons = [_reasons(c, values, terms, held, pinned_by) for c in shown]
    if due is not None:
        for place in range(every - 1, len(shown), every):
            if due[shown[place]] > NOT_OWED:
                late = values.lateness[:, shown[place]]
                reasons[place].append(GUARANTEED[int(late[SELLERS] > late[ITEMS])])
    return Choice({values.ids[c]: r for c, r in dropped.items()}, order, propensities, reasons)


def _drops(values: Values, terms: Terms, held: dict[str, Bool]) -> dict[int, str]:
    blocked = terms.surface.blocked
    tests: list[tuple[str, Bool]] = [("deleted", values.deleted)]
    if IN_STOCK in values.flags:
        tests.append(("out_of_stock", values.flags[IN_STOCK] == 0))
    if blocked.items:
        tests.append(("blocked", items_in(values.ids, frozenset(blocked.items))))
    if blocked.sellers:
        codes = [values.code_of(seller) for seller in blocked.sellers]
        tests.append(("blocked", among(values.texts[SELLER], codes)))
    for reason, items in (
        ("disliked", terms.disliked),
        ("seen", terms.seen),
        ("shown_before", terms.shown_before),
    ):
        if items:
            tests.append((reason, items_in(values.ids, items)))
    if terms.caller is not None:
        tests.append(("filtered", ~terms.caller.mask(values)))
    for rule, _ in terms.rules:
        if rule.action == "exclude":
            tests.append((f"rule:{rule.name}", held[rule.name]))
    dropped: dict[int, str] = {}
    for reason, mask in tests:
        for candidate in mask.nonzero()[0].tolist():
            dropped.setdefault(candidate, reason)
    return dropped


def _groups(values: Values, surface: Surface) -> tuple[I64, I64, F64]:
    """Each grouping's codes, its cap and its penalty."""
    names = sorted({*surface.caps, *surface.diversity})
    groups = np.empty((len(names), len(values.ids)), np.int64)
    for row, name in enumerate(names):
        groups[row] = values.texts[name]
    caps = np.array([surface.caps.get(name, NO_CAP) for name in names], np.int64)
    penalties = np.array([surface.diversity.get(name, 0.0) for name in names], np.float64)
    return groups, caps, penalties


def _pins(
    logits: F64, rank: I64, groups: I64, caps: I64, terms: Terms, held: dict[str, Bool]
) -> tuple[I64, dict[int, str]]:
    """Set aside the best candidate of each pinning rule, from the top, within the caps.

    A position beyond the limit, or one that nothing is left for, stays free.
    """
    pins = np.full(terms.limit, -1, np.int64)
    pinned_by: dict[int, str] = {}
    rules = sorted(
        (rule for rule, _ in terms.rules if rule.action == "pin"), key=lambda rule: rule.position
    )
    for rule in rules:
        if rule.position > terms.limit:
            break
        room = held[rule.name] & (rank < SETTLED)
        for row, cap in enumerate(caps.tolist()):
            codes = groups[row]
            taken = Counter(int(codes[c]) for c in pinned_by if codes[c] >= 0)
            room &= ~among(codes, [code for code, count in taken.items() if count >= cap])
        open_ = room.nonzero()[0]
        if len(open_):
            best = open_[np.lexsort((-logits[open_], rank[open_]))[0]]
            pins[rule.position - 1] = best
            pinned_by[int(best)] = rule.name
            rank[best] = SETTLED
    return pins, pinned_by


def _due(values: Values, logits: F64, rank: I64, surface: Surface) -> F64 | None:
    """How far behind each candidate is that may have a place of the guarantee's now [n] (-inf:
    not this one); ``None`` where no candidate may.

    Who is best liked of all is due as soon as it is behind; who is liked least only when it is
    ``PATIENCE`` behind: until then a visitor may come whom it fits. Only the order of scores
    counts, so that this holds on any scale.
    """
    if surface.guarantee is None or not (values.lateness > NOT_OWED).any():
        return None
    late: F64 = values.lateness.max(axis=0)
    among_them = np.sort(logits[rank < SETTLED])
    above = len(among_them) - np.searchsorted(among_them, logits, side="right")
    waits = late >= PATIENCE * above / max(len(among_them), 1)
    due: F64 = np.where(waits & (rank == 0), late, NOT_OWED)
    return due if (due > NOT_OWED).any() else None


def _capped(shown: list[int], rank: I64, groups: I64, caps: I64) -> list[int]:
    """Candidates not shown that a full group kept from the page."""
    full = np.zeros(len(rank), np.bool_)
    for row, cap in enumerate(caps.tolist()):
        taken = Counter(code for code in groups[row, shown].tolist() if code >= 0)
        full |= among(groups[row], [code for code, count in taken.items() if count >= cap])
    full &= rank < SETTLED
    full[shown] = False
    return full.nonzero()[0].tolist()


def _reasons(
    candidate: int,
    values: Values,
    terms: Terms,
    held: dict[str, Bool],
    pinned_by: dict[int, str],
) -> list[str]:
    reasons = [] if values.known[candidate] else [UNKNOWN]
    for rule, _ in terms.rules:
        name = rule.name
        if rule.action == "pin":
            applied = pinned_by.get(candidate) == name
        else:
            applied = rule.action != "exclude" and bool(held[name][candidate])
        if applied:
            reasons.append(f"rule:{name}")
    return reasons
