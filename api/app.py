"""The HTTP side, put together: everything it needs is passed in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from api.access import Keys
from api.catalogue_index import IndexKeeper
from api.decision_queue import DecisionQueue
from api.edge import Edge
from api.intake import Intake
from api.metrics import Metrics
from api.models import ModelWriter
from api.openapi import describe
from api.overlay import RecentItems, ReplicaItems
from api.ranker import Ranker
from api.readiness import Readiness
from api.routes import ALL
from api.rows import RowReader
from api.services import (
    CLOCK,
    INTAKE,
    ITEMS,
    METRICS,
    MODEL_REPLICA,
    MODELS,
    OPENAPI,
    QUEUE,
    RANKER,
    READINESS,
    REPLICAS,
    ROWS,
    SETTINGS,
    SPEC,
)
from api.settings import ApiSettings
from eventlog.protocol import EventLog
from personalization.ranking.surface import Surface
from personalization.spec import Spec
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica
from tables.topics import CATALOGUE_ROWS, DECISIONS

DRAIN_SECONDS = 10.0

_logger = structlog.get_logger(__name__)


def make_app(
    *,
    log: EventLog,
    replicas: Replicas,
    spec: Spec,
    surfaces: Mapping[str, Surface],
    models: ModelReplica,
    settings: ApiSettings,
    readiness: Readiness,
    clock: Callable[[], int],
    entropy: Callable[[int], bytes],
) -> web.Application:
    """The app. ``clock`` is in ms; ``entropy`` gives n random bytes.

    ``log`` has its topics; ``replicas`` may still be catching up: until ``readiness`` is set,
    ``/v1`` answers 503 and ``/readyz`` says how far it is. Whoever runs the app starts and stops
    log, replicas and models, and stops them after the app's cleanup, which appends what is queued.
    """
    plan, metrics = spec.plan, Metrics()
    append_timeout = settings.append_timeout_ms / 1000
    items = RecentItems(
        ReplicaItems(replicas),
        plan,
        applied=lambda partition: replicas.watermark(CATALOGUE_ROWS.name, partition).offset,
    )
    declared = [surface.guarantee for surface in surfaces.values()]
    guarantees = list(dict.fromkeys(each for each in declared if each is not None))
    index = IndexKeeper(replicas.columns, clock, guarantees)
    queue = DecisionQueue(
        log,
        plan,
        items.stamp,
        metrics,
        size=settings.decision_queue,
        append_timeout=append_timeout,
    )

    edge = Edge(Keys(settings.api_keys), readiness, metrics)

    @web.middleware
    async def pass_edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await edge.answer(request, handler)

    app = web.Application(middlewares=[pass_edge], client_max_size=settings.max_body)
    app[SETTINGS] = settings
    app[READINESS] = readiness
    app[METRICS] = metrics
    app[CLOCK] = clock
    app[SPEC] = spec
    app[REPLICAS] = replicas
    app[ITEMS] = items
    app[INTAKE] = Intake(log, plan, items, metrics, clock, append_timeout)
    app[QUEUE] = queue
    app[RANKER] = Ranker(
        replicas=replicas,
        spec=spec,
        surfaces=surfaces,
        models=models,
        index=index,
        queue=queue,
        metrics=metrics,
        settings=settings,
        partitions=log.partitions(DECISIONS),
        clock=clock,
        entropy=entropy,
    )
    app[MODEL_REPLICA] = models
    app[MODELS] = ModelWriter(
        log,
        models,
        spec.feature_set_id,
        clock,
        append_timeout=append_timeout,
        wait_timeout=settings.wait_timeout_ms / 1000,
    )
    app[ROWS] = RowReader(replicas, spec, clock)
    app[OPENAPI] = describe(ALL, keys=bool(settings.api_keys))
    for operation in ALL:
        app.router.add_route(operation.method, operation.path, operation.handler)
        if operation.method == "GET":
            app.router.add_route("HEAD", operation.path, operation.handler)
    app.router.add_get("/", _to_docs)

    async def running(app: web.Application) -> AsyncIterator[None]:
        writing = asyncio.create_task(queue.run(), name="decision queue")
        indexing = asyncio.create_task(index.run(), name="catalogue index")
        yield
        indexing.cancel()
        queue.stop()
        await asyncio.wait([writing, indexing], timeout=DRAIN_SECONDS)
        if not writing.done():
            writing.cancel()
            _logger.error("decisions lost: the log did not take them", count=queue.queued())

    app.cleanup_ctx.append(running)
    return app


async def _to_docs(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "docs"})
