"""``POST /v1/identify`` and ``/v1/unlink``: who a visitor is."""

import msgspec
from aiohttp import web

from api.answers import TokenAnswer, answer
from api.bodies import read_as
from api.operation import Operation
from api.problems import wrong
from api.services import INTAKE
from personalization.events import IDENTIFY, UNLINK
from personalization.ranking.request import Id
from personalization.wire import Line


class Identify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``visitor`` is ``user`` from ``at`` on (RFC 3339 or ms; now where absent)."""

    visitor: Id
    user: Id
    at: int | str | None = None


class Unlink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``visitor`` is no known user from ``at`` on (RFC 3339 or ms; now where absent)."""

    visitor: Id
    at: int | str | None = None


_IDENTIFY = msgspec.json.Decoder(Identify)
_UNLINK = msgspec.json.Decoder(Unlink)


async def identify(request: web.Request) -> web.Response:
    """Link a visitor to a user."""
    body = await read_as(request, _IDENTIFY)
    return await _take(request, Line(IDENTIFY, visitor=body.visitor, user=body.user, at=body.at))


async def unlink(request: web.Request) -> web.Response:
    """Undo the link."""
    body = await read_as(request, _UNLINK)
    return await _take(request, Line(UNLINK, visitor=body.visitor, at=body.at))


async def _take(request: web.Request, line: Line) -> web.Response:
    taken = await request.app[INTAKE].take([line])
    errors = taken.results[0].errors
    if errors:
        raise wrong(errors)
    return answer(TokenAnswer(taken.token))


OPERATIONS = (
    Operation(
        "POST",
        "/v1/identify",
        identify,
        "identity",
        "Link a visitor to a user",
        TokenAnswer,
        {"token": "AZKBAwGA"},
        Identify,
        {"visitor": "v1", "user": "u1"},
        problems=(400, 413, 422),
    ),
    Operation(
        "POST",
        "/v1/unlink",
        unlink,
        "identity",
        "Undo a visitor's link",
        TokenAnswer,
        {"token": "AZKBAwGA"},
        Unlink,
        {"visitor": "v1"},
        problems=(400, 413, 422),
    ),
)
