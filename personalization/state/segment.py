"""A segment's row: the fold of the signals of all that falls into it."""

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters
from personalization.state.rows import SegmentRow


def fold_segment(
    row: SegmentRow | None, signal: Signal, offset: int, plan: StatePlan
) -> SegmentRow:
    """The segment's row after ``signal``; ``row`` is consumed. See ``counters.fold_signal``."""
    if row is None:
        row = SegmentRow(offset, 0, signal.at, *counters.new(plan))
    counters.fold_signal(row, signal, offset, plan)
    return row
