"""Health, readiness, metrics, the API's description and its page."""

from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from api.answers import answer
from api.operation import Operation
from api.readiness import Stage
from api.services import CLOCK, METRICS, MODEL_REPLICA, OPENAPI, QUEUE, READINESS, REPLICAS

_PAGE = files("api").joinpath("static/docs.html").read_bytes()


class Health(msgspec.Struct, frozen=True):
    """The process runs."""

    status: str = "ok"


class Ready(msgspec.Struct, frozen=True):
    """Whether requests are served, and what is or was recovered: rows ``done`` of ``total``.

    ``waiting`` says what keeps recovery from going on, if anything does: no broker answers, say.
    """

    ready: bool
    recovering: list[Stage]
    waiting: str | None = None


async def healthz(request: web.Request) -> web.Response:
    """The process answers."""
    return answer(Health())


async def readyz(request: web.Request) -> web.Response:
    """200 once requests are served; before, 503 with what is being recovered."""
    readiness = request.app[READINESS]
    response = answer(Ready(readiness.ready, readiness.stages, readiness.waiting))
    response.set_status(200 if readiness.ready else 503)
    return response


async def metrics(request: web.Request) -> web.Response:
    """For Prometheus."""
    measured, readiness = request.app[METRICS], request.app[READINESS]
    ready = readiness.ready
    measured.ready.set(ready)
    for stage in readiness.stages:
        done = stage.done / stage.total if stage.total else 1.0
        measured.recovered.labels(stage.name).set(min(done, 1.0))
    measured.decisions_queued.set(request.app[QUEUE].queued())
    if ready:
        models = request.app[MODEL_REPLICA]
        trained = models.trained_at()
        age = (request.app[CLOCK]() - trained) / 1000 if trained else 0.0
        measured.model_age.set(max(0.0, age))
        measured.model_refused.set(models.refused is not None)
        for table, records in request.app[REPLICAS].behind().items():
            measured.behind.labels(table).set(records)
    return web.Response(body=measured.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def openapi(request: web.Request) -> web.Response:
    """The description of all routes, made from what validates them."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json")


async def docs(request: web.Request) -> web.Response:
    """The description as a page to read and to try."""
    return web.Response(body=_PAGE, content_type="text/html", charset="utf-8")


OPERATIONS = (
    Operation(
        "GET",
        "/healthz",
        healthz,
        "operations",
        "The process answers",
        Health,
        {"status": "ok"},
    ),
    Operation(
        "GET",
        "/readyz",
        readyz,
        "operations",
        "Whether requests are served, and how far recovery is",
        Ready,
        {
            "ready": True,
            "recovering": [{"name": "tables", "done": 1200, "total": 1200}],
            "waiting": None,
        },
    ),
    Operation(
        "GET",
        "/metrics",
        metrics,
        "operations",
        "Metrics for Prometheus",
        str,
        None,
        answer_type="text/plain",
    ),
    Operation(
        "GET",
        "/openapi.json",
        openapi,
        "operations",
        "This description",
        dict[str, Any],
        None,
    ),
    Operation(
        "GET",
        "/docs",
        docs,
        "operations",
        "This description as a page",
        str,
        None,
        answer_type="text/html",
    ),
)
