"""``freshet api``: one of several API processes on a Kafka cluster, with read copies of all rows.

HTTP is there first. Then the cluster is waited for, and the rows, kept from the last run, are
brought up to date. From then on rankings are served whether a broker answers or not.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from api.app import make_app
from api.readiness import Readiness
from api.runner import make_runner
from api.settings import ApiSettings, check_bind
from eventlog.kafka import KafkaLog, KafkaRefused
from eventlog.protocol import EventLog, Topic
from freshet.cluster import TopicsWrong, check_cluster, check_partitions, connection, patiently
from freshet.declared_log import DeclaredLog
from freshet.garbage import look_often
from freshet.rights import Needs, needed_by_api
from freshet.running import DRAIN_SECONDS, bounded, done_before, failure, follow, listen, until
from freshet.settings import Settings
from freshet.specs import load_spec
from freshet.state import REPLICAS, URL, CannotOpen, StageProgress, now_ms
from freshet.surfaces import load_surfaces
from freshet.topics import declared
from personalization.plan import StatePlan
from personalization.ranking.formula import Formula
from personalization.ranking.surface import Surface
from personalization.spec import Spec
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica

_LATER_MS = 1_000
_NOTICE_SECONDS = 2.0

_logger = structlog.get_logger(__name__)


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
    ``ready`` is called when that is done. Raises ``CannotOpen``, ``CannotListen``, ``TopicsWrong``,
    ``KafkaRefused``, ``BindRefused``, ``SettingsError`` or ``Failed``.
    """
    began = time.monotonic()
    check_bind(settings.host, settings.api_keys)
    spec = load_spec(settings.spec)
    surfaces = load_surfaces(settings.surfaces, spec)
    needs = needed_by_api(settings, spec.plan.state_id)
    wanted = [topic for topic in declared(settings, spec.plan.state_id) if topic.name in needs]
    readiness = Readiness()

    def recovering(stage: str, done: int, total: int) -> None:
        readiness.progress(stage, done, total)
        progress(stage, done, total)

    async with AsyncExitStack() as stack:
        kafka = KafkaLog(
            connection(settings),
            client_id=f"freshet-api/{socket.gethostname()}",
            prefix=settings.topic_prefix,
            append_timeout=settings.append_timeout_seconds,
        )
        stack.push_async_callback(bounded, "log", kafka.stop)
        log = DeclaredLog(kafka, wanted)
        replicas = _replicas(settings, spec.plan, log)
        stack.push_async_callback(bounded, "replicas", replicas.stop)
        formula = Formula(spec.columns, spec.feature_set_id)
        models = ModelReplica(log, formula, spec.columns)
        stack.push_async_callback(bounded, "models", models.stop)
        runner = _api(settings, spec, surfaces, log, replicas, models, readiness)
        stack.push_async_callback(runner.cleanup)
        stack.callback(readiness.set_stopping)
        url = await listen(runner, settings.host, settings.port)
        (settings.data / URL).write_text(f"{url}\n")
        stack.callback((settings.data / URL).unlink, missing_ok=True)
        listening(url)
        recovery = _recover(settings, kafka, replicas, models, wanted, needs, readiness, recovering)
        garbage = asyncio.create_task(look_often(), name="garbage")
        stack.callback(garbage.cancel)
        try:
            if not await done_before(stop, recovery):
                return
        except (TopicsWrong, KafkaRefused, CannotOpen):
            raise
        except Exception as error:
            raise failure("recovery", error) from error
        readiness.set_ready()
        ready()
        _logger.info(
            "serving",
            url=url,
            docs=f"{url}/docs",
            data=str(settings.data.resolve()),
            cluster=",".join(settings.bootstrap_servers),
            partitions=settings.partitions,
            state=spec.plan.state_id,
            features=spec.feature_set_id,
            model=models.scorer.name,
            rows=replicas.progress.done,
            seconds=round(time.monotonic() - began, 2),
        )
        await until(stop, {"replicas": replicas.failed(), "models": models.failed()})
        _logger.info("stopping")
        # Balancers see it on /readyz before connections are refused, or closed under a request.
        readiness.set_stopping()
        await asyncio.sleep(_NOTICE_SECONDS)


def _replicas(settings: Settings, plan: StatePlan, log: EventLog) -> Replicas:
    folder = settings.data / REPLICAS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Replicas(log, plan, path=folder, app_id=settings.app_id)
    except Exception as error:  # RocksDB's: rocksdict raises nothing narrower
        raise CannotOpen(f"{folder} cannot be used: {error}") from error


def _api(
    settings: Settings,
    spec: Spec,
    surfaces: dict[str, Surface],
    log: EventLog,
    replicas: Replicas,
    models: ModelReplica,
    readiness: Readiness,
) -> web.AppRunner:
    app = make_app(
        log=log,
        replicas=replicas,
        spec=spec,
        surfaces=surfaces,
        models=models,
        settings=ApiSettings(
            api_keys=settings.api_keys,
            keep=settings.decisions_keep,
            # The log's own time-out comes first: it says which partitions it is about.
            append_timeout_ms=int(settings.append_timeout_seconds * 1000) + _LATER_MS,
        ),
        readiness=readiness,
        clock=now_ms,
        entropy=secrets.token_bytes,
    )
    return make_runner(app, handle_signals=False, shutdown_timeout=DRAIN_SECONDS)


async def _recover(
    settings: Settings,
    log: KafkaLog,
    replicas: Replicas,
    models: ModelReplica,
    wanted: Sequence[Topic],
    needs: Needs,
    readiness: Readiness,
    progress: StageProgress,
) -> None:
    await patiently(readiness, log.start)
    await patiently(readiness, lambda: check_cluster(settings, needs))
    check_partitions(log, wanted)
    await patiently(readiness, replicas.start)
    await follow(replicas, progress)
    await patiently(readiness, models.start)
