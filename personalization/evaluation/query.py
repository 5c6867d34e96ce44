"""What is asked before an event: who looks, when, and what they did so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from personalization.events import Scalar
from personalization.features.view import I64, Moment
from personalization.state.keys import USER_VISITOR
from personalization.state.rows import VisitorRow
from personalization.wire import Line, parse_at


@dataclass(frozen=True, slots=True)
class Asker:
    """Who looks, and when (``at`` in ms): what is known of an event before it happens."""

    visitor: str | None
    user: str | None
    session: str | None
    at: int
    utc_offset: int = 0
    context: Mapping[str, Scalar] = field(default_factory=dict)
    part: str = ""

    @property
    def key(self) -> str:
        """The visitor whose row the event changes."""
        return self.visitor if self.visitor is not None else f"{USER_VISITOR}{self.user}"

    def logged_out(self, accounts: bool) -> bool:
        """Whether nobody known looks. Where the stream has no ``accounts`` at all, a visitor who
        is named by the session is not known."""
        return self.user is None and (accounts or self.visitor == self.session)

    @property
    def moment(self) -> Moment:
        """The moment that features read."""
        return Moment(self.at, self.utc_offset, self.session, self.context)


@dataclass(frozen=True, slots=True)
class Query:
    """An asker with what the live state knew: ``row`` is merged (``None``: never seen), ``mine``
    the slots of all positive events before, oldest first, ``session`` those of this session."""

    asker: Asker
    row: VisitorRow | None
    mine: I64
    session: I64


def asker_of(line: Line, part: str = "") -> Asker:
    """Who and when ``line``, in ``part`` of the stream, tells of: its type, items, value and
    outcome are left out.

    Raises ``ValueError`` without a time, which a replay must know.
    """
    if line.at is None:
        raise ValueError("has no time")
    context = {name: value for name, value in line.properties.items() if value is not None}
    offset = context.get("utc_offset", 0)
    minutes = int(offset) if isinstance(offset, int | float) else 0
    now = parse_at(line.at, 1 << 60)
    return Asker(line.visitor, line.user, line.session, now, minutes, context, part)
