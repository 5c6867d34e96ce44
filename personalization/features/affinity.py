"""What the visitor likes: categories, brands, sellers, tags."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import decay_factor, kernel, log1p
from personalization.features.family import Feature
from personalization.features.session import current_session
from personalization.features.view import F32, F64, I64, SELLER, View
from personalization.plan import AffinityPlan, StatePlan, duration_ms
from personalization.state.visitor import daypart

if TYPE_CHECKING:
    from personalization.spec import Spec

DAYPART = "daypart"


class Affinity(Feature, frozen=True):
    """How much of the visitor's interest falls on the candidate's value of ``dimension``.

    ``dimension`` is a category, the tags, or ``"seller"``; ``by="daypart"`` looks only at what
    happened in the same part of the visitor's local day. Two float32[n]: the share of the
    absolute weight of all values kept, in [-1, 1] (below 0: disliked; of an item's tags the sum,
    cut at 1), and the decayed weight w itself as sign(w) * log1p(\\|w\\|). Both 0 for a value
    never met. ``size`` values are kept at ``half_life``.
    """

    dimension: str
    by: str | None = None
    half_life: str = "7d"
    size: int = 16

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        check_dimension(self.dimension, spec.plan)
        if self.by not in (None, DAYPART):
            raise ValueError(f"by={self.by!r}: only {DAYPART!r} is known")
        name = f"affinity_{self.dimension}" + ("" if self.by is None else f"_{self.by}")
        return (name, f"{name}_weight")

    def affinities(self) -> tuple[AffinityPlan, ...]:
        by_daypart = self.by is not None
        return (AffinityPlan(self.dimension, by_daypart, duration_ms(self.half_life), self.size),)

    def compute(self, view: View, out: F32) -> None:
        visitor = view.visitor
        if visitor is None:
            return
        index = view.plan.affinity_index[self.dimension, self.by is not None]
        topk = visitor.affinities[index]
        if self.by is None:
            weights = {key: entry[0] for key, entry in topk.entries.items()}
        else:
            part = f"{daypart(view.moment.now, view.moment.utc_offset)}|"
            weights = {
                key[len(part) :]: entry[0]
                for key, entry in topk.entries.items()
                if key.startswith(part)
            }
        elapsed = max(view.moment.now - topk.at, 0)
        factor = decay_factor(elapsed, view.plan.affinities[index].half_life)
        fill_shares(view, self.dimension, weights, factor, out)


class SessionAffinity(Feature, frozen=True):
    """How much of the interest shown in the current session falls on the candidate's value.

    float32[n], a share in [-1, 1] as in ``Affinity``; 0 without a session, or when it is over.
    Needs ``Affinity(dimension)`` in the same spec.
    """

    dimension: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        check_dimension(self.dimension, spec.plan)
        if self.dimension not in spec.plan.session_index:
            raise ValueError(f"needs Affinity({self.dimension!r}) in the same spec")
        return (f"session_{self.dimension}",)

    def compute(self, view: View, out: F32) -> None:
        session = current_session(view)
        if session is not None:
            weights = session.affinities[view.plan.session_index[self.dimension]]
            fill_shares(view, self.dimension, weights, 1.0, out)


class AffinityCount(Feature, frozen=True):
    """How many events the visitor had with the candidate's value of ``dimension``, ever.

    float32[n], log1p of a plain count, of an item's tags the sum; 0 for a value never met, or
    driven out of the map by heavier ones. Tells the first time with a seller from the third,
    where weights have decayed. Needs ``Affinity(dimension)`` in the same spec.
    """

    dimension: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        check_dimension(self.dimension, spec.plan)
        if (self.dimension, False) not in spec.plan.affinity_index:
            raise ValueError(f"needs Affinity({self.dimension!r}) in the same spec")
        return (f"affinity_{self.dimension}_count",)

    def compute(self, view: View, out: F32) -> None:
        visitor = view.visitor
        if visitor is None:
            return
        entries = visitor.affinities[view.plan.affinity_index[self.dimension, False]].entries
        if entries:
            log_counts(
                codes_of(view, self.dimension),
                np.array([view.code.get(value, -1) for value in entries], np.int64),
                np.array([count for _, count in entries.values()], np.float64),
                out,
            )


def check_dimension(dimension: str, plan: StatePlan) -> None:
    """Raises ``ValueError`` unless items have the dimension."""
    known = (SELLER, *plan.categories, *plan.tags)
    if dimension not in known:
        raise ValueError(f"{dimension!r} is none of {', '.join(known)}")


def fill_shares(
    view: View, dimension: str, weights: Mapping[str, float], factor: float, out: F32
) -> None:
    """The shares of ``weights`` that fall on the candidates' values; see ``shares``."""
    if not weights:
        return
    code = view.code
    shares(
        codes_of(view, dimension),
        np.array([code.get(value, -1) for value in weights], np.int64),
        np.array(list(weights.values()), np.float64),
        factor,
        out,
    )


def codes_of(view: View, dimension: str) -> I64:
    """The candidates' values of ``dimension`` [n, T], as codes of texts (-1: none)."""
    candidates = view.candidates
    if dimension in candidates.tags:
        return candidates.tags[dimension]
    values = candidates.seller if dimension == SELLER else candidates.categories[dimension]
    return values.reshape(-1, 1)


@kernel("void(int64[:, :], int64[:], float64[:], float64, float32[:, :])")
def shares(values: I64, keys: I64, weights: F64, factor: float, out: F32) -> None:
    """For each row of ``values`` [n, T] (-1: none) the weight of its values, as a share of the
    absolute ``weights`` [k] of all ``keys`` [k] (-1: of no candidate) into ``out[:, 0]`` and,
    if ``out`` has a second column, times ``factor`` on a logarithmic scale into that."""
    total = 0.0
    for weight in weights:
        total += abs(weight)
    if not total > 0.0:
        return
    for i in range(len(values)):
        found = 0.0
        for t in range(values.shape[1]):
            value = values[i, t]
            if value >= 0:
                for k in range(len(keys)):
                    if keys[k] == value:
                        found += weights[k]
        if found != 0.0:
            out[i, 0] = min(max(found / total, -1.0), 1.0)
            if out.shape[1] > 1:
                size = log1p(abs(found) * factor)
                out[i, 1] = size if found > 0.0 else -size


@kernel("void(int64[:, :], int64[:], float64[:], float32[:, :])")
def log_counts(values: I64, keys: I64, counts: F64, out: F32) -> None:
    """For each row of ``values`` [n, T] (-1: none) log1p of the ``counts`` [k] of those ``keys``
    [k] (-1: of no candidate) that are among them, into ``out`` [n, 1]."""
    for i in range(len(values)):
        found = 0.0
        for t in range(values.shape[1]):
            for k in range(len(keys)):
                if values[i, t] >= 0 and keys[k] == values[i, t]:
                    found += counts[k]
        out[i, 0] = log1p(found)
