"""How much money: what the visitor spent before, and what is about to be spent."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import decay_factor, kernel, log1p
from personalization.features.affinity import check_dimension, codes_of
from personalization.features.amount import UNKNOWN_AMOUNT
from personalization.features.family import Feature
from personalization.features.levels import VISITOR
from personalization.features.view import F32, F64, I64, View
from personalization.plan import AffinityPlan, StatePlan, amounts_dimension, duration_ms

if TYPE_CHECKING:
    from personalization.spec import Spec

AMOUNT = "amount"
_MOST = 1e15
_LEAST = 1e-9


class AmountNow(Feature, frozen=True):
    """How much is about to be spent: the number ``amount`` of the request's context.

    float32[n], log1p, the same for all candidates; ``UNKNOWN_AMOUNT`` where it is not given, or
    below 0.
    """

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        return ("amount_now",)

    def compute(self, view: View, out: F32) -> None:
        out[:, 0] = log_amount_now(view)


class Spent(Feature, frozen=True):
    """How much the visitor spent before: with the candidate's value of ``by``, or with all
    (``by="visitor"``).

    Two float32[n]: log1p of the decayed sum of their events' ``value``, and how many times the
    mean before the amount of now is (``AmountNow``), as a logarithm: 0 for the usual amount, and
    where either is not known. The mean is by unit of the events' weight, so events with a value
    should weigh 1. Needs ``Affinity(by)`` at the same half-life, ``"visitor"`` a half-life of the
    spec's; ``size`` values are kept.
    """

    by: str
    half_life: str = "30d"
    size: int = 16

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        plan, half_life = spec.plan, duration_ms(self.half_life)
        if self.by == VISITOR:
            plan.counter(plan.events[0], half_life)
        else:
            check_dimension(self.by, plan)
            index = plan.affinity_index.get((self.by, False))
            if index is None or plan.affinities[index].half_life != half_life:
                raise ValueError(f"needs Affinity({self.by!r}, half_life={self.half_life!r})")
        name = f"spent_{self.by}_{self.half_life}"
        return (name, f"{name}_gap")

    def affinities(self) -> tuple[AffinityPlan, ...]:
        size = 1 if self.by == VISITOR else self.size
        dimension = amounts_dimension(self.by, self.half_life)
        return (AffinityPlan(dimension, False, duration_ms(self.half_life), size),)

    def compute(self, view: View, out: F32) -> None:
        visitor, plan = view.visitor, view.plan
        if visitor is None:
            return
        index = plan.affinity_index[amounts_dimension(self.by, self.half_life), False]
        amounts, now = visitor.affinities[index], view.moment.now
        if not amounts.entries:
            return
        half_life = duration_ms(self.half_life)
        factor = decay_factor(float(max(now - amounts.at, 0)), half_life)
        if self.by == VISITOR:
            values, keys = np.zeros((len(out), 1), np.int64), np.zeros(1, np.int64)
            times = np.array([_times(view, plan, half_life)])
            [amount] = [amount for amount, _ in amounts.entries.values()][:1]
            sums = np.array([amount])
        else:
            weights = visitor.affinities[plan.affinity_index[self.by, False]]
            again = decay_factor(float(max(now - weights.at, 0)), half_life)
            values = codes_of(view, self.by)
            keys = np.array([view.code.get(value, -1) for value in amounts.entries], np.int64)
            sums = np.array([amount for amount, _ in amounts.entries.values()])
            nothing = (0.0, 0)
            times = again * np.array(
                [weights.entries.get(value, nothing)[0] for value in amounts.entries]
            )
        log_spent(values, keys, sums * factor, times, log_amount_now(view), out)


def log_amount_now(view: View) -> float:
    """See ``AmountNow``."""
    amount = view.moment.context.get(AMOUNT)
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount >= 0.0:
        return UNKNOWN_AMOUNT
    return float(log1p(min(float(amount), _MOST)))


def _times(view: View, plan: StatePlan, half_life: int) -> float:
    """How often the visitor did something with a weight, by weight, decayed."""
    return sum(
        weight * float(view.visitor_decayed[plan.counter(event, half_life)])
        for event, weight in zip(plan.events, plan.weights, strict=True)
        if weight > 0.0
    )


@kernel("void(int64[:, :], int64[:], float64[:], float64[:], float64, float32[:, :])")
def log_spent(values: I64, keys: I64, sums: F64, times: F64, now: float, out: F32) -> None:
    """For each row of ``values`` [n, T] (-1: none) what was spent with those ``keys`` [k] that are
    among them: log1p of the ``sums`` [k], and ``now`` less log1p of the mean by ``times`` [k], into
    ``out`` [n, 2]."""
    for i in range(len(values)):
        spent, often = 0.0, 0.0
        for t in range(values.shape[1]):
            for k in range(len(keys)):
                if values[i, t] >= 0 and keys[k] == values[i, t]:
                    spent += max(sums[k], 0.0)
                    often += max(times[k], 0.0)
        out[i, 0] = log1p(min(spent, _MOST))
        if often > _LEAST and now >= 0.0:
            out[i, 1] = now - log1p(min(spent / often, _MOST))
