"""What a route declares: how it is served, and how OpenAPI describes it."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Operation(NamedTuple):
    """One method of one path.

    ``body`` and ``answer`` are the types of the request and of the 200; ``ndjson`` says that a
    body may also be lines. ``body_example`` and ``answer_example`` are JSON values; ``problems``
    the error statuses it may answer beside 401, 500 and 503.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    answer: Any
    answer_example: Any
    body: Any = None
    body_example: Any = None
    ndjson: bool = False
    problems: tuple[int, ...] = ()
    answer_type: str = "application/json"
