"""``GET /v1/decisions/{id}``: why something was shown, from the record of it."""

from aiohttp import web

from api.opened import OpenedDecision, opened
from api.operation import Operation
from api.problems import Problem
from api.services import RANKER, SPEC


async def get_decision(request: web.Request) -> web.Response:
    """Open a decision."""
    id = request.match_info["id"]
    decision = await request.app[RANKER].record(id)
    if decision is None:
        raise Problem(404, f"there is no decision {id!r}, or it is no longer kept")
    spec = request.app[SPEC]
    if decision.feature_set == spec.feature_set_id:
        columns = spec.columns
    else:  # of another spec, whose names are not known here
        columns = tuple(str(number) for number in range(decision.columns))
    return web.Response(body=await opened(decision, columns), content_type="application/json")


OPERATIONS = (
    Operation(
        "GET",
        "/v1/decisions/{id}",
        get_decision,
        "decisions",
        "Open a decision: its candidates, scores, features, reasons and offsets",
        OpenedDecision,
        None,
        problems=(404,),
    ),
)
