"""The embedded mode: log, tables, agents, replicas and API in one process, on one event loop.

What starts first stops last. HTTP is there before recovery, so that ``/readyz`` can say how far
it is; when stopping it goes first, so that requests that wait for their events still get them.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import faust
import structlog
from aiohttp import web

from agents.app import make_app as make_agents
from api.app import make_app as make_api
from api.readiness import Readiness
from api.runner import make_runner
from api.settings import ApiSettings, check_bind
from freshet.garbage import look_often
from freshet.logs import root_cause
from freshet.settings import Settings
from freshet.state import APP_ID, REPLICAS, URL, CannotOpen, StageProgress, State, now_ms
from freshet.surfaces import load_surfaces
from personalization.ranking.formula import Formula
from personalization.ranking.surface import Surface
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica
from tables.rows import CachedRows
from tables.turns import Turns

DRAIN_SECONDS = 10.0
"""How long running requests may take once the process is to stop, and then each part of it."""

_PROGRESS_SECONDS = 0.2
_ROWS_KEPT = 4096  # of each table, decoded: those that change most often

_logger = structlog.get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be listened on."""


class Failed(Exception):
    """A part that the others need has stopped: the message has the root cause."""


class _Stopped(Exception):
    """The process is to stop in the middle of its recovery."""


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    listening: Callable[[str], None],
    progress: StageProgress,
    ready: Callable[[], None],
) -> None:
    """Serve until ``stop`` is set.

    ``listening`` is told the URL once connections are accepted, ``progress`` what is recovered,
    ``ready`` is called when that is done. Raises ``CannotOpen``, ``CannotListen``,
    ``BindRefused``, ``SettingsError`` or ``Failed``.
    """
    began = time.monotonic()
    check_bind(settings.host, settings.api_keys)
    readiness = Readiness()

    def recovering(stage: str, done: int, total: int) -> None:
        readiness.progress(stage, done, total)
        progress(stage, done, total)
        if stop.is_set():
            raise _Stopped

    async with AsyncExitStack() as stack:
        state = await State.open(settings)
        stack.push_async_callback(_bounded, "log and tables", state.close)
        surfaces = load_surfaces(settings.surfaces, state.spec)
        turns = Turns()
        replicas = Replicas(
            state.log, state.plan, path=state.folder / REPLICAS, app_id=APP_ID, turns=turns
        )
        formula = Formula(state.spec.columns, state.spec.feature_set_id)
        models = ModelReplica(state.log, formula, state.spec.columns)
        parts = await stack.enter_async_context(AsyncExitStack())
        parts.push_async_callback(_bounded, "models", models.stop)
        parts.push_async_callback(_bounded, "replicas", replicas.stop)
        runner = _api(settings, state, replicas, models, surfaces, readiness)
        stack.push_async_callback(runner.cleanup)
        stack.callback(readiness.set_stopping)
        url = await _listen(runner, settings.host, settings.port)
        stack.callback((state.folder / URL).unlink, missing_ok=True)
        _leave(url, state.folder)
        listening(url)
        try:
            records = await asyncio.to_thread(asyncio.run, state.recover(recovering))
            agents = _agents(state, turns)
            await state.log.start()
            await agents.start()
            parts.push_async_callback(_bounded, "agents", agents.stop)
            await replicas.start()
            await _follow(replicas, recovering)
            await models.start()
        except _Stopped:
            return
        except Exception as error:
            raise _failure("recovery", error) from error
        garbage = asyncio.create_task(look_often(), name="garbage")
        stack.callback(garbage.cancel)
        readiness.set_ready()
        ready()
        _logger.info(
            "serving",
            url=url,
            docs=f"{url}/docs",
            data=str(settings.data.resolve()),
            partitions=settings.partitions,
            state=state.plan.state_id,
            features=state.spec.feature_set_id,
            model=models.scorer.name,
            recovered=records,
            rows=replicas.progress.done,
            seconds=round(time.monotonic() - began, 2),
        )
        await _until(stop, agents, {"replicas": replicas.failed(), "models": models.failed()})
        _logger.info("stopping")


def _api(
    settings: Settings,
    state: State,
    replicas: Replicas,
    models: ModelReplica,
    surfaces: dict[str, Surface],
    readiness: Readiness,
) -> web.AppRunner:
    spec = state.spec
    app = make_api(
        log=state.log,
        replicas=replicas,
        spec=spec,
        surfaces=surfaces,
        models=models,
        settings=ApiSettings(api_keys=settings.api_keys, keep=settings.decisions_keep),
        readiness=readiness,
        clock=now_ms,
        entropy=secrets.token_bytes,
    )
    return make_runner(app, handle_signals=False, shutdown_timeout=DRAIN_SECONDS)


def _agents(state: State, turns: Turns) -> faust.App:
    return make_agents(
        app_id=APP_ID,
        broker="freshet://",
        log=state.log,
        store=state.store,
        plan=state.plan,
        windows=state.windows,
        clock=now_ms,
        rows=CachedRows(state.store, _ROWS_KEPT),
        turns=turns,
    )


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    address = runner.addresses[0]
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{name}:{address[1]}"


def _leave(url: str, folder: Path) -> None:
    try:
        (folder / URL).write_text(f"{url}\n")
    except OSError as error:
        raise CannotOpen(f"{folder} cannot be used: {error.strerror}") from error


async def _follow(replicas: Replicas, recovering: StageProgress) -> None:
    """Wait until the replicas are ready, and tell how far they are."""
    ready = asyncio.create_task(replicas.ready())
    try:
        while True:
            await asyncio.wait([ready], timeout=_PROGRESS_SECONDS)
            recovering("replicas", replicas.progress.done, replicas.progress.total)
            if ready.done():
                ready.result()
                return
    finally:
        ready.cancel()


async def _until(
    stop: asyncio.Event, agents: faust.App, others: Mapping[str, Coroutine[Any, Any, None]]
) -> None:
    """Return once ``stop`` is set. Raises ``Failed`` where a part stops before.

    ``others`` are waits by the part's name, each of which ends by raising what stopped it.
    """
    stopped = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(agents.wait_until_stopped())
    ends: dict[asyncio.Task[Any], str] = {
        asyncio.create_task(wait): part for part, wait in others.items()
    }
    try:
        done, _ = await asyncio.wait((stopped, crashed, *ends), return_when=asyncio.FIRST_COMPLETED)
        if stopped in done:
            return
        if crashed in done:
            raise _failure("agents", agents.crash_reason) from agents.crash_reason
        ended = done.pop()
        raise _failure(ends[ended], ended.exception()) from ended.exception()
    finally:
        for task in (stopped, crashed, *ends):
            task.cancel()


def _failure(part: str, reason: BaseException | None) -> Failed:
    """Tell the whole reason, once; what to raise has its root in one line."""
    _logger.error("stopped", part=part, exc_info=reason)
    root = None if reason is None else root_cause(reason)
    return Failed(f"{part} stopped: {' '.join(str(root).split())}")


async def _bounded(part: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop one part, and go on with the others if it does not in time."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await stop()
    except TimeoutError:
        _logger.error("did not stop in time", part=part)
    except Exception:
        _logger.exception("failed while stopping", part=part)
