"""How much a ``Rate`` should trust its prior, learned from a log.

A level's events and exposures are beta-binomial given its parent's rate, with ``strength`` for
the two parameters' sum. Of exposures in a row the marginal likelihood is a product: of each the
rate that was known before it, which is the feature's own value (the Pólya urn). So empirical Bayes
is to choose the ``strength`` and ``prior`` under which these values had the least log loss; the
chain rule also holds where counts decay, where a likelihood of the counts themselves would not.

Agarwal & Chen, Statistical Methods for Recommender Systems, 2016, §7; Minka, Estimating a Dirichlet
distribution, 2000; one step ahead: Dawid, Statistical theory: the prequential approach, 1984.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from personalization.evaluation.bootstrap import Interval, Means
from personalization.features.rate import smoothed_rate
from personalization.features.view import F32, F64, I64, Bool
from personalization.training.trials import NEVER, Trials

BUCKETS = ("all", "0", "1-9", "10-99", "100+")
"""Exposures by how many their entity had before."""

_STARTS = (1, 10, 100)
_FEWEST_ENTITIES = 10
_FEWEST_OUTCOMES = 20
_STRENGTHS = (0.01, 1e6)
_PRIORS = (1e-6, 0.99)
_CHANCE = 1.353  # half of the 5 % point of chi-squared for a variance that may be 0 (Self & Liang)
_USUAL_STRENGTH = 20.0
_SEED = 1


class Values(NamedTuple):
    """The parameters of a ``Rate`` that are learned."""

    strength: float
    prior: float


class TooLittle(ValueError):
    """There is nothing to learn the values from; the message says why."""


class Cell(NamedTuple):
    """Log loss (nats per exposure) on exposures of some entities, ``rate`` of which were followed
    by the event. ``gain`` is how much lower it is with the learned values, paired; intervals are
    95 %, bootstrapped by entity."""

    exposures: int
    entities: int
    rate: float
    declared: Interval
    learned: Interval
    gain: Interval


def split(trials: Trials) -> tuple[Trials, Trials]:
    """The earlier half to learn from, as it was known when the later half began, and that half.

    What the later half's events are changes nothing of the earlier half.
    """
    if not len(trials.places):
        return trials, trials
    start = trials.places[len(trials.places) // 2]
    half = int(np.searchsorted(trials.places, start))
    earlier, later = trials.where(slice(half)), trials.where(slice(half, None))
    known_by_then = np.where(earlier.outcomes < start, earlier.outcomes, NEVER)
    return earlier._replace(outcomes=known_by_then), later


def learn(trials: Trials) -> Values:
    """The values under which ``trials`` are likeliest, to two digits. Raises ``TooLittle``."""
    followed = trials.outcomes != NEVER
    n, events, entities = len(followed), int(followed.sum()), len(np.unique(trials.entities))
    if entities < _FEWEST_ENTITIES:
        raise TooLittle(f"only {entities} entities were exposed: {_FEWEST_ENTITIES} are needed")
    if min(events, n - events) < _FEWEST_OUTCOMES:
        raise TooLittle(
            f"of {n:,} exposures {events:,} led to the event: {_FEWEST_OUTCOMES} must, and as many"
            " must not"
        )
    mean = events / n
    values = likeliest(trials)
    by_chance = -n * (mean * np.log(mean) + (1.0 - mean) * np.log1p(-mean))
    if by_chance - float(losses(trials, values).sum()) < _CHANCE:
        raise TooLittle("entities differ no more than by chance: any large strength does")
    return Values(float(f"{values.strength:.2g}"), float(f"{values.prior:.2g}"))


def likeliest(trials: Trials) -> Values:
    """The values under which ``trials`` have the least log loss; there must be outcomes and others.

    One exposure more, at the rate of all, keeps ``prior`` there if no root entity was new.
    """
    mean = float((trials.outcomes != NEVER).mean())

    def loss(at: F64) -> float:
        values = Values(float(np.exp(at[0])), float(expit(at[1])))
        one = mean * np.log(values.prior) + (1.0 - mean) * np.log1p(-values.prior)
        return float(losses(trials, values).sum() - one)

    start = np.array([np.log(_USUAL_STRENGTH), logit(np.clip(mean, *_PRIORS))])
    found = minimize(
        loss,
        start,
        method="Nelder-Mead",
        bounds=[np.log(_STRENGTHS), logit(_PRIORS)],
        options={
            "initial_simplex": start + np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, 0.3]]),
            "xatol": 1e-3,
            "fatol": 1e-3,
        },
    )
    return Values(float(np.exp(found.x[0])), float(expit(found.x[1])))


def losses(trials: Trials, values: Values) -> F64:
    """The log loss (nats) of the feature's value before each of n exposures, float64[n]."""
    rates: F32 = np.empty((len(trials.places), 1), np.float32)
    known = trials.known.transpose(1, 0, 2)
    layers: I64 = np.arange(len(known))
    smoothed_rate(known, layers, 0, 1, values.strength, values.prior, rates)
    told: Bool = trials.outcomes != NEVER
    right: F64 = np.where(told, rates[:, 0], 1.0 - rates[:, 0].astype(np.float64))
    return -np.log(right)


def compare(trials: Trials, declared: Values, learned: Values) -> dict[str, Cell]:
    """The log loss of both on ``trials``, by how many exposures the entity had before; only those
    of ``BUCKETS`` that have any."""
    buckets = 1 + np.searchsorted(_STARTS, trials.before, "right")
    pairs, groups = np.unique(
        np.column_stack([trials.entities, buckets]), axis=0, return_inverse=True
    )
    columns = [
        np.ones(len(buckets)),
        trials.outcomes != NEVER,
        losses(trials, declared),
        losses(trials, learned),
    ]
    sums = np.column_stack([np.bincount(groups.reshape(-1), column) for column in columns])
    means = Means(len(BUCKETS), 5, _SEED)
    for (entity, bucket), (n, events, before, after) in zip(pairs, sums, strict=True):
        values = [n, events, before, after, before - after]
        means.add(int(entity), 1 | 1 << int(bucket), values)
    cells = {}
    for number, name in enumerate(BUCKETS):
        inside = slice(None) if number == 0 else pairs[:, 1] == number
        if len(pairs[inside]):
            rate, *told = (means.ratio(number, column, 0) for column in (1, 2, 3, 4))
            entities = len(np.unique(pairs[inside][:, 0]))
            cells[name] = Cell(int(sums[inside, 0].sum()), entities, rate[0], *told)
    return cells
