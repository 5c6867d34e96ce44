"""``/v1/items``, ``/v1/sellers``, ``/v1/users`` and ``/v1/catalogue``: attributes."""

import msgspec
from aiohttp import web

from api.answers import TokenAnswer, answer
from api.bodies import read_as, read_lines
from api.operation import Handler, Operation
from api.problems import invalid, wrong
from api.results import Taken
from api.services import CLOCK, INTAKE, ITEMS, ROWS, SPEC
from personalization.events import Attribute, CatalogueRecord
from personalization.ranking.request import Id
from personalization.state.catalogue import fold_catalogue
from personalization.state.errors import FoldError
from personalization.state.keys import USER_VISITOR
from personalization.wire import (
    KINDS,
    LISTED_AS_USER,
    FieldError,
    Line,
    check_attributes,
    id_error,
    parse_at,
)


class ItemAttributes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item's seller and attributes. ``at``: RFC 3339 or ms; now where absent."""

    seller: Id | None = None
    attributes: dict[str, Attribute] = {}
    at: int | str | None = None


class Attributes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seller's or user's attributes. ``at``: RFC 3339 or ms; now where absent."""

    attributes: dict[str, Attribute] = {}
    at: int | str | None = None


_ITEM = msgspec.json.Decoder(ItemAttributes)
_OTHER = msgspec.json.Decoder(Attributes)


def _change(op: str, kind: str) -> Handler:
    """The handler that puts or patches attributes of ``kind``."""

    async def handle(request: web.Request) -> web.Response:
        seller = None
        if kind == "item":
            item = await read_as(request, _ITEM)
            seller, attributes, at = item.seller, item.attributes, item.at
        else:
            other = await read_as(request, _OTHER)
            attributes, at = other.attributes, other.at
        return await _record(request, op, kind, at, seller, attributes)

    return handle


def _delete(kind: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return await _record(request, "delete", kind, None, None, {})

    return handle


async def _record(
    request: web.Request,
    op: str,
    kind: str,
    at: int | str | None,
    seller: str | None,
    attributes: dict[str, Attribute],
) -> web.Response:
    id = request.match_info["id"]
    errors: list[FieldError] = []
    for field, value in (("id", id), ("seller", seller)):
        reason = None if value is None else id_error(value)
        if reason is not None:
            errors.append(FieldError(field, reason))
    if kind == "item" and id.startswith(USER_VISITOR):
        errors.append(FieldError("id", LISTED_AS_USER))
    now = request.app[CLOCK]()
    try:
        now = parse_at(at, now)
    except ValueError as error:
        errors.append(FieldError("at", str(error)))
    check_attributes(kind, attributes, request.app[SPEC].plan, errors)
    if errors:
        raise wrong(errors)
    record = CatalogueRecord(op, kind, id, now, seller, attributes)
    if op == "patch":
        _fits(request, record)
    return answer(TokenAnswer(await request.app[INTAKE].record(record)))


def _fits(request: web.Request, patch: CatalogueRecord) -> None:
    """Raises ``Problem`` where patches add up to more than attributes may take."""
    if patch.kind == "item":
        row = request.app[ITEMS].row(patch.id)
    else:
        row = request.app[ROWS].attributes(patch.kind, patch.id)
    try:
        fold_catalogue(row, patch, 0 if row is None else row.offset + 1)
    except FoldError as error:
        raise invalid("attributes", str(error)) from error


async def post_catalogue(request: web.Request) -> web.Response:
    """Many lines: item, seller, user, delete."""
    lines = await read_lines(request)
    return answer(await request.app[INTAKE].take(lines, _belongs))


def _belongs(line: Line) -> str | None:
    if line.type in KINDS or line.type == "delete":
        return None
    return f"{line.type[:40]!r} is none of {', '.join(KINDS)}, delete; others go to /v1/events"


_TOKEN = {"token": "AZKAgQUH"}
_BODIES = {
    "item": (
        ItemAttributes,
        {"seller": "s2", "attributes": {"category": "shoes", "price": 59.9, "in_stock": True}},
    ),
    "seller": (Attributes, {"attributes": {"country": "PT"}}),
    "user": (Attributes, {"attributes": {"plan": "plus"}}),
}
_SAYS = {
    "PUT": "Set all attributes of {}",
    "PATCH": "Change the attributes that are named of {}; null removes one",
}


def _operations(kind: str) -> list[Operation]:
    path, (body, example) = f"/v1/{kind}s/{{id}}", _BODIES[kind]
    thing = f"an {kind}" if kind == "item" else f"a {kind}"
    changes = [
        Operation(
            method,
            path,
            _change(op, kind),
            "catalogue",
            _SAYS[method].format(thing),
            TokenAnswer,
            _TOKEN,
            body,
            example,
            problems=(400, 413, 422),
        )
        for method, op in (("PUT", "put"), ("PATCH", "patch"))
    ]
    delete = Operation(
        "DELETE",
        path,
        _delete(kind),
        "catalogue",
        f"Delete {thing}",
        TokenAnswer,
        _TOKEN,
        problems=(422,),
    )
    return [*changes, delete]


OPERATIONS = (
    *(operation for kind in KINDS for operation in _operations(kind)),
    Operation(
        "POST",
        "/v1/catalogue",
        post_catalogue,
        "catalogue",
        "Many changes at once: lines of items, sellers, users, deletes",
        Taken,
        {"results": [{"index": 0, "status": "accepted", "id": None, "errors": []}], **_TOKEN},
        Line | list[Line],
        [{"type": "item", "item": "i9", "seller": "s2", "attributes": {"category": "shoes"}}],
        ndjson=True,
        problems=(400, 413, 422),
    ),
)
