"""The draw: the best, or one by softmax, and what it says of its own chances."""

import math
from typing import Any

import numpy as np
import pytest

from personalization.ranking.select import NO_CAP, SETTLED, Ballot, select

pytestmark = pytest.mark.kernel


def ballot(
    logits: list[float],
    limit: int,
    rank: list[int] | None = None,
    groups: list[list[int]] | None = None,
    caps: list[int] | None = None,
    penalties: list[float] | None = None,
    pins: dict[int, int] | None = None,
) -> Ballot:
    n, groups = len(logits), groups or []
    places = np.full(limit, -1, np.int64)
    for position, candidate in (pins or {}).items():
        places[position] = candidate
    return Ballot(
        np.array(logits, np.float64),
        np.array(rank or [0] * n, np.int64),
        np.array(groups, np.int64).reshape(len(groups), n),
        np.array(caps or [NO_CAP] * len(groups), np.int64),
        np.array(penalties or [0.0] * len(groups), np.float64),
        places,
    )


def naive(given: Ballot, temperature: float, seed: int) -> tuple[list[int], list[float]]:
    """The draw as its docstring says it, one step after the other."""
    limit = len(given.pins)
    uniforms = [x >> 11 for x in np.random.PCG64(seed).random_raw(limit).tolist()]
    pins = {p: c for p, c in enumerate(given.pins.tolist()) if c >= 0}
    left = {c for c in range(len(given.logits)) if given.rank[c] < SETTLED}
    order: list[int] = []
    chances: list[float] = []
    for position in range(limit):
        if position in pins:
            order.append(pins.pop(position))
            chances.append(1.0)
            continue
        counted = [*order, *pins.values()]
        fits = [
            c
            for c in sorted(left)
            if all(
                codes[c] < 0 or sum(codes[o] == codes[c] for o in counted) < cap
                for codes, cap in zip(given.groups, given.caps, strict=True)
            )
        ]
        fits = [c for c in fits if given.rank[c] == min(given.rank[o] for o in fits)]
        if not fits:
            if not pins:
                break
            order.append(pins.pop(min(pins)))
            chances.append(1.0)
            continue
        logits = []
        for c in fits:
            logit = given.logits[c]
            for codes, penalty in zip(given.groups, given.penalties, strict=True):
                logit -= penalty * sum(codes[c] >= 0 and codes[o] == codes[c] for o in order)
            logits.append(logit)
        place, chance = logits.index(max(logits)), 1.0
        if temperature > 0:
            weights = [math.exp((logit - max(logits)) / temperature) for logit in logits]
            target, place = uniforms[position] * 2.0**-53 * sum(weights), -1
            while place < 0 or target >= 0:
                place += 1
                target -= weights[place]
            chance = weights[place] / sum(weights)
        left.discard(fits[place])
        order.append(fits[place])
        chances.append(chance)
    return order, chances


def random_ballot(rng: np.random.Generator) -> Ballot:
    n, limit, several = int(rng.integers(0, 30)), int(rng.integers(1, 12)), int(rng.integers(0, 3))
    rank = rng.choice(3, n, p=[0.7, 0.15, 0.15]).tolist()
    groups = rng.integers(-1, 4, (several, n)).tolist()
    caps = [int(c) for c in rng.choice([1, 2, 4, NO_CAP], several)]
    penalties = [float(p) for p in rng.choice([0.0, 0.5], several)]
    pins: dict[int, int] = {}
    for position in range(limit):
        free = [c for c in range(n) if rank[c] < SETTLED]
        if free and rng.random() < 0.1:
            pins[position] = int(rng.choice(free))
            rank[pins[position]] = SETTLED
    logits = rng.integers(-3, 4, n).astype(float).tolist()
    return ballot(logits, limit, rank, groups, caps, penalties, pins)


@pytest.mark.parametrize("temperature", [0.0, 0.3, 2.0])
def test_the_draw_is_what_its_description_says(temperature: float) -> None:
    """Against a naive reading of it, on random ballots with ties, caps, penalties and pins."""
    rng = np.random.default_rng(5)
    for seed in range(300):
        given = random_ballot(rng)
        order, propensities = select(given, temperature, seed)
        expected, chances = naive(given, temperature, seed)
        assert order.tolist() == expected
        assert propensities.tolist() == pytest.approx(chances, rel=1e-12)


def test_at_temperature_zero_it_is_a_sort() -> None:
    """Without caps and penalties: by logit, then in the order of candidates; all certain."""
    logits = np.random.default_rng(3).integers(0, 20, 300).astype(float)
    order, propensities = select(ballot(logits.tolist(), 100), 0.0, 1)
    assert order.tolist() == np.argsort(-logits, kind="stable")[:100].tolist()
    assert set(propensities.tolist()) == {1.0}


def test_propensities_are_the_frequencies() -> None:
    """How often a first item is drawn over many seeds is what is logged for it."""
    given = ballot([0.0, 1.0, 2.0], 2)
    drawn = [select(given, 1.0, seed) for seed in range(4000)]
    for candidate in range(3):
        chances = {p[0] for o, p in drawn if o[0] == candidate}
        frequency = sum(o[0] == candidate for o, _ in drawn) / len(drawn)
        assert len(chances) == 1
        assert frequency == pytest.approx(chances.pop(), abs=0.025)


def test_a_propensity_is_conditional_on_what_is_above() -> None:
    """The second chance is among those that are left."""
    order, propensities = select(ballot([0.0, 0.0, 0.0, 0.0], 4), 1.0, 3)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert propensities.tolist() == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1])


def test_a_hopeless_candidate_is_never_drawn_while_there_are_others() -> None:
    """A weight that vanishes is 0, not a division by it; alone, it is certain."""
    order, propensities = select(ballot([0.0, -1e9], 2), 0.001, 1)
    assert (order.tolist(), propensities.tolist()) == ([0, 1], [1.0, 1.0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pins": {1: 3}}, [0, 3, 1]),
        ({"pins": {0: 3, 2: 2}}, [3, 0, 2]),
        ({"rank": [2, 2, 2, 2], "pins": {2: 3}}, [3]),
        ({"groups": [[7, 7, 8, 8]], "caps": [1]}, [0, 2]),
        ({"groups": [[7, 7, 8, 7]], "caps": [1], "pins": {2: 3}}, [2, 3]),
        ({"groups": [[-1, -1, -1, -1]], "caps": [1]}, [0, 1, 2]),
        ({"groups": [[7, 7, 8, 8]], "penalties": [5.0]}, [0, 2, 1]),
        ({"rank": [1, 0, 0, 2]}, [1, 2, 0]),
    ],
    ids=str,
)
def test_caps_pins_and_ranks(given: dict[str, Any], expected: list[int]) -> None:
    """Four candidates, the first the best; three places."""
    pins = given.get("pins", {})
    rank = list(given.pop("rank", [0, 0, 0, 0]))
    for candidate in pins.values():
        rank[candidate] = SETTLED
    order, _ = select(ballot([4.0, 3.0, 2.0, 1.0], 3, rank, **given), 0.0, 1)
    assert order.tolist() == expected
