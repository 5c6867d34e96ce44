"""Metrics and intervals against naive oracles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.evaluation.arm import Ranking
from personalization.evaluation.auc import Aucs
from personalization.evaluation.bootstrap import Means, poisson_weights, visitor_number
from personalization.evaluation.distinct import Distinct, count
from personalization.evaluation.metrics import (
    basket_metrics,
    list_metrics,
    rank_metrics,
    rank_of,
    weighted_auc,
)
from personalization.features.view import F64

pytestmark = pytest.mark.kernel

SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, -np.inf]), min_size=1, max_size=12)


@given(SCORES, st.data())
def test_a_rank_is_the_place_in_the_sorted_list(scores: list[float], data: st.DataObject) -> None:
    """Blocked items do not count, equal scores go by slot, what is not ranked has no place."""
    n = len(scores)
    target = data.draw(st.integers(1, n))
    blocked = np.array([False, *data.draw(st.lists(st.booleans(), min_size=n, max_size=n))])
    slots = np.arange(1, n + 1)
    order = sorted(
        (slot for slot in slots.tolist() if slot == target or not blocked[slot]),
        key=lambda slot: (-scores[slot - 1], slot),
    )
    expected = 0 if scores[target - 1] == -np.inf else 1 + order.index(target)
    assert rank_of(np.array(scores), slots, blocked, target) == expected


def test_what_is_not_among_the_candidates_has_no_rank() -> None:
    """A source that did not find it is a miss, and nothing is scored for it; else once."""
    blocked = np.zeros(4, np.bool_)
    assert rank_of(np.array([1.0]), np.array([2]), blocked, 3) == 0
    times: list[int] = []

    def scores() -> F64:
        times.append(1)
        return np.array([1.0, 2.0])

    ranking = Ranking(np.array([2, 3]), scores)
    assert (ranking.place(1, blocked), len(times)) == (0, 0)
    assert (ranking.place(2, blocked), ranking.place(3, blocked), len(times)) == (2, 1, 1)
    assert rank_metrics(11) == (0.0, 0.0, 1 / 11)


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=12, unique=True),
    st.sets(st.integers(1, 20), min_size=1),
)
def test_a_basket_is_measured_by_the_places_of_its_hits(shown: list[int], basket: set[int]) -> None:
    """DCG over ten places, by the best that could be had."""
    gains = [
        1 / math.log2(place + 1) if item in basket else 0.0
        for place, item in enumerate(shown[:10], start=1)
    ]
    best = sum(1 / math.log2(place + 1) for place in range(1, min(len(basket), 10) + 1))
    hit, ndcg = basket_metrics(shown, basket)
    assert hit == (1.0 if any(gains) else 0.0)
    assert ndcg == pytest.approx(sum(gains) / best)


def test_a_list_with_all_its_choices_on_top_is_perfect() -> None:
    """And the first choice at the end is as bad as can be."""
    chosen = np.array([True, False, True])
    assert list_metrics(np.array([3.0, 1.0, 2.0]), chosen) == pytest.approx((1.0, 1.0))
    assert list_metrics(np.array([1.0, 3.0, 2.0]), np.array([True, False, False])) == (1 / 3, 0.5)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.booleans(), st.integers(0, 3)),
        min_size=1,
        max_size=15,
    )
)
def test_auc_is_the_share_of_pairs_in_order(results: list[tuple[float, bool, int]]) -> None:
    """Each pair of a liked and another exposure, by their weights; equal scores count half."""
    scores = np.array([score for score, _, _ in results])
    labels = np.array([liked for _, liked, _ in results], np.int8)
    weights = np.array([float(weight) for _, _, weight in results])
    right = total = 0.0
    for score, liked, weight in results:
        for other, disliked, more in results:
            if liked and not disliked:
                total += weight * more
                right += weight * more * (1.0 if score > other else 0.5 if score == other else 0.0)
    found = weighted_auc(np.argsort(scores, kind="stable"), scores, labels, weights)
    assert (math.isnan(found) and total == 0.0) or found == pytest.approx(right / total)


def test_aucs_are_weighted_by_the_results_of_their_parts() -> None:
    """Two parts, one ranked perfectly and one the wrong way round, three times as long."""
    aucs = Aucs(2, seed=1, resamples=50)
    for part, n, good in (("a", 10, True), ("b", 30, False)):
        for number in range(n):
            liked = number % 2 == 0
            score = float(liked == good)
            aucs.add(visitor_number(f"{part}{number}"), 1, part, liked, [score, 0.5])
    own, ahead = aucs.of_cohorts()[0]
    assert own[0][0] == pytest.approx(0.25)
    assert own[1] == (0.5, 0.5, 0.5)
    assert ahead[0][0] == pytest.approx(0.25)


def test_weights_are_poisson_and_follow_the_visitor() -> None:
    """Mean and variance 1, the same for one visitor wherever they occur, others for others."""
    visitors = np.array([visitor_number(str(n)) for n in range(2000)])
    weights = poisson_weights(visitors, 5, 50)
    assert abs(weights.mean() - 1.0) < 0.02
    assert abs(weights.var() - 1.0) < 0.05
    again = poisson_weights(visitors[7:8], 5, 50)
    assert np.array_equal(again[0], weights[7])
    assert not np.array_equal(poisson_weights(visitors[7:8], 6, 50)[0], weights[7])
    assert abs(np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]) < 0.1


def test_an_interval_is_that_of_a_bootstrap_by_visitor() -> None:
    """Against resampling visitors with NumPy; three results of one visitor are not three."""
    random = np.random.default_rng(3)
    own = random.normal(size=300)
    means = Means(1, 2, seed=1, resamples=200)
    for number, value in enumerate(own):
        for _ in range(3):
            means.add(visitor_number(str(number)), 1, [value, value - 0.1])
    value, low, high = means.mean(0, 0)
    naive = [own[random.integers(0, 300, 300)].mean() for _ in range(2000)]
    expected = np.quantile(naive, [0.025, 0.975])
    assert means.count(0) == 900
    assert value == pytest.approx(own.mean())
    assert [low, high] == pytest.approx(expected.tolist(), abs=0.04)
    assert means.difference(0, 0, 1) == pytest.approx((0.1, 0.1, 0.1))


def test_intervals_hold_what_they_say() -> None:
    """Of 95 % intervals about 95 in 100 hold the truth."""
    random = np.random.default_rng(4)
    inside = 0
    for trial in range(100):
        means = Means(1, 1, seed=trial, resamples=100)
        for number in range(60):
            means.add(visitor_number(f"{trial}:{number}"), 1, [random.random()])
        _, low, high = means.mean(0, 0)
        inside += low <= 0.5 <= high
    assert 88 <= inside <= 100


def test_distinct_visitors_are_counted_within_two_per_cent() -> None:
    """Few, many, and the union of days."""
    days = [Distinct() for _ in range(3)]
    for number in range(60_000):
        days[number % 3].add(str(number))
        days[0].add(str(number // 2))
    assert count(days) == pytest.approx(60_000, rel=0.02)
    assert count(days[1:2]) == pytest.approx(20_000, rel=0.02)
