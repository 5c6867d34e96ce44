"""How long the loop is held by 100,000 vectors of 64 numbers, and how many are missed."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from personalization.columns.vector_index import VectorIndex
from personalization.features.nearness import cosines_with, points_of
from personalization.features.view import F32
from tests.benchmarks.measuring import show

ITEMS, SIZE, CLUSTERS, SEARCHES, NEIGHBOURS = 100_000, 64, 300, 1_000, 50
MOVES = 60_000  # half of all moved have the index begin a new graph
CANDIDATES, LAST = 300, 24


def made_up(chance: np.random.Generator, count: int, centres: F32) -> F32:
    """Directions in clusters, as embeddings have them."""
    drawn = centres[chance.integers(len(centres), size=count)].astype(np.float64)
    drawn += 0.8 * chance.normal(size=drawn.shape)
    units: F32 = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return units


def held(calls: list[Callable[[], Any]]) -> dict[str, float]:
    """Quantiles (ms) of the processor's time that each call takes: what others take of a shared
    machine is not in it."""
    seconds = []
    for call in calls:
        began = time.thread_time()
        call()
        seconds.append(time.thread_time() - began)
    p50, p99, p999 = (float(q) for q in np.percentile(np.array(seconds), [50, 99, 99.9]) * 1000)
    most = round(max(seconds) * 1000, 3)
    return {"p50": round(p50, 3), "p99": round(p99, 3), "p99.9": round(p999, 3), "max": most}


def recall(index: VectorIndex, units: F32, asked: F32) -> float:
    """The share of the true nearest that are found; slots are places in ``units``."""
    found = 0
    for point in asked:
        true = np.argpartition(-(units @ point), NEIGHBOURS)[:NEIGHBOURS]
        found += len(np.intersect1d(index.nearest(point, NEIGHBOURS)[0], true))
    return round(found / (NEIGHBOURS * len(asked)), 4)


def test_nearest() -> None:
    """Listing, moving and finding; and the family of features over a page's candidates."""
    chance = np.random.default_rng(1)
    centres = chance.normal(size=(CLUSTERS, SIZE)).astype(np.float32)
    units, asked = (made_up(chance, count, centres) for count in (ITEMS, SEARCHES))
    began = time.perf_counter()
    index = VectorIndex(SIZE, 1 << 18)
    figures: dict[str, Any] = {"made_ms": round(1000 * (time.perf_counter() - began), 1)}

    def put(slot: int) -> Callable[[], None]:
        return lambda: index.put(slot, units[slot])

    def searches() -> dict[str, float]:
        return held([partial(index.nearest, point, NEIGHBOURS) for point in asked])

    began = time.thread_time()
    held([put(slot) for slot in range(ITEMS - 10_000)])
    figures["put_ms"] = held([put(slot) for slot in range(ITEMS - 10_000, ITEMS)])
    figures["all_put_s"] = round(time.thread_time() - began, 1)
    figures["search_ms"] = searches()
    figures["recall"] = recall(index, units, asked[:300])
    moved = chance.permutation(ITEMS)[:MOVES].tolist()
    units[moved] = made_up(chance, MOVES, centres)
    figures["move_ms"] = held([put(slot) for slot in moved])
    figures["search_while_renewing_ms"] = searches()
    figures["recall_while_renewing"] = recall(index, units, asked[:300])

    out, last = np.zeros((CANDIDATES, 2), np.float32), units[:LAST]
    page = units[-CANDIDATES:]
    columns = [lambda: cosines_with(page, points_of(last), out)] * 1_000
    figures["features_ms"] = held(columns)
    show("nearest", {"items": ITEMS, "size": SIZE, "neighbours": NEIGHBOURS, **figures})
