"""What visitors thought of other items before they met this one.

An opinion is spelled ``+i3`` (item ``i3`` was liked: the last event with a weight had one above
0) or ``-i3``. With an event of an item its visitor's opinions of the last items are told, and the
item's row counts its events by them: how those answered here who had answered so there.
"""

from collections.abc import Collection, Mapping

from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow

LIKED, DISLIKED = "+", "-"


def held(row: VisitorRow, now: int, plan: StatePlan) -> dict[str, bool]:
    """What the visitor thought at ``now`` (ms) of each of their last distinct items, newest first,
    at most the plan's ``covisit_window``: whether they liked it."""
    weights = plan.weights
    found: dict[str, bool] = {}
    for interaction in reversed(row.last):
        if len(found) == plan.covisit_window:
            break
        if interaction.at <= now and interaction.item not in found:
            found[interaction.item] = weights[interaction.event] > 0
    return found


def told(opinions: Mapping[str, bool], item: str) -> tuple[str, ...]:
    """``opinions`` of other items than ``item``.

    >>> told({"a": True, "b": False, "c": True}, "c")
    ('+a', '-b')
    """
    return tuple(
        [
            (LIKED if liked else DISLIKED) + other
            for other, liked in opinions.items()
            if other != item
        ]
    )


def add(kept: dict[str, list[int]], opinions: Collection[str], event: int, plan: StatePlan) -> None:
    """Count the plan's event number ``event`` for each of ``opinions``; ``kept`` changes.

    Where that makes more than the plan's number, those with the fewest events but the newcomers
    go (of equal ones the first in the alphabet): what is newest can always grow.
    """
    several = len(plan.events)
    for opinion in opinions:
        counts = kept.get(opinion)
        if counts is None:
            counts = kept[opinion] = [0] * several
        counts[event] += 1
    over = len(kept) - plan.opinions
    if over > 0:
        newest = frozenset(opinions)
        order = sorted((key in newest, sum(counts), key) for key, counts in kept.items())
        for _, _, key in order[:over]:
            del kept[key]
