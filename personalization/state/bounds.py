"""The bound of a visitor's row: the longest row that a plan allows, built and measured."""

from personalization.codec import Codec
from personalization.plan import DAYPARTS, MAX_ID_BYTES, AffinityPlan, StatePlan
from personalization.state.rows import Interaction, Session, TopK, VisitorRow

_BIG = 2**62  # takes as many bytes as any integer
_INDEX = 2**16 - 1  # as many as the place of an item in its event


def worst_visitor_row(plan: StatePlan) -> int:
    """How many bytes a visitor's row can take, whatever its events were.

    All maps are full, all numbers long, all ids and values as long as is allowed.
    """
    ids = [f"{number:0{MAX_ID_BYTES}}" for number in range(max(_sizes(plan)))]
    plain = [affinity for affinity in plan.affinities if not affinity.by_daypart]
    row = VisitorRow(
        offset=_BIG,
        at=_BIG,
        first_at=_BIG,
        last_at=_BIG,
        counters=[0.5] * (len(plan.events) * len(plan.half_lives)),
        counts=[_BIG] * len(plan.events),
        affinities=[
            TopK(_BIG, 0.5, dict.fromkeys(_keys(ids, affinity), (0.5, _BIG)))
            for affinity in plan.affinities
        ],
        numbers=[(0.5, 0.5)] * len(plan.numbers),
        last=_last(ids, plan),
        session=Session(
            id=ids[0],
            start=_BIG,
            last=_BIG,
            number=_BIG,
            counts=[_BIG] * len(plan.events),
            affinities=[dict.fromkeys(ids[: plan.session_size], 0.5) for _ in plain],
            shown=[dict.fromkeys(ids[: plan.shown_size], 0.5) for _ in plan.shown],
            opened=_BIG,
        ),
        user=ids[0],
    )
    return len(Codec(VisitorRow).encode(row))


def _last(ids: list[str], plan: StatePlan) -> list[Interaction]:
    """Few with long ids, or many with short ones."""
    few = ids[: plan.covisit_window][: plan.last_items]
    many = [id[-plan.last_id_bytes :] for id in ids[: plan.last_items]]
    lasts = [
        [Interaction(_BIG, _BIG, _INDEX, len(plan.events), id) for id in kept]
        for kept in (few, many)
    ]
    return max(lasts, key=lambda last: len(Codec(list[Interaction]).encode(last)))


def _keys(ids: list[str], affinity: AffinityPlan) -> list[str]:
    prefix = f"{len(DAYPARTS) - 1}|" if affinity.by_daypart else ""
    keys = [id[-affinity.key_bytes :] for id in ids[: affinity.size]]
    if affinity.size * affinity.key_bytes < MAX_ID_BYTES:
        keys[0] = ids[0]  # one is kept, however long
    return [prefix + key for key in keys]


def _sizes(plan: StatePlan) -> list[int]:
    return [
        1,
        plan.last_items,
        plan.session_size,
        plan.shown_size,
        *(a.size for a in plan.affinities),
    ]
