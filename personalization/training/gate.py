"""The gate: is a new model better than what serves, on what neither has learned from?

Two questions, both on newer pages than were learned from. Held-out NDCG@10: both order each
page's items, and the difference is bootstrapped by visitor. Off-policy: where pages were drawn
with known probabilities, what the first place would have earned under each (``off_policy``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from personalization.evaluation.bootstrap import Interval, Means
from personalization.features.view import F64
from personalization.ranking.scorer import Scorer
from personalization.training.cohorts import BIT, COHORTS
from personalization.training.examples import Examples
from personalization.training.off_policy import Places

TOP = 10
LEAST_LISTS = 100
MARGIN = 0.01
LEAST_EFFECTIVE = 100.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, and ``why`` in words.

    ``ndcg`` is, by cohort, ``candidate``, ``in_service`` and their ``difference``, each with its
    95 % interval, of ``lists`` pages with an outcome; ``off_policy`` the same of the first place,
    of pages that were drawn (empty: too few).
    """

    promote: bool
    why: str
    lists: int
    ndcg: Mapping[str, Mapping[str, Interval]]
    off_policy: Mapping[str, Interval]


def judge(
    reports: Sequence[tuple[Examples, Scorer]],
    in_service: Scorer,
    places: Places,
    *,
    seed: int,
) -> Verdict:
    """Promote only if NDCG is better, and by its interval not worse by more than ``MARGIN`` of what
    serves (non-inferiority: Piaggio et al., JAMA 2012); and the first place not worse for certain.

    ``reports`` are pages, each part with the candidate that has learned from none of them.
    """
    means = Means(len(COHORTS), 2, seed)
    lists = 0
    for report, candidate in reports:
        scores = [scorer.score(report.matrix) for scorer in (candidate, in_service)]
        told = np.stack([ndcg(report, each) for each in scores], axis=1)
        visitors = np.arange(len(report)) if report.visitors is None else report.visitors
        cohorts = np.ones(len(report), np.int64) if report.cohorts is None else report.cohorts
        for place in np.flatnonzero(~np.isnan(told[:, 0])).tolist():
            means.add(int(visitors[place]), int(cohorts[place]), told[place])
            lists += 1
    by_cohort = {
        name: _compared(means, bit.bit_length() - 1)
        for name, bit in BIT.items()
        if means.count(bit.bit_length() - 1)
    }
    drawn: dict[str, Interval] = {}
    if places.effective() >= LEAST_EFFECTIVE:
        drawn = places.compared(seed)
    promote, why = _decide(lists, by_cohort.get("all"), drawn)
    return Verdict(promote, why, lists, by_cohort, drawn)


def ndcg(examples: Examples, scores: F64) -> F64:
    """NDCG@10 of each list, float64[lists]; NaN where nothing came of it. Ties share their gain:
    of equal scores none comes first (McSherry & Najork, 2008)."""
    discounts = 1.0 / np.log2(np.arange(TOP) + 2.0)
    found = np.full(len(examples), np.nan)
    for place, (first, end) in enumerate(pairwise(examples.starts.tolist())):
        gains = examples.labels[first:end].astype(np.float64)
        if not gains.any() or end - first < 2:
            continue
        own = scores[first:end]
        order = np.argsort(-own, kind="stable")
        _, tied = np.unique(-own[order], return_inverse=True)
        shared = (np.bincount(tied, gains[order]) / np.bincount(tied))[tied]
        ideal = -np.sort(-gains)
        shown = min(TOP, end - first)
        found[place] = (shared[:shown] @ discounts[:shown]) / (ideal[:shown] @ discounts[:shown])
    return found


def _compared(means: Means, cohort: int) -> dict[str, Interval]:
    return {
        "candidate": means.mean(cohort, 0),
        "in_service": means.mean(cohort, 1),
        "difference": means.difference(cohort, 0, 1),
    }


def _decide(
    lists: int, ndcg: Mapping[str, Interval] | None, drawn: Mapping[str, Interval]
) -> tuple[bool, str]:
    if ndcg is None or lists < LEAST_LISTS:
        return False, f"{lists} pages with an outcome are too few to judge by: {LEAST_LISTS} needed"
    said = f"NDCG@{TOP} {_words(ndcg['difference'])} against what serves, on {lists} pages"
    value, low, _ = ndcg["difference"]
    margin = MARGIN * ndcg["in_service"][0]
    if value <= 0.0 or low < -margin:
        return False, f"{said}: not better, or it may be worse by more than {margin:.4f}"
    if drawn:
        said += f"; first place {_words(drawn['difference'])} outcomes by what was drawn"
        if drawn["difference"][2] < 0.0:
            return False, f"{said}: worse for certain"
    return True, said


def _words(interval: Interval) -> str:
    value, low, high = interval
    return f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
