"""A user's row: the visitors who are this user, from the signals of ``identify`` and ``unlink``.

The bound is the one loss: the visitor after the last that fits drives out the one linked longest
ago, which unlinking the newer one does not bring back; identifying it again does. Below the
bound, unlinking a visitor leaves what was there before it was linked, exactly.
"""

from personalization.events import IDENTIFY, UNLINK, Signal
from personalization.plan import StatePlan
from personalization.state.errors import FoldError
from personalization.state.rows import Link, UserRow


def fold_user(row: UserRow | None, signal: Signal, offset: int, plan: StatePlan) -> UserRow:
    """The user's row after ``signal``, an entry of the record at ``offset``; ``row`` is consumed.

    ``identify`` links the signal's visitor (or makes its link newer), ``unlink`` removes it. Kept
    are the plan's ``linked_visitors`` newest by (at, visitor), the newest last. Raises
    ``FoldError`` for another type, or without a visitor.
    """
    visitor = signal.visitor
    if visitor is None or signal.type not in (IDENTIFY, UNLINK):
        raise FoldError(f"a signal of type {signal.type!r} does not link a visitor to a user")
    if row is None:
        row = UserRow(offset, [])
    at = max((link.at for link in row.visitors if link.visitor == visitor), default=signal.at)
    links = [link for link in row.visitors if link.visitor != visitor]
    if signal.type == IDENTIFY:
        links.append(Link(visitor, max(at, signal.at)))
        links.sort(key=lambda link: (link.at, link.visitor))
    row.visitors = links[-plan.linked_visitors :]
    row.offset = offset
    return row
