"""Signals: what a visitor's event means for other entities."""

from personalization.events import IDENTIFY, SERVED, UNLINK, Signal, StampedEvent
from personalization.plan import GLOBAL, StatePlan
from personalization.state import keys, opinions
from personalization.state.errors import FoldError
from personalization.state.rows import VisitorRow
from personalization.state.visitor import in_session, user_after


def signals_of(
    before: VisitorRow | None, event: StampedEvent, offset: int, plan: StatePlan
) -> list[Signal]:
    """What ``event``, at ``offset`` of its partition, means for others, always in one order.

    A pure function of the event and of the visitor's row before it; nothing for a record that
    the row already holds. An interaction is told to each item by itself (``position`` counts
    from 0, where there are several), and once to each seller and segment with the number of
    items; a new or ended link to its user. Raises ``FoldError`` for an unknown type.
    """
    if before is not None and offset <= before.offset:
        return []
    number = plan.event_index.get(event.type)
    if number is not None:
        signals = _of_items(before, event, offset, plan.weights[number] > 0, plan)
        signals += _of_groups(event, offset, plan)
    elif event.type in (IDENTIFY, UNLINK, SERVED):
        signals = []
    else:
        raise FoldError(f"unknown event type {event.type!r}")
    if event.type != SERVED and (event.user is not None or event.type == UNLINK):
        signals += _of_links(before, event, offset)
    return signals


def _of_items(
    before: VisitorRow | None, event: StampedEvent, offset: int, chain: bool, plan: StatePlan
) -> list[Signal]:
    """``chain``: the event is one of interest, so it says which items led here."""
    recent = _recent(before, event, plan) if chain else []
    held = opinions.held(before, event.at, plan) if plan.opinions and before is not None else {}
    kind, at, value, items = event.type, event.at, event.value, event.items
    several = len(items) > 1
    signals = []
    for position, stamp in enumerate(items):
        item = stamp.item
        previous = tuple([other for other in recent if other != item][: plan.covisit_window])
        signals.append(
            Signal(
                offset,
                keys.item_key(item),
                kind,
                at,
                1,
                value,
                position if several else None,
                previous,
                None,
                opinions.told(held, item) if held else (),
            )
        )
        if chain and several:
            recent = [item, *previous]
    return signals


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


def _of_groups(event: StampedEvent, offset: int, plan: StatePlan) -> list[Signal]:
    counts: dict[str, int] = {}
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
    kind, at, value = event.type, event.at, event.value
    return [Signal(offset, key, kind, at, count, value) for key, count in counts.items()]


def _of_links(before: VisitorRow | None, event: StampedEvent, offset: int) -> list[Signal]:
    """The link that ``event`` makes, and the end of the one it replaces or undoes."""
    user_before = None if before is None else before.user
    user = user_after(before, event)
    if event.type != IDENTIFY and user == user_before:
        return []
    told = ((user_before, UNLINK) if user_before != user else (None, UNLINK), (user, IDENTIFY))
    return [
        Signal(offset, keys.user_key(linked), kind, event.at, visitor=event.visitor)
        for linked, kind in told
        if linked is not None
    ]
