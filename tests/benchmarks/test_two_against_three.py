"""Two events against three: what one more event of an unknown visitor is worth.

Every invoice of Online Retail is an unknown visitor, its lines shuffled with a seed. The fourth
item is ranked among 99 others drawn by popularity, knowing the first two items, the first three,
or the first two and a random one. Nothing of an invoice is folded before it has been ranked.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freshet.importers.online_retail import OnlineRetail
from personalization.columns import Columns, view_of
from personalization.events import Stamp, StampedEvent
from personalization.features.matrix import feature_matrix
from personalization.features.view import Moment
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.signals import signals_of
from personalization.state.item import fold_item
from personalization.state.keys import split
from personalization.state.rows import ItemRow, SegmentRow, VisitorRow
from personalization.state.segment import fold_segment
from personalization.state.visitor import fold_visitor
from personalization.wire import Line

OTHERS = 99
SEED = 1
RESAMPLES = 2000

plan = marketplace.plan
formula = Formula(marketplace.columns, marketplace.feature_set_id)
Invoice = tuple[int, str, list[str]]


class Shop:
    """What is known so far: every invoice before the one that is ranked."""

    def __init__(self) -> None:
        self.columns = Columns(plan)
        self.items: dict[str, ItemRow] = {}
        self.segments: dict[str, SegmentRow] = {}
        self.sold: dict[str, int] = {}
        self.offset = 0

    def fold(self, visitor: VisitorRow | None, event: StampedEvent) -> VisitorRow:
        """A purchase that happened: the visitor's row, and everybody's counters."""
        self.offset += 1
        [signal] = signals_of(visitor, event, self.offset, plan)
        for key in signal.counts:
            kind, id = split(key)
            if kind == "i":
                item = fold_item(self.items.get(id), key, signal, self.offset, plan)
                self.items[id] = item
                self.columns.apply_item(id, item)
            elif kind == "g":
                segment = fold_segment(self.segments.get(id), key, signal, self.offset, plan)
                self.segments[id] = segment
                self.columns.apply_segment(id, segment)
        for stamp in event.items:
            self.sold[stamp.item] = self.sold.get(stamp.item, 0) + 1
        return fold_visitor(visitor, event, self.offset, plan)

    def reciprocal_rank(self, at: int, known: list[Stamp], ids: list[str]) -> float:
        """Of ``ids[0]``, for somebody of whom only ``known`` is known."""
        visitor: VisitorRow | None = None
        for offset, stamp in enumerate(known):
            event = StampedEvent("purchase", "somebody", at, [stamp], session="now")
            visitor = fold_visitor(visitor, event, offset, plan)
        view = view_of(self.columns, Moment(at, session="now"), ids, visitor)
        scores = formula.score(feature_matrix(marketplace, view))
        # Of equal scores half stand before the target, as if in random order.
        before = (scores[1:] > scores[0]).sum() + 0.5 * (scores[1:] == scores[0]).sum()
        return float(1.0 / (1.0 + before))


def invoices(path: Path) -> Iterator[Invoice]:
    """(time, invoice, distinct items), in the order of the file."""
    lines: Iterable[Line] = (read.lines[-1] for read in OnlineRetail(path) if read.lines)
    for invoice, group in itertools.groupby(lines, key=lambda line: line.session):
        bought = list(group)
        assert isinstance(bought[0].at, int)
        items = dict.fromkeys(str(line.item) for line in bought)
        yield bought[0].at, str(invoice), list(items)


def measure(path: Path, most: int | None = None) -> dict[str, object]:
    """Reciprocal ranks with two, three, and two and a random one known; paired differences."""
    random = np.random.default_rng(SEED)
    shop = Shop()
    ranks: list[tuple[float, float, float]] = []
    for at, invoice, bought in itertools.islice(invoices(path), most):
        items = [Stamp(item) for item in bought]
        order = [items[index] for index in random.permutation(len(items))]
        first = [stamp.item for stamp in order[:4]]
        if len(first) == 4 and all(item in shop.sold for item in first):
            ranked = _ranked(shop, at, order, random)
            if ranked is not None:
                ranks.append(ranked)
        visitor: VisitorRow | None = None
        for stamp in order:
            event = StampedEvent("purchase", invoice, at, [stamp], session=invoice)
            visitor = shop.fold(visitor, event)
    two, three, swapped = np.array(ranks).T
    return {
        "invoices": len(ranks),
        "mrr": {
            "two": _interval(two),
            "three": _interval(three),
            "two_and_a_random": _interval(swapped),
        },
        "three_minus_two": _interval(three - two),
        "random_minus_two": _interval(swapped - two),
    }


def _ranked(
    shop: Shop, at: int, order: list[Stamp], random: np.random.Generator
) -> tuple[float, float, float] | None:
    bought = {stamp.item for stamp in order}
    others = [item for item in shop.sold if item not in bought]
    if len(others) < OTHERS + 1:
        return None
    weights = np.array([shop.sold[item] for item in others], float)
    drawn = random.choice(len(others), OTHERS, replace=False, p=weights / weights.sum())
    ids = [order[3].item, *(others[index] for index in drawn)]
    stranger = Stamp(others[int(random.integers(len(others)))])
    return (
        shop.reciprocal_rank(at, order[:2], ids),
        shop.reciprocal_rank(at, order[:3], ids),
        shop.reciprocal_rank(at, [*order[:2], stranger], ids),
    )


def _interval(differences: npt.NDArray[np.float64]) -> list[float]:
    """The mean and its 95 % interval, bootstrapped over invoices."""
    random = np.random.default_rng(SEED)
    n = len(differences)
    means = [differences[random.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(differences.mean()), float(low), float(high)]


def test_a_third_event_of_an_unknown_visitor_improves_the_ranking(shared_data: Path) -> None:
    """Three known items beat two, and a random third does not: paired, over all invoices."""
    figures = measure(shared_data / "online_retail.csv.gz")
    print(json.dumps({"two_against_three": figures}))
    assert figures["three_minus_two"][1] > 0.0  # type: ignore[index]
    assert figures["random_minus_two"][2] < figures["three_minus_two"][1]  # type: ignore[index]
