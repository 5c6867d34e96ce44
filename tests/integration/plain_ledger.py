"""Counts who got a guarantee's impressions, from a log's records, knowing nothing of Freshet.

Records are MessagePack arrays after a version byte; fields are told by their place. For surfaces
that show the best, without rules.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

decode = msgspec.msgpack.decode
Key = tuple[str, str]


def recount(
    catalogue: Iterable[bytes], events: Iterable[bytes], decisions: Iterable[bytes], owed: int
) -> dict[Key, tuple[int, int, int | None, int, float]]:
    """Of each new item and seller: when it was listed, how many impressions it had, when the last
    that was owed was seen, how many places it was given, and at what cost."""
    listed: dict[Key, int] = {}
    for record in catalogue:
        _, kind, id, at, *_ = decode(record[1:])
        listed.setdefault((kind, id), at)
    seen: dict[Key, list[int]] = defaultdict(list)
    first, ids = math.inf, set()
    for record in events:
        type_, _, at, items, id, *_ = decode(record[1:])
        if id in ids:
            continue
        ids.add(id)
        if type_ != "served":
            first = min(first, at)
        for item, seller, *_ in items if type_ == "impression" else ():
            seen["item", item].append(at)
            seen["seller", seller].append(at)
    given: dict[Key, list[float]] = defaultdict(list)
    for record in decisions:
        for key, cost in _given(decode(record[1:])):
            given[key].append(cost)
    found = {}
    for key, at in listed.items():
        times = sorted(seen[key])
        enough = times[owed - 1] if len(times) >= owed else None
        if at > first and (enough is None or enough > at):
            found[key] = (at, len(times), enough, len(given[key]), sum(given[key]))
    return found


def _given(decision: list[Any]) -> list[tuple[Key, float]]:
    candidates, values, dropped, shown = (decision[n] for n in (18, 20, 28, 29))
    scores = memoryview(decision[22]).cast("d").tolist()
    page = [candidate for candidate, *_ in shown]
    open_ = [c for c, item in enumerate(candidates) if item not in dropped]
    best = sorted(open_, key=lambda c: -scores[c])[: len(page)]
    displaced = [c for c in best if c not in page]
    found = []
    for candidate, _, reasons in shown:
        for reason in reasons:
            if not reason.startswith("guarantee:"):
                continue
            kind = reason.removeprefix("guarantee:")
            id = candidates[candidate] if kind == "item" else values[2]["seller"][candidate]
            cost = 0.0
            if candidate not in best:
                lost, won = (1 / (1 + math.exp(-scores[c])) for c in (displaced.pop(0), candidate))
                cost = lost - won
            found.append(((kind, id), cost))
    return found
