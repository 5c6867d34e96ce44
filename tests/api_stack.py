"""The whole way in one process for tests: API, log, folds, tables, replicas, ranking.

Everything is real but Faust: the folds run as ``Bulk`` whenever something was appended.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, AppRunner, Request

from api.app import make_app
from api.readiness import Readiness
from api.runner import make_runner
from api.settings import ApiSettings
from eventlog.embedded.log import now_ms
from eventlog.protocol import EventLog, TopicPartition
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.similar import similar_surface
from personalization.ranking.surface import Surface, default_surface
from personalization.spec import Spec
from tables.bulk import Bulk
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica
from tables.stopping import cancelled
from tables.store import TableStore
from tables.topics import CATALOGUE, VISITOR_EVENTS, topics
from tables.windows import Windows
from tests.logs import Home

APP_ID = "freshet"
PARTITIONS = 4
SOON = 20.0
JSON = dict[str, Any]


class Served(TestServer):
    """The app, run as Freshet runs it."""

    async def _make_runner(self, **options: Any) -> AppRunner:
        return make_runner(self.app, **options)


class Stack:
    """A running API and what is behind it."""

    def __init__(
        self,
        client: "TestClient[Request, Application]",
        app: Application,
        log: EventLog,
        replicas: Replicas,
        readiness: Readiness,
    ) -> None:
        self.client = client
        self.app = app
        self.log = log
        self.replicas = replicas
        self.readiness = readiness

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> ClientResponse:
        """One request; ``body`` is sent as JSON unless it is bytes."""
        how = {"data": BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        return await self.client.request(method, path, **(how if body is not None else {}), **more)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> JSON:
        """The JSON of a request that must succeed."""
        response = await self.call(method, path, body, **more)
        assert response.status == 200, await response.text()
        answer: JSON = await response.json()
        return answer

    async def problem(
        self, status: int, method: str, path: str, body: Any = None, **more: Any
    ) -> JSON:
        """The problem of a request that must fail with ``status``."""
        response = await self.call(method, path, body, **more)
        assert response.status == status, await response.text()
        assert response.content_type == "application/problem+json"
        answer: JSON = await response.json()
        assert answer["status"] == status
        return answer

    async def known(self, token: str) -> None:
        """Wait until what ``token`` stands for is in all replicas."""
        request = {"candidates": ["x"], "token": token, "wait": "all"}
        answer = await self.ok("POST", "/v1/rank", request)
        assert answer["freshness"]["caught_up"] is True


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait, a bounded time, until ``check`` is true."""
    async with asyncio.timeout(SOON):
        while True:
            if await check():
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(
    home: Home,
    *,
    settings: ApiSettings | None = None,
    surfaces: tuple[Surface, ...] = (),
    wrap_log: Callable[[EventLog], Any] = lambda log: log,
    clock: Callable[[], int] = now_ms,
    ready: bool = True,
    folding: bool = True,
    spec: Spec = marketplace,
) -> AsyncIterator[Stack]:
    """A stack at ``home``. ``wrap_log`` may put something before the log that the API sees."""
    plan = spec.plan
    log, folder = await home.open(), home.folder
    await log.create_topics(topics(APP_ID, plan.state_id, PARTITIONS, 86_400_000))
    store = TableStore(folder / "tables", state_id=plan.state_id, partitions=PARTITIONS)
    bulk = Bulk(log, store, plan, app_id=APP_ID, windows=Windows(log), clock=now_ms)
    replicas = Replicas(log, plan, path=folder / "replicas", app_id=APP_ID)
    formula = Formula(spec.columns, spec.feature_set_id)
    models = ModelReplica(log, formula, spec.columns)
    readiness = Readiness()
    default = default_surface(plan.categories, plan.vectors)
    declared = (default, similar_surface(), *surfaces)
    app = make_app(
        log=wrap_log(log),
        replicas=replicas,
        spec=spec,
        surfaces={surface.name: surface for surface in declared},
        models=models,
        settings=settings or ApiSettings(wait_timeout_ms=10_000),
        readiness=readiness,
        clock=clock,
        entropy=os.urandom,
    )
    await replicas.start()
    await asyncio.wait_for(replicas.ready(), SOON)
    await models.start()
    if ready:
        readiness.set_ready()
    fold = asyncio.create_task(_fold(log, bulk)) if folding else None
    try:
        async with TestClient(Served(app)) as client:
            yield Stack(client, app, log, replicas, readiness)
    finally:
        if fold is not None:
            await cancelled([fold])
        await models.stop()
        await replicas.stop()
        store.close()
        await log.stop()
    if fold is not None and not fold.cancelled():
        fold.result()


async def _fold(log: EventLog, bulk: Bulk) -> None:
    await bulk.catch_up()
    partitions = [
        TopicPartition(t, n) for t in (VISITOR_EVENTS, CATALOGUE) for n in range(PARTITIONS)
    ]
    reader = log.reader(await log.end_offsets(partitions))
    await bulk.catch_up()
    try:
        while True:
            if await reader.poll(10_000, 1.0):
                await bulk.catch_up()
    finally:
        await reader.close()
