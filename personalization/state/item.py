"""An item's row: the fold of its signals."""

from collections.abc import Collection

from personalization.events import Signal
from personalization.plan import StatePlan
from personalization.state import counters, opinions, sessions, topk
from personalization.state.rows import ItemRow, TopK


def new_item(offset: int, first_at: int, plan: StatePlan) -> ItemRow:
    """The row of an item that nothing was told of."""
    return ItemRow(offset, 0, first_at, *counters.new(plan), TopK())


def fold_item(
    row: ItemRow | None, key: str, signal: Signal, offset: int, plan: StatePlan
) -> ItemRow:
    """The row of item ``key`` after ``signal``; ``row`` is consumed. See ``counters.fold_signal``.

    A signal of interest also says which items its visitor came from: each of them is co-visited
    with the weight of the event.
    """
    if row is None:
        row = new_item(offset, signal.at, plan)
    more = counters.fold_signal(row, key, signal, offset, plan)
    if key in signal.previous:
        add_previous(row, signal.previous[key], more, plan)
    if key in signal.opinions:
        opinions.add(row.opinions, signal.opinions[key], more.event, plan)
    if signal.session and plan.sessions:
        row.sessions = sessions.add(row.sessions, signal.session, plan)
    return row


def add_previous(
    row: ItemRow, previous: Collection[str], told: counters.Increment, plan: StatePlan
) -> None:
    """Note that whoever did what is ``told`` came from the items ``previous``.

    ``row`` changes if it is an event of interest.
    """
    weight = plan.weights[told.event]
    if weight > 0:
        half_life, size = plan.covisit_half_life, plan.covisits
        topk.add_all(row.covisited, previous, weight, told.at, half_life, size)
