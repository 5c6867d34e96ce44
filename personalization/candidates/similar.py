"""What is near one item, whoever asks."""

import numpy as np

from personalization.candidates.index import SELLER
from personalization.candidates.near import NEAR, nearest_to
from personalization.candidates.source import Inputs, in_stock
from personalization.features.view import I64

COVISITED = "covisited"
_COVISITED, _NEAR, _PER_GROUP = 100, 60, 60
_ARRIVED = 1000  # the newest of what was listed since the index was made are looked at


def find_similar(item: str, inputs: Inputs) -> tuple[list[str], list[list[str]]]:
    """The neighbours of ``item`` in stock, and for each how it was found.

    Those most co-visited with it, before it or after (``covisited``), and those with the nearest
    vectors (``near``); then, named by what they share with it, the hottest of each of its
    categories and of its seller, and what was listed there since the index was made. Not ``item``
    itself. Who asks does not matter: ranking them for the viewer is for the scorer.
    """
    columns = inputs.columns
    own = columns.slot(item)
    if not own:
        return [], []
    around = [(table, table.units[own]) for table in columns.vectors.values()]
    near = nearest_to(around, np.array([own]), _NEAR)
    drawn = [(COVISITED, _covisited(item, inputs)), (NEAR, near)]
    for name in (*columns.plan.categories, SELLER):
        values = columns.sellers if name == SELLER else columns.category(name)
        drawn.append((name, _sharing(name, values, own, inputs)))
    found: dict[int, list[str]] = {}
    for name, slots in drawn:
        for slot in slots.tolist():
            if slot != own:
                found.setdefault(slot, []).append(name)
    return [columns.item_ids[slot] for slot in found], list(found.values())


def _covisited(item: str, inputs: Inputs) -> I64:
    """What visitors came to ``item`` from and, of what is most wanted, went on to."""
    columns, half_life = inputs.columns, float(inputs.columns.plan.covisit_half_life)
    near = columns.neighbours([item])
    there = (near.codes[0] > 0) & (near.weights[0] > 0.0)
    slots, kept, at = columns.keepers(item, inputs.index.lasting)
    every = np.concatenate([near.codes[0][there].astype(np.int64), slots])
    weights = np.concatenate([near.weights[0][there], kept])
    times = np.concatenate([np.repeat(near.at, np.count_nonzero(there)), at])
    # A list's order needs no exact bits.
    weights = weights * np.exp2(-np.maximum(inputs.now - times, 0) / half_life)
    distinct, place = np.unique(every, return_inverse=True)
    total = np.bincount(place, weights, len(distinct))
    return in_stock(columns, distinct[np.argsort(-total, kind="stable")], _COVISITED)


def _sharing(name: str, values: I64, own: int, inputs: Inputs) -> I64:
    columns, index, code = inputs.columns, inputs.index, int(values[own])
    if code < 0:
        return np.empty(0, np.int64)
    since = columns.arrivals[max(index.arrivals, len(columns.arrivals) - _ARRIVED) :]
    arrived = np.array(list(dict.fromkeys(reversed(since))), np.int64)
    arrived = arrived[(values[arrived] == code) & columns.listed[arrived]]
    group = index.groups.get(name)
    slots = arrived if group is None else np.concatenate([arrived, group.of(code)])
    return in_stock(columns, slots, _PER_GROUP + 1)  # one of them may be the item itself
