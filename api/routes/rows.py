"""``GET /v1/visitors/{id}``, ``/v1/items/{id}``, ``/v1/sellers/{id}``: what is known."""

from collections.abc import Callable

from aiohttp import web

from api.answers import answer
from api.operation import Handler, Operation
from api.problems import Problem
from api.row_views import ItemView, SellerView, VisitorView
from api.rows import RowReader
from api.services import ROWS

View = VisitorView | ItemView | SellerView | None


def _get(kind: str, read: Callable[[RowReader, str], View]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        id = request.match_info["id"]
        view = read(request.app[ROWS], id)
        if view is None:
            raise Problem(404, f"nothing is known of {kind} {id!r}")
        return answer(view)

    return handle


OPERATIONS = tuple(
    Operation(
        "GET",
        f"/v1/{kind}s/{{id}}",
        _get(kind, read),
        "rows",
        f"{'An' if kind == 'item' else 'A'} {kind} as the ranker sees it",
        view,
        None,
        problems=(404,),
    )
    for kind, read, view in (
        ("visitor", RowReader.visitor, VisitorView),
        ("item", RowReader.item, ItemView),
        ("seller", RowReader.seller, SellerView),
    )
)
