"""An item's row: the fold of its signals."""

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters, topk
from personalization.state.rows import ItemRow, TopK


def fold_item(row: ItemRow | None, signal: Signal, offset: int, plan: StatePlan) -> ItemRow:
    """The item's row after ``signal``; ``row`` is consumed. See ``counters.fold_signal``.

    A signal of interest also says which items its visitor came from: each of them is co-visited
    with the weight of the event.
    """
    if row is None:
        row = ItemRow(offset, 0, signal.at, *counters.new(plan), TopK())
    weight = plan.weights[counters.fold_signal(row, signal, offset, plan)]
    if weight > 0 and signal.previous:
        half_life, size = plan.covisit_half_life, plan.covisits
        topk.add_all(row.covisited, signal.previous, weight, signal.at, half_life, size)
    return row
