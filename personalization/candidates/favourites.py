"""What the visitor likes, and candidates of it."""

import math
from collections.abc import Mapping

import numpy as np

from personalization.candidates.index import Grouped
from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64
from personalization.state.rows import VisitorRow

FAVOURITES = 6
SESSION = 2.0  # the current session's share of the favourites, against 1 for all before


def of_favourites(inputs: Inputs, groups: Mapping[str, Grouped], n: int) -> I64:
    """Up to ``n`` slots of ``groups``, each in its own order.

    Favourites are the values of the groups' dimensions with the largest share of the session's
    and of the lasting affinities; each brings candidates in proportion to its share.
    """
    if inputs.visitor is None:
        return np.empty(0, np.int64)
    shares = _shares(inputs, inputs.visitor, groups)
    top = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:FAVOURITES]
    whole = sum(share for _, share in top)
    found: dict[int, None] = {}
    for (dimension, value), share in top:
        code = inputs.columns.texts.codes.get(value)
        if code is not None:
            quota = math.ceil(n * share / whole)
            group = groups[dimension].of(code)
            some = in_stock(inputs.columns, group, quota + len(found)).tolist()
            more = [slot for slot in some if slot not in found]
            found.update(dict.fromkeys(more[:quota]))
    return np.array(list(found), np.int64)[:n]


def _shares(
    inputs: Inputs, visitor: VisitorRow, groups: Mapping[str, Grouped]
) -> dict[tuple[str, str], float]:
    plan = inputs.columns.plan
    session = visitor.session
    if session is not None and inputs.now - session.last > plan.session_gap:
        session = None
    shares: dict[tuple[str, str], float] = {}
    lasting = 0
    for index, affinity in enumerate(plan.affinities):
        if affinity.by_daypart:
            continue
        if affinity.dimension in groups:
            _add(shares, affinity.dimension, visitor.affinities[index].entries, 1.0)
            if session is not None:
                weights = {key: (w, 0) for key, w in session.affinities[lasting].items()}
                _add(shares, affinity.dimension, weights, SESSION)
        lasting += 1
    return shares


def _add(
    shares: dict[tuple[str, str], float],
    dimension: str,
    entries: dict[str, tuple[float, int]],
    scale: float,
) -> None:
    total = sum(weight for weight, _ in entries.values() if weight > 0.0)
    for value, (weight, _) in entries.items():
        if weight > 0.0:
            key = (dimension, value)
            shares[key] = shares.get(key, 0.0) + scale * weight / total
