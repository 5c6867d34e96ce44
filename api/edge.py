"""What every request passes: access, readiness, errors as problems, measured time."""

import secrets
from functools import lru_cache
from time import perf_counter

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.access import Keys
from api.intake import NotAppended
from api.metrics import Metrics
from api.problems import Problem, wrong
from api.readiness import Readiness
from eventlog.protocol import LogUnavailable
from personalization.wire import Rejected

_logger = structlog.get_logger(__name__)


class Edge:
    """What the middleware does. Before ``readiness`` says so, ``/v1`` answers 503."""

    def __init__(self, keys: Keys, readiness: Readiness, metrics: Metrics) -> None:
        self._keys = keys
        self._readiness = readiness
        self._metrics = metrics
        # Looking labels up takes as long as observing, and few of them come again and again.
        self._taking = lru_cache(metrics.requests.labels)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer ``request``, whatever happens."""
        began = perf_counter()
        try:
            self._keys.check(request)
            self._check_ready(request)
            response = await handler(request)
        except Exception as error:
            response = self._problem(request, error).response()
        route = request.match_info.route.resource
        path = "none" if route is None else route.canonical
        self._taking(request.method, path, response.status).observe(perf_counter() - began)
        return response

    def _check_ready(self, request: web.Request) -> None:
        if self._readiness.started or not request.path.startswith("/v1/"):
            return
        stages = [f"{s.name} {s.done} of {s.total}" for s in self._readiness.stages]
        doing = f": recovering {', '.join(stages)}" if stages else ""
        if self._readiness.waiting is not None:
            doing = f": {self._readiness.waiting}"
        raise Problem(503, f"the server is starting{doing}", headers={"Retry-After": "1"})

    def _problem(self, request: web.Request, error: Exception) -> Problem:
        """What to answer after ``error``."""
        match error:
            case Problem():
                return error
            case Rejected():
                return wrong(error.errors)
            case NotAppended():
                return _not_appended(error)
            case LogUnavailable():
                return Problem(503, str(error), headers={"Retry-After": "1"})
            case web.HTTPException() if error.status < 500:
                return _http_problem(request, error)
        return self._internal(request, error)

    def _internal(self, request: web.Request, error: Exception) -> Problem:
        """500: what happened goes to the server's log, under an id that the client gets."""
        error_id = secrets.token_hex(6)
        _logger.error(
            "request failed",
            error_id=error_id,
            method=request.method,
            path=request.path,
            exc_info=error,
        )
        self._metrics.errors.inc()
        problem = Problem(500, f"the server failed; its log says more under {error_id}")
        problem.body.error_id = error_id
        return problem


def _http_problem(request: web.Request, error: web.HTTPException) -> Problem:
    """What aiohttp raises: no such path, no such method."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    detail = {
        404: f"there is no {request.path}",
        405: f"{request.path} does not take {request.method}",
    }.get(error.status, error.reason)
    return Problem(error.status, detail, headers=headers)


def _not_appended(error: NotAppended) -> Problem:
    """503: which events the log did not take, and what became of the others."""
    problem = Problem(503, str(error), headers={"Retry-After": "1"})
    problem.body.not_appended = error.indexes
    problem.body.results = error.taken.results
    problem.body.token = error.taken.token
    return problem
