"""Linked visitors, merged when read: one view of a user, while every row stays its own."""

from collections.abc import Sequence

from personalization.decay import decay_factor
from personalization.plan import StatePlan
from personalization.state import counters, topk
from personalization.state.rows import VisitorRow


def merge_visitors(rows: Sequence[tuple[int, VisitorRow]], plan: StatePlan) -> VisitorRow:
    """The row of all that ``rows``, at least one (partition, row), did; none of them changes.

    The same bits in any order of ``rows``; a single row is returned as it is. Counters, counts,
    affinities and numbers add up, decayed to the latest ``at``; of the interactions the newest by
    (at, partition, offset, index) stay; the session is the one that was last active; ``user``
    stays where all agree. The result is for reading: it shares memory with ``rows``.
    """
    if len(rows) == 1:
        return rows[0][1]
    ordered = sorted(rows, key=lambda pair: (pair[0], pair[1].offset))
    parts = [row for _, row in ordered]
    at, values, counts = counters.merge([(row.at, row.counters, row.counts) for row in parts], plan)
    newest = sorted(
        ((partition, i) for partition, row in ordered for i in row.last),
        key=lambda pair: (pair[1].at, pair[0], pair[1].offset, pair[1].index),
    )[-plan.last_items :]
    sessions = [row.session for row in parts if row.session is not None]
    users = {row.user for row in parts}
    return VisitorRow(
        offset=max(row.offset for row in parts),
        at=at,
        first_at=min((row.first_at for row in parts if row.first_at), default=0),
        last_at=max(row.last_at for row in parts),
        counters=values,
        counts=counts,
        affinities=[
            topk.merge(
                [row.affinities[index] for row in parts], of.half_life, of.size, of.key_bytes
            )
            for index, of in enumerate(plan.affinities)
        ],
        numbers=_merge_numbers(parts, at, plan),
        last=[interaction for _, interaction in newest],
        session=max(sessions, key=lambda session: session.last, default=None),
        user=users.pop() if len(users) == 1 else None,
        deleted=all(row.deleted for row in parts),
    )


def _merge_numbers(
    parts: Sequence[VisitorRow], at: int, plan: StatePlan
) -> list[tuple[float, float]]:
    merged = [(0.0, 0.0)] * len(plan.numbers)
    for row in parts:
        factor = decay_factor(float(at - row.at), plan.number_half_life)
        merged = [
            (weights + more * factor, sums + more_sums * factor)
            for (weights, sums), (more, more_sums) in zip(merged, row.numbers, strict=True)
        ]
    return merged
