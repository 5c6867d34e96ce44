"""A visitor's row: the fold of their events, in the order of the log."""

from bisect import insort
from operator import attrgetter

from personalization.decay import decay_factor, log1p
from personalization.events import IDENTIFY, SERVED, UNLINK, Stamp, StampedEvent
from personalization.plan import StatePlan
from personalization.state import counters, topk
from personalization.state.errors import FoldError
from personalization.state.keys import USER_VISITOR
from personalization.state.rows import Interaction, Session, TopK, VisitorRow

_MINUTE = 60_000
_MOST = 1e15  # of an amount: sums stay finite
_DAYPART = 6 * 60 * _MINUTE
_by_time = attrgetter("at", "offset", "index")


def new_visitor(plan: StatePlan) -> VisitorRow:
    """The row of somebody never seen: ``first_at`` and ``last_at`` are 0 until an interaction."""
    values, counts = counters.new(plan)
    return VisitorRow(
        offset=-1,
        at=0,
        first_at=0,
        last_at=0,
        counters=values,
        counts=counts,
        affinities=[TopK() for _ in plan.affinities],
        numbers=[(0.0, 0.0)] * len(plan.numbers),
        last=[],
    )


def fold_visitor(
    row: VisitorRow | None, event: StampedEvent, offset: int, plan: StatePlan
) -> VisitorRow:
    """The visitor's row after ``event``, the record at ``offset`` of their partition.

    Pure in effect, but ``row`` is consumed: the result may use its memory. A record at or below
    ``row.offset`` changes nothing. Raises ``FoldError`` for a type the plan does not know, before
    anything changed.
    """
    kind = event.type
    number = plan.event_index.get(kind)
    if number is None:
        _check(event)
    if row is None:
        row = new_visitor(plan)
    elif offset <= row.offset:
        return row
    if number is not None:
        _interact(row, event, number, offset, plan)
    if kind != SERVED:
        row.user = user_after(row, event)
    row.offset = offset
    return row


def user_after(row: VisitorRow | None, event: StampedEvent) -> str | None:
    """The user linked to the visitor after ``event`` (anything but ``served``).

    A visitor has one user: ``identify`` replaces it, ``unlink`` clears it. Whatever is told of a
    user without a visitor belongs to visitor ``user:<id>``, which it links.
    """
    if event.type == IDENTIFY:
        return event.user
    if event.type == UNLINK:
        return None
    if event.user is not None and event.visitor == USER_VISITOR + event.user:
        return event.user
    return None if row is None else row.user


def daypart(at: int, utc_offset: int) -> int:
    """The part of the visitor's local day: 0 from midnight, 1 from 6, 2 from 12, 3 from 18.

    >>> daypart(11 * 3_600_000, 0), daypart(11 * 3_600_000, 60)
    (1, 2)
    """
    return (at + utc_offset * _MINUTE) // _DAYPART % 4


def values_of(stamp: Stamp, dimension: str) -> list[str]:
    """The values of an affinity's dimension that ``stamp`` has: none, one, or its tags. The item
    itself is one of dimension ``"item"``; of ``"visitor"`` there is one, the same for all.

    >>> values_of(Stamp("i1", "s1", {"tags": ["red", "new"]}), "tags")
    ['red', 'new']
    >>> values_of(Stamp("i1", "s1"), "seller"), values_of(Stamp("i1", "s1"), "item")
    (['s1'], ['i1'])
    """
    if dimension == "item":
        return [stamp.item]
    if dimension == "visitor":
        return [""]
    value = stamp.seller if dimension == "seller" else stamp.attributes.get(dimension)
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _check(event: StampedEvent) -> None:
    if event.type == IDENTIFY and event.user is None:
        raise FoldError("identify without a user")
    if event.type not in (IDENTIFY, UNLINK, SERVED):
        raise FoldError(f"unknown event type {event.type!r}")


def _interact(
    row: VisitorRow, event: StampedEvent, number: int, offset: int, plan: StatePlan
) -> None:
    at, weight = event.at, plan.weights[number]
    row.first_at = at if not row.first_at else min(row.first_at, at)
    row.last_at = max(row.last_at, at)
    count = len(event.items) or 1
    before = row.at
    counters.add(row, counters.increment(number, at, plan), count, plan)
    if plan.numbers:
        _add_numbers(row, event, weight, before, plan)
    session = _session_at(row, event, offset, plan)
    session.counts[number] += count
    for place, dimension in plan.shown_index.get(number, ()):
        values = [value for stamp in event.items for value in values_of(stamp, dimension)]
        topk.add_plain(session.shown[place], values, 1.0, plan.shown_size)
    if weight:
        _add_affinities(row, session, event, weight, plan)
        _remember(row, event, number, offset, plan)


def _add_numbers(
    row: VisitorRow, event: StampedEvent, weight: float, before: int, plan: StatePlan
) -> None:
    """``row.at`` has moved on from ``before``: decay the sums, then add what is known."""
    if row.at > before:
        factor = decay_factor(float(row.at - before), plan.number_half_life)
        row.numbers = [(weights * factor, sums * factor) for weights, sums in row.numbers]
    if weight <= 0:
        return
    weight *= decay_factor(float(row.at - event.at), plan.number_half_life)
    for stamp in event.items:
        for index, name in enumerate(plan.numbers):
            value = stamp.attributes.get(name)
            if isinstance(value, float):
                weights, sums = row.numbers[index]
                row.numbers[index] = (weights + weight, sums + weight * log1p(value))


def in_session(session: Session, event: StampedEvent, plan: StatePlan) -> bool:
    """Whether ``event`` falls into ``session``, which is the current one. A late event does."""
    if event.at < session.last:
        return True
    if event.session is not None:
        return event.session == session.id
    return event.at - session.last <= plan.session_gap


def _session_at(row: VisitorRow, event: StampedEvent, offset: int, plan: StatePlan) -> Session:
    """The session that ``event`` falls into, opened if need be. A late event opens none."""
    session, at = row.session, event.at
    if session is not None and in_session(session, event, plan):
        session.last = max(session.last, at)
        return session
    row.session = Session(
        id=event.session,
        start=at,
        last=at,
        number=1 if session is None else session.number + 1,
        counts=[0] * len(plan.events),
        affinities=[{} for affinity in plan.affinities if not affinity.by_daypart],
        shown=[{} for _ in plan.shown],
        opened=offset,
    )
    return row.session


def _add_affinities(
    row: VisitorRow, session: Session, event: StampedEvent, weight: float, plan: StatePlan
) -> None:
    at, items = event.at, event.items
    plain = iter(session.affinities)
    interest, amount = weight, _amount(event)
    for affinity, of, kept in zip(plan.affinities, plan.amounts, row.affinities, strict=True):
        weight, dimension = (interest, affinity.dimension) if of is None else (amount, of)
        values = [value for stamp in items for value in values_of(stamp, dimension)]
        if of is not None and event.value is None:
            values = []
        if affinity.by_daypart:
            part = daypart(at, event.utc_offset)
            values = [f"{part}|{value}" for value in values]
        else:
            topk.add_plain(next(plain), values, weight, plan.session_size)
        if values:
            half_life, size, key_bytes = affinity.half_life, affinity.size, affinity.key_bytes
            topk.add_all(kept, values, weight, at, half_life, size, key_bytes)


def _amount(event: StampedEvent) -> float:
    """What each of the event's items has of its value: refunds are below 0."""
    value = event.value
    if value is None:
        return 0.0
    return max(-_MOST, min(value, _MOST)) / max(len(event.items), 1)


def _remember(
    row: VisitorRow, event: StampedEvent, number: int, offset: int, plan: StatePlan
) -> None:
    last = row.last
    for index, stamp in enumerate(event.items):
        interaction = Interaction(event.at, offset, index, number, stamp.item)
        if not last or last[-1].at <= event.at:
            last.append(interaction)
        else:
            insort(last, interaction, key=_by_time)
    least = min(plan.covisit_window, plan.last_items)
    if len(last) > least:
        ids = [interaction.item for interaction in last]
        most = max(topk.room(ids, plan.last_items, plan.last_id_bytes), least)
        del last[: max(len(last) - most, 0)]
