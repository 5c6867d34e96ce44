"""An item's row: the fold of its signals."""

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters, opinions, topk
from personalization.state.rows import ItemRow, TopK


def new_item(offset: int, first_at: int, plan: StatePlan) -> ItemRow:
    """The row of an item that nothing was told of."""
    return ItemRow(offset, 0, first_at, *counters.new(plan), TopK())


def fold_item(row: ItemRow | None, signal: Signal, offset: int, plan: StatePlan) -> ItemRow:
    """The item's row after ``signal``; ``row`` is consumed. See ``counters.fold_signal``.

    A signal of interest also says which items its visitor came from: each of them is co-visited
    with the weight of the event.
    """
    if row is None:
        row = new_item(offset, signal.at, plan)
    event = counters.fold_signal(row, signal, offset, plan)
    if signal.previous:
        add_previous(row, signal, event, plan)
    if signal.opinions:
        opinions.add(row.opinions, signal.opinions, event, plan)
    return row


def add_previous(row: ItemRow, signal: Signal, event: int, plan: StatePlan) -> None:
    """Note which items the visitor of ``signal``, of the plan's event number ``event``, came from.

    ``row`` changes if it is an event of interest.
    """
    weight = plan.weights[event]
    if weight > 0:
        half_life, size = plan.covisit_half_life, plan.covisits
        topk.add_all(row.covisited, signal.previous, weight, signal.at, half_life, size)
