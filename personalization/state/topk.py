"""Bounded maps of decayed weights: the K heaviest keys.

A map is exact until a key is evicted. From then on, for every key, kept or not,
``|true - kept| <= lost``, where what is not kept counts as 0: each eviction sets aside the weight
the map held for that key, and ``lost`` is the sum of the absolute values of what was set aside,
decayed alike. If all weights are positive, a kept weight is never too high: ``0 <= true - kept
<= lost``. Dislikes weigh below 0 and may cancel likes, so "heaviest" means by absolute value.

All weights are as of one time, ``at``, which is not that of the newest: what comes later weighs
more. So what does not change need not be touched, until 16 half-lives later all is decayed to a
new time (forward decay: Cormode et al., ICDE 2009).
"""

from collections.abc import Collection, Iterable, Sequence
from math import fsum, inf

from personalization.decay import decay_factor
from personalization.plan import MAX_ID_BYTES
from personalization.state.rows import TopK

Entries = dict[str, tuple[float, int]]

_HALF_LIVES = 16


def add(topk: TopK, key: str, weight: float, at: int, half_life: int, size: int) -> None:
    """Add ``weight`` of ``key`` at ``at`` ms; ``topk`` changes. See ``add_all``."""
    add_all(topk, (key,), weight, at, half_life, size)


def add_all(
    topk: TopK,
    keys: Collection[str],
    weight: float,
    at: int,
    half_life: int,
    size: int,
    key_bytes: int = MAX_ID_BYTES,
) -> None:
    """Add ``weight`` of each of ``keys`` at ``at`` ms; ``topk`` changes.

    A later weight counts with what it must be at ``topk.at`` for as much to be left of it, an
    earlier one with what would be left of it by then. Where that makes more than ``size`` keys
    (fewer, if one is longer than ``key_bytes``), the lightest but the newcomers go (of equal ones
    the first in the alphabet): what is newest can always grow.

    >>> topk = TopK()
    >>> add_all(topk, ("a", "b"), 1.0, 1_000, 500, 2)
    >>> add(topk, "b", 1.0, 2_000, 500, 2)
    >>> add(topk, "c", 1.0, 2_000, 500, 2)
    >>> topk
    TopK(at=1000, lost=1.0, entries={'b': (5.0, 2), 'c': (4.0, 1)})
    """
    entries = topk.entries
    elapsed = at - topk.at
    if elapsed > _HALF_LIVES * half_life or (elapsed > 0 and not entries):
        factor = decay_factor(float(elapsed), half_life)
        entries = {key: (kept * factor, count) for key, (kept, count) in entries.items()}
        topk.entries = entries
        topk.lost *= factor
        topk.at = at
    elif elapsed:
        weight *= decay_factor(float(-elapsed), half_life)
    for key in keys:
        entry = entries.get(key)
        entries[key] = (weight, 1) if entry is None else (entry[0] + weight, entry[1] + 1)
    most = room(entries, size, key_bytes)
    if len(entries) > most:
        topk.lost += _evict(entries, keys, most)


def add_plain(weights: dict[str, float], keys: Iterable[str], weight: float, size: int) -> None:
    """As ``add_all``, in a map without decay, counts or ``lost``; ``weights`` changes.

    >>> weights = {"a": 1.0, "b": -2.0}
    >>> add_plain(weights, ("c",), 1.0, 2)
    >>> weights
    {'b': -2.0, 'c': 1.0}
    """
    for key in keys:
        kept = weights.get(key)
        if kept is None:
            if len(weights) >= size:
                _evict_lightest_plain(weights)
            kept = 0.0
        weights[key] = kept + weight


def weights_at(topk: TopK, now: int, half_life: int) -> dict[str, float]:
    """Each kept key's weight, decayed to ``now`` ms (unchanged if ``topk.at`` is later).

    >>> weights_at(TopK(at=0, entries={"a": (1.0, 3)}), 500, 500)
    {'a': 0.5}
    """
    if now <= topk.at:
        return {key: weight for key, (weight, _) in topk.entries.items()}
    factor = decay_factor(float(now - topk.at), half_life)
    return {key: weight * factor for key, (weight, _) in topk.entries.items()}


def merge(maps: Sequence[TopK], half_life: int, size: int, key_bytes: int = MAX_ID_BYTES) -> TopK:
    """The map of all that went into ``maps`` (at least one), to the same bits in any order.

    Its entries are in the order of their keys; ``lost`` grows by what finds no room.
    """
    at = max(topk.at for topk in maps)
    weights: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    lost = []
    for topk in maps:
        factor = decay_factor(float(at - topk.at), half_life)
        lost.append(topk.lost * factor)
        for key, (weight, count) in topk.entries.items():
            weights.setdefault(key, []).append(weight * factor)
            counts[key] = counts.get(key, 0) + count
    sums = sorted((abs(total), key, total) for key, total in _summed(weights))
    over = max(len(sums) - room(weights, size, key_bytes), 0)
    evicted, kept = sums[:over], sums[over:]
    lost.extend(weight for weight, _, _ in evicted)
    entries = {key: (total, counts[key]) for key, total in sorted((k, t) for _, k, t in kept)}
    return TopK(at=at, lost=fsum(lost), entries=entries)


def room(keys: Collection[str], size: int, key_bytes: int) -> int:
    """How many of ``keys`` may be kept: ``size``, or as many fewer as the longest is longer than
    ``key_bytes``."""
    if len(keys) * MAX_ID_BYTES <= size * key_bytes or key_bytes == MAX_ID_BYTES:
        return size
    if "".join(keys).isascii():
        longest = max(map(len, keys))
    else:
        longest = max(len(key.encode()) for key in keys)
    return size if longest <= key_bytes else max(1, size * key_bytes // longest)


def _summed(weights: dict[str, list[float]]) -> Iterable[tuple[str, float]]:
    return ((key, fsum(parts)) for key, parts in weights.items())


def _evict(entries: Entries, newest: Collection[str], size: int) -> float:
    """Down to ``size``; the newest go last. What they weighed."""
    if len(entries) == size + 1 and len(newest) == 1:
        return _evict_lightest(entries, newest)
    newest = set(newest)
    old = [(abs(kept), key) for key, (kept, _) in entries.items() if key not in newest]
    over = len(entries) - size
    if over >= len(old):
        old += sorted((abs(kept), key) for key, (kept, _) in entries.items() if key in newest)
    else:
        old.sort()
    lost = 0.0
    for weight, key in old[:over]:
        lost += weight
        del entries[key]
    return lost


def _evict_lightest(entries: Entries, newest: Collection[str]) -> float:
    lightest, least = "", inf
    for key, (weight, _) in entries.items():
        size = weight if weight >= 0.0 else -weight
        if (size < least or (size == least and key < lightest)) and key not in newest:
            lightest, least = key, size
    del entries[lightest]
    return least


def _evict_lightest_plain(weights: dict[str, float]) -> None:
    lightest, least = "", inf
    for key, weight in weights.items():
        size = weight if weight >= 0.0 else -weight
        if size < least or (size == least and key < lightest):
            lightest, least = key, size
    del weights[lightest]
