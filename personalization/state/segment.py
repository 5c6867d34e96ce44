"""A segment's row: the fold of the signals of all that falls into it."""

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters
from personalization.state.rows import SegmentRow


def new_segment(offset: int, first_at: int, plan: StatePlan) -> SegmentRow:
    """The row of a segment that nothing was told of."""
    return SegmentRow(offset, 0, first_at, *counters.new(plan))


def fold_segment(
    row: SegmentRow | None, key: str, signal: Signal, offset: int, plan: StatePlan
) -> SegmentRow:
    """The row of segment ``key`` after ``signal``; see ``fold_item``."""
    if row is None:
        row = new_segment(offset, signal.at, plan)
    counters.fold_signal(row, key, signal, offset, plan)
    return row
