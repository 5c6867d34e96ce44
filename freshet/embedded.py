"""The embedded mode: log, tables, agents, replicas and API in one process, on one event loop.

What starts first stops last. HTTP is there before recovery, so that ``/readyz`` can say how far
it is; when stopping it goes first, so that requests that wait for their events still get them.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import faust
import structlog
from aiohttp import web

from agents.app import make_app as make_agents
from api.app import make_app as make_api
from api.readiness import Readiness
from api.runner import make_runner
from api.settings import ApiSettings, check_bind
from freshet.garbage import look_often
from freshet.running import DRAIN_SECONDS, bounded, failure, follow, listen, until
from freshet.settings import Settings
from freshet.state import APP_ID, REPLICAS, URL, CannotOpen, StageProgress, State, now_ms
from freshet.surfaces import load_surfaces
from personalization.ranking.formula import Formula
from personalization.ranking.surface import Surface
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica
from tables.turns import Turns

_logger = structlog.get_logger(__name__)


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
        stack.push_async_callback(bounded, "log and tables", state.close)
        surfaces = load_surfaces(settings.surfaces, state.spec)
        turns = Turns()
        replicas = Replicas(
            state.log, state.plan, path=state.folder / REPLICAS, app_id=APP_ID, turns=turns
        )
        formula = Formula(state.spec.columns, state.spec.feature_set_id)
        models = ModelReplica(state.log, formula, state.spec.columns)
        parts = await stack.enter_async_context(AsyncExitStack())
        parts.push_async_callback(bounded, "models", models.stop)
        parts.push_async_callback(bounded, "replicas", replicas.stop)
        runner = _api(settings, state, replicas, models, surfaces, readiness)
        stack.push_async_callback(runner.cleanup)
        stack.callback(readiness.set_stopping)
        url = await listen(runner, settings.host, settings.port)
        stack.callback((state.folder / URL).unlink, missing_ok=True)
        _leave(url, state.folder)
        listening(url)
        try:
            records = await asyncio.to_thread(asyncio.run, state.recover(recovering))
            agents = _agents(state, turns)
            await state.log.start()
            await agents.start()
            parts.push_async_callback(bounded, "agents", agents.stop)
            await replicas.start()
            await follow(replicas, recovering)
            await models.start()
        except _Stopped:
            return
        except Exception as error:
            raise failure("recovery", error) from error
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
        parts_fail = {
            "agents": _crashed(agents),
            "replicas": replicas.failed(),
            "models": models.failed(),
        }
        await until(stop, parts_fail)
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
        turns=turns,
    )


def _leave(url: str, folder: Path) -> None:
    try:
        (folder / URL).write_text(f"{url}\n")
    except OSError as error:
        raise CannotOpen(f"{folder} cannot be used: {error.strerror}") from error


async def _crashed(agents: faust.App) -> None:
    """Ends when the agents do, by raising why."""
    await agents.wait_until_stopped()
    raise agents.crash_reason or RuntimeError("the agents have stopped")
