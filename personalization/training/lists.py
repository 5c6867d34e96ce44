"""Pages with features, until they are examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from personalization.features.view import F32
from personalization.training.examples import Examples
from personalization.training.exposures import Page

LARGEST_WEIGHT = 10.0
NO_POSITION = -1


@dataclass(slots=True)
class Row:
    """An item of a page: its features as they were at ``at`` (ms), and the probability with which
    it was drawn (NaN: it was not)."""

    at: int
    vector: F32
    propensity: float


@dataclass(slots=True)
class _List:
    page: Page
    rows: dict[str, Row]
    cohorts: int


class Lists:
    """Rows by page and item: of two for one item the newer holds."""

    def __init__(self) -> None:
        self._lists: dict[int, _List] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def missing(self, page: Page, at: int) -> list[str]:
        """The page's items that have no row from ``at`` (ms) or later."""
        known = self._lists.get(id(page))
        if known is None:
            return list(page.positions)
        rows = known.rows
        return [item for item in page.positions if item not in rows or rows[item].at < at]

    def add(self, page: Page, rows: dict[str, Row], cohorts: int) -> None:
        """Rows of items of ``page``."""
        known = self._lists.setdefault(id(page), _List(page, {}, cohorts))
        known.rows.update(rows)

    def examples(self, since: int = 0) -> Examples:
        """All lists from ``since`` (ms) on, in the order of time.

        Raises ``ValueError`` where there are none.
        """
        lists = [one for one in self._lists.values() if one.page.at >= since and one.rows]
        if not lists:
            raise ValueError("no page was seen of which the features are known")
        lists.sort(key=lambda one: (one.page.at, one.page.visitor, one.page.decision or ""))
        rows = [(one.page, item, row) for one in lists for item, row in one.rows.items()]
        propensities = np.array([row.propensity for _, _, row in rows], np.float32)
        return Examples(
            np.stack([row.vector for _, _, row in rows]),
            np.array([page.labels.get(item, 0.0) for page, item, _ in rows], np.float32),
            np.array([len(one.rows) for one in lists], np.int32),
            np.array([one.page.at for one in lists], np.int64),
            draw_weights(propensities),
            np.array([page.positions[item] for page, item, _ in rows], np.int32),
            propensities,
            np.array([visitor_number(one.page.visitor) for one in lists], np.int64),
            np.array([one.cohorts for one in lists], np.int64),
        )


def draw_weights(propensities: F32) -> F32:
    """What each row counts: the inverse of the probability with which it was drawn, at most
    ``LARGEST_WEIGHT``, so that what is seldom drawn is not seldom learned from; 1 on average
    (Joachims, Swaminathan & Schnabel, Unbiased learning-to-rank with biased feedback, 2017).

    >>> draw_weights(np.array([1.0, 0.2, np.nan], np.float32)).round(2).tolist()
    [0.43, 2.14, 0.43]
    """
    known = np.where(np.isnan(propensities), 1.0, propensities)
    inverse = np.minimum(1.0 / np.maximum(known, 1e-9), LARGEST_WEIGHT)
    return np.asarray(inverse / inverse.mean(), np.float32)


def rows_of(
    items: Sequence[str], matrix: F32, at: int, propensities: dict[str, float] | None = None
) -> dict[str, Row]:
    """A row for each item: of ``matrix`` float32[items, columns]."""
    drawn = propensities or {}
    return {
        item: Row(at, vector.copy(), drawn.get(item, float("nan")))
        for item, vector in zip(items, matrix, strict=True)
    }


def visitor_number(visitor: str) -> int:
    """63 bits that stand for a visitor."""
    return int.from_bytes(blake2b(visitor.encode(), digest_size=8).digest(), "little") >> 1
