"""Signals: what a visitor's event means for other entities."""

from personalization.events import IDENTIFY, SERVED, UNLINK, Signal, StampedEvent
from personalization.plan import GLOBAL, StatePlan
from personalization.state import keys, opinions, sessions
from personalization.state.errors import FoldError
from personalization.state.rows import VisitorRow
from personalization.state.visitor import in_session, user_after


def signals_of(
    before: VisitorRow | None, event: StampedEvent, offset: int, plan: StatePlan
) -> list[Signal]:
    """What ``event``, at ``offset`` of its partition, means for others, always in one order.

    A pure function of the event and of the visitor's row before it; nothing for a record that
    the row already holds. An interaction is told once to its items, and to their sellers and
    segments with the number of items; a new or ended link to its user. Raises ``FoldError`` for
    an unknown type.
    """
    if before is not None and offset <= before.offset:
        return []
    signals = []
    number = plan.event_index.get(event.type)
    if number is not None:
        counts = {keys.item_key(stamp.item): 1 for stamp in event.items}
        _count_groups(counts, event, plan)
        previous = _previous(before, event, plan) if plan.weights[number] > 0 else {}
        told = _opinions(before, event, plan) if plan.opinions else {}
        session = _session(before, event, offset, plan) if plan.weights[number] > 0 else 0
        if counts:
            kind, at, value = event.type, event.at, event.value
            signals.append(Signal(offset, kind, at, counts, value, previous, None, told, session))
    elif event.type not in (IDENTIFY, UNLINK, SERVED):
        raise FoldError(f"unknown event type {event.type!r}")
    if event.type != SERVED and (event.user is not None or event.type == UNLINK):
        signals += _of_links(before, event, offset)
    return signals


def _previous(
    before: VisitorRow | None, event: StampedEvent, plan: StatePlan
) -> dict[str, tuple[str, ...]]:
    """Which items led to those of an event of interest: those before it, and one to the next."""
    recent = _recent(before, event, plan)
    told = {}
    for stamp in event.items:
        item = stamp.item
        previous = tuple([other for other in recent if other != item][: plan.covisit_window])
        if previous:
            told[keys.item_key(item)] = previous
        recent = [item, *previous]
    return told


def _opinions(
    before: VisitorRow | None, event: StampedEvent, plan: StatePlan
) -> dict[str, tuple[str, ...]]:
    held = {} if before is None else opinions.held(before, event.at, plan)
    told = {keys.item_key(stamp.item): opinions.told(held, stamp.item) for stamp in event.items}
    return {key: thought for key, thought in told.items() if thought}


def _session(before: VisitorRow | None, event: StampedEvent, offset: int, plan: StatePlan) -> int:
    session = None if before is None else before.session
    if session is not None and not in_session(session, event, plan):
        session = None
    return sessions.told(session, event, offset, plan)


def _recent(before: VisitorRow | None, event: StampedEvent, plan: StatePlan) -> list[str]:
    """The last distinct items of interest in the session of ``event`` and before it, newest
    first: one more than are told, as one of them may be the item itself."""
    session = None if before is None else before.session
    if before is None or session is None or not in_session(session, event, plan):
        return []
    recent: dict[str, None] = {}
    weights = plan.weights
    for interaction in reversed(before.last):
        if interaction.at < session.start:
            break
        if interaction.at <= event.at and weights[interaction.event] > 0:
            recent[interaction.item] = None
            if len(recent) > plan.covisit_window:
                break
    return list(recent)


def _count_groups(counts: dict[str, int], event: StampedEvent, plan: StatePlan) -> None:
    for stamp in event.items:
        if stamp.seller is not None:
            key = keys.seller_key(stamp.seller)
            counts[key] = counts.get(key, 0) + 1
    for level in plan.segments:
        if level == GLOBAL:
            counts[keys.segment_key(GLOBAL)] = len(event.items) or 1
            continue
        within_seller, dimension = keys.segment_level(level)
        for stamp in event.items:
            value = stamp.attributes.get(dimension)
            if not isinstance(value, str) or (within_seller and stamp.seller is None):
                continue
            key = keys.segment_key(level, stamp.seller if within_seller else None, value)
            counts[key] = counts.get(key, 0) + 1


def _of_links(before: VisitorRow | None, event: StampedEvent, offset: int) -> list[Signal]:
    """The link that ``event`` makes, and the end of the one it replaces or undoes."""
    user_before = None if before is None else before.user
    user = user_after(before, event)
    if event.type != IDENTIFY and user == user_before:
        return []
    told = ((user_before, UNLINK) if user_before != user else (None, UNLINK), (user, IDENTIFY))
    return [
        Signal(offset, kind, event.at, {keys.user_key(linked): 1}, visitor=event.visitor)
        for linked, kind in told
        if linked is not None
    ]
