"""A seller's row: the fold of the signals of all their items."""

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters
from personalization.state.rows import SellerRow


def new_seller(offset: int, first_at: int, plan: StatePlan) -> SellerRow:
    """The row of a seller that nothing was told of."""
    return SellerRow(offset, 0, first_at, *counters.new(plan))


def fold_seller(
    row: SellerRow | None, key: str, signal: Signal, offset: int, plan: StatePlan
) -> SellerRow:
    """The row of seller ``key`` after ``signal``; see ``fold_item``."""
    if row is None:
        row = new_seller(offset, signal.at, plan)
    counters.fold_signal(row, key, signal, offset, plan)
    return row
