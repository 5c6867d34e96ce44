"""``POST /v1/events``: what visitors do."""

from aiohttp import web

from api.answers import answer
from api.bodies import read_lines
from api.operation import Operation
from api.results import Taken
from api.services import INTAKE
from personalization.wire import Line


async def post_events(request: web.Request) -> web.Response:
    """One event, an array, or NDJSON; each event is all or nothing."""
    lines = await read_lines(request)
    return answer(await request.app[INTAKE].take(lines))


OPERATIONS = (
    Operation(
        "POST",
        "/v1/events",
        post_events,
        "events",
        "Take events: one object, an array, or NDJSON",
        Taken,
        {
            "results": [{"index": 0, "status": "accepted", "id": "e1", "errors": []}],
            "token": "AZKBAwGA",
        },
        Line | list[Line],
        {"type": "view", "visitor": "v1", "item": "i9", "id": "e1"},
        ndjson=True,
        problems=(400, 413, 422),
    ),
)
