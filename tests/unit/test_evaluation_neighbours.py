"""Neighbours against loops over everything."""

import math

import numpy as np
import pytest

from personalization.evaluation.exposures import like_minded
from personalization.evaluation.history import OpenSession
from personalization.evaluation.neighbours import Neighbours, Variant
from personalization.evaluation.query import Asker, Query

pytestmark = pytest.mark.kernel

SIZE = 9
ASKED_BEFORE = [5, 1, 3]
ASKER = Asker("v", None, None, 1_795_392_000_000)


def sessions(seed: int, n: int = 12) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [
        random.permutation(np.arange(1, SIZE))[: 1 + int(random.integers(5))].tolist()
        for _ in range(n)
    ]


def asked(session: list[int], before: list[int]) -> Query:
    return Query(ASKER, None, np.array(before + session), np.array(session, np.int64))


def expected(known: list[list[int]], asked: dict[int, float], variant: Variant) -> list[float]:
    in_sessions = {slot: sum(slot in one for one in known) for slot in range(1, SIZE)}
    alike = []
    for one in known:
        shares = [
            weight / math.sqrt(in_sessions[slot] + 1) if variant.nearest == 0 else weight
            for slot, weight in asked.items()
            if slot in one
        ]
        alike.append(sum(shares) / len(one) ** variant.length)
    if variant.nearest:
        positive = sorted((value for value in alike if value > 0), reverse=True)
        least = positive[variant.nearest - 1] if len(positive) > variant.nearest else 0.0
        alike = [value if value >= least else 0.0 for value in alike]
    scores = []
    for slot in range(1, SIZE):
        score = sum(value for value, one in zip(alike, known, strict=True) if slot in one)
        if variant.nearest == 0:
            score /= math.sqrt(in_sessions[slot] + 1)
        score *= 1 + variant.again * ASKED_BEFORE.count(slot)
        scores.append(score)
    return scores


@pytest.mark.parametrize(
    "variant",
    [
        Variant(0, 0.5, 0.25, 0.0, 0.0),
        Variant(3, 0.5, 0.25, 0.0, 0.0),
        Variant(0, 0.5, 0.25, 0.75, 2.0),
        Variant(3, 0.5, 0.25, 0.75, 2.0),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neighbours_are_those_of_all_sessions(variant: Variant, seed: int) -> None:
    """Both kinds: sessions like this one, and items met together, by cosine. Items of the session
    count in full, newest first, those before it by a quarter; long sessions for less, and what
    the visitor had for more."""
    knn, known = Neighbours(variant), sessions(seed)
    for number, slots in enumerate(known):
        session = OpenSession(None, number, 0)
        for slot in slots:
            knn.learn(ASKER, session, slot)
    weights = {3: 1.0, 1: 0.5, 5: 0.25 * 0.5**2}
    ranking = knn.rank(asked([1, 3], [5]), SIZE)
    assert ranking.slots.tolist() == list(range(1, SIZE))
    assert ranking.scores == pytest.approx(expected(known, weights, variant))


def test_nobody_asked_about_anything_has_no_neighbours() -> None:
    """All scores are 0."""
    assert not Neighbours().rank(asked([], []), SIZE).scores.any()


def test_the_like_minded_move_an_items_rate() -> None:
    """Against the sums written out: the squared cosine of what both have an opinion on, shrunk,
    weighs how much the other's opinion differs from the rate."""
    random = np.random.default_rng(5)
    opinions = random.integers(0, 3, (8, 10)).astype(np.int8)
    opinions[0, 4] = 0
    rates = random.random(10)
    own = np.flatnonzero(opinions[0])
    moved, weight = 0.0, 2.0
    for other in range(1, 8):
        shared = [j for j in own if opinions[other, j]]
        if not opinions[other, 4] or not shared:
            continue
        mine = np.array([opinions[0, j] - 1 - rates[j] for j in shared])
        theirs = np.array([opinions[other, j] - 1 - rates[j] for j in shared])
        cosine = mine @ theirs / np.sqrt((mine @ mine) * (theirs @ theirs))
        if cosine > 0:
            alike = (cosine * len(shared) / (len(shared) + 8)) ** 2
            moved += alike * (opinions[other, 4] - 1 - rates[4])
            weight += alike
    assert like_minded(opinions, 0, own, 4, rates) == pytest.approx(moved / weight)
