"""Errors as RFC 9457 problem details: which field, and why."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, get_args, get_origin

import msgspec
from aiohttp import web

from api.results import EventResult
from personalization.wire import FieldError

CONTENT_TYPE = "application/problem+json"

_PATH = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>.+)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|required) field `(?P<name>.+?)`")
_BYTE = re.compile(r"\(byte (\d+)\)$")
_VALUE_OF = re.compile(rb'"([^"\\]{1,128})"\s*:\s*-?$')


class ProblemBody(msgspec.Struct, omit_defaults=True):
    """What every error answers. ``detail`` says what is wrong, ``errors`` with which fields.

    ``not_appended``, ``results`` and ``token`` come with the 503 of a write: which events are not
    in the log, and what became of the others. ``error_id`` names a failure in the server's log.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    errors: list[FieldError] = []
    not_appended: list[int] = []
    results: list[EventResult] = []
    token: str | None = None
    error_id: str | None = None


class Problem(Exception):
    """Raised by a route to answer with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: list[FieldError] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = ProblemBody(HTTPStatus(status).phrase, status, detail, errors=errors or [])

    def response(self) -> web.Response:
        """The answer."""
        return web.Response(
            body=msgspec.json.encode(self.body),
            status=self.status,
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )


def wrong(errors: list[FieldError]) -> Problem:
    """The problem of a request whose fields are wrong."""
    return Problem(422, "; ".join(f"{e.field}: {e.reason}" for e in errors), errors)


def invalid(field: str, reason: str) -> Problem:
    """The problem of one wrong field."""
    return wrong([FieldError(field, reason)])


def undecodable(error: Exception, body: bytes, place: str = "", kind: Any = None) -> Problem:
    """The problem of a body that msgspec does not take: 400 for what is not JSON, else 422.

    ``place`` says where in the request ``body`` is, ``kind`` which struct it should have been.
    """
    if isinstance(error, msgspec.ValidationError):
        field, reason = _field(str(error))
        if reason.startswith("Invalid enum value"):
            reason += _choices(kind, field)
        field = _within(place, field)
        return invalid(field, reason) if field else Problem(422, f"the body is wrong: {reason}")
    if isinstance(error, RecursionError):
        return Problem(400, "the body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, "the body is not UTF-8")
    field, reason = _value_before(str(error), body), str(error)
    if "trailing characters" in reason and b"\n" in body.strip():
        reason += "; send NDJSON as application/x-ndjson"
    errors = [FieldError(_within(place, field), reason)] if place or field else []
    return Problem(400, f"the body is not JSON: {reason}", errors)


UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _field(message: str) -> tuple[str, str]:
    """The field's path and the reason, from msgspec's message."""
    match = _PATH.match(message)
    assert match is not None
    path, reason = (match["path"] or "$").removeprefix("$"), match["reason"]
    named = _NAMED.search(reason)
    if named is not None:
        path = f"{path}.{named['name']}"
    return path.removeprefix("."), reason


def _choices(kind: Any, field: str) -> str:
    """What ``field`` of the struct ``kind`` may be, where that is a few texts."""
    for each in msgspec.structs.fields(kind) if kind else ():
        if each.encode_name == field and get_origin(each.type) is Literal:
            return f": it is one of {', '.join(get_args(each.type))}"
    return ""


def _within(place: str, field: str) -> str:
    dot = "." if place and field and not field.startswith("[") else ""
    return f"{place}{dot}{field}"


def _value_before(message: str, body: bytes) -> str:
    """The name before the byte that msgspec stopped at: of a value such as NaN."""
    byte = _BYTE.search(message)
    if byte is None:
        return ""
    end = int(byte[1])
    name = _VALUE_OF.search(body[max(0, end - 256) : end])
    return "" if name is None else name[1].decode("utf-8", "replace")
