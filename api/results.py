"""What became of events that were sent."""

from typing import Literal

import msgspec

from personalization.wire import FieldError


class EventResult(msgspec.Struct, frozen=True):
    """What became of one event of a request; ``id`` is the client's own (``None``: it gave none).

    An accepted event is in the log. A rejected one is not: ``errors`` say which fields are wrong.
    One that was not appended is right, but the log did not take it: send it again.
    """

    index: int
    status: Literal["accepted", "rejected", "not_appended"]
    id: str | None
    errors: list[FieldError] = []


class Taken(msgspec.Struct, frozen=True):
    """The results in order; ``token``, carried back to a ranking, has it know what was taken."""

    results: list[EventResult]
    token: str
