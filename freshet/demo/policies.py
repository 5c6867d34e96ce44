"""The rankings that Freshet is compared with, as a shop would write them by hand.

Each policy scores the same candidates; the page is the best ``PAGE`` of them. The shop's counters
see every event of the run as it happens, so the baselines are as fresh as can be.
"""

import numpy as np

from freshet.demo.world import Floats, Ints, World

PAGE = 10
POLICIES = ("freshet", "popularity", "category_popularity", "random", "oracle")
CANDIDATES = 100
POPULAR_CANDIDATES, NEW_CANDIDATES = 30, 20
PURCHASE_WEIGHT = 3.0


class Popularity:
    """Clicks so far per item, a purchase counting as three more."""

    def __init__(self) -> None:
        self._counts: Floats = np.zeros(0)

    def add(self, item: int, weight: float) -> None:
        """Count one event on ``item``."""
        if item >= len(self._counts):
            self._counts = np.append(self._counts, np.zeros(item + 1))
        self._counts[item] += weight

    def of(self, items: Ints) -> Floats:
        """The count of each of ``items``, 0 if never clicked."""
        top = int(items.max()) if len(items) else -1
        if top >= len(self._counts):
            self._counts = np.append(self._counts, np.zeros(top + 1))
        return self._counts[items]


def draw_candidates(world: World, popularity: Popularity, rng: np.random.Generator) -> Ints:
    """Up to ``CANDIDATES`` items in stock: popular, newest and random ones, in random order."""
    in_stock = np.flatnonzero(world.in_stock)
    counts = popularity.of(in_stock)
    popular = in_stock[np.argsort(-counts, kind="stable")[:POPULAR_CANDIDATES]]
    chosen = np.union1d(popular, in_stock[-NEW_CANDIDATES:])
    rest = np.setdiff1d(in_stock, chosen, assume_unique=True)
    more = rng.choice(rest, min(len(rest), CANDIDATES - len(chosen)), replace=False)
    return rng.permutation(np.concatenate([chosen, more]))


def baseline_pages(
    world: World,
    popularity: Popularity,
    session_clicks: dict[int, int],
    candidates: Ints,
    probability: Floats,
    rng: np.random.Generator,
) -> dict[str, Ints]:
    """Positions in ``candidates`` of the page of each policy except Freshet.

    ``session_clicks`` has the clicks of this session by category: the most clicked one comes first
    in ``category_popularity``, the rest of the page is by popularity; before any click it *is*
    popularity. Ties are broken at random. ``probability`` is the truth, for the oracle only.
    """
    n = len(candidates)
    ties = rng.random(n)
    counts = popularity.of(candidates) + ties * 1e-3
    by_category = counts.copy()
    if session_clicks:
        favourite = max(session_clicks, key=lambda category: session_clicks[category])
        by_category[world.category[candidates] == favourite] += 1e9
    scores = {
        "popularity": counts,
        "category_popularity": by_category,
        "random": ties,
        "oracle": probability,
    }
    return {name: np.argsort(-score)[:PAGE] for name, score in scores.items()}
