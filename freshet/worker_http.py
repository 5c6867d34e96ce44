"""What a worker tells over HTTP: that it runs, whether it folds, and how fast."""

from collections.abc import Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from api.access import Keys
from api.problems import Problem
from api.readiness import Readiness
from api.routes.operations import healthz, readyz
from api.services import READINESS

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WorkerMetrics:
    """All that a worker counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ready = self._gauge("ready", "1 when records are folded.")
        self.recovered = self._gauge("recovered_ratio", "How much is recovered, 0 to 1.", "stage")
        self.partitions = self._gauge("worker_partitions", "Partitions that this worker owns.")
        self.behind = self._gauge("worker_behind_records", "Records not folded yet.", "topic")
        self.written = Histogram(
            "freshet_worker_write_seconds",
            "Time to write a folded batch, by the tables' source.",
            ("topic",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = self._counter("worker_rows", "Rows written, watermarks left out.", "table")
        self.dead_letters = self._counter("worker_dead_letters", "Records that no row can take.")
        self.foreign = self._counter(
            "worker_foreign_records", "Changelog records read that another worker may have written."
        )

    def text(self, readiness: Readiness) -> bytes:
        """In Prometheus's text format."""
        self.ready.set(readiness.ready)
        for stage in readiness.stages:
            done = stage.done / stage.total if stage.total else 1.0
            self.recovered.labels(stage.name).set(min(done, 1.0))
        return generate_latest(self.registry)

    def set_behind(self, records: Mapping[str, int]) -> None:
        """``records`` by topic that are not folded yet."""
        for topic, count in records.items():
            self.behind.labels(topic).set(count)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"freshet_{name}", says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"freshet_{name}", says, labels, registry=self.registry)


def make_worker_http(
    readiness: Readiness, metrics: WorkerMetrics, api_keys: Sequence[str]
) -> web.Application:
    """``/healthz`` and ``/readyz`` for everyone, ``/metrics`` for whoever has a key."""
    keys = Keys(api_keys)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            keys.check(request)
        except Problem as problem:
            return web.json_response({"title": str(problem)}, status=401)
        return await handler(request)

    async def show(_: web.Request) -> web.Response:
        body = metrics.text(readiness)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[check])
    app[READINESS] = readiness
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show)
    return app
