"""``freshet worker``: one of several processes on a Kafka cluster that own the tables, and fold.

Kafka spreads the partitions over them. What a worker is assigned it first brings up to date from
the changelogs, then folds. It is a static member of its group: stopped or killed, its partitions
wait for it until the session time-out, so that a quick restart moves nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from api.readiness import Readiness
from api.runner import make_runner
from api.settings import check_bind
from eventlog.kafka import KafkaAdmin, KafkaLog, KafkaRefused
from freshet.cluster import TopicsWrong, check_partitions, connection, patiently
from freshet.folding import Folding
from freshet.garbage import look_often
from freshet.membership import IdTaken, Membership, nonce_of
from freshet.rights import check_rights, needed_by_worker
from freshet.running import (
    DRAIN_SECONDS,
    bounded,
    done_before,
    failure,
    listen,
    until,
)
from freshet.settings import Settings
from freshet.specs import load_spec
from freshet.state import CannotOpen, StageProgress, tables_folder
from freshet.worker_http import WorkerMetrics, make_worker_http
from personalization.plan import StatePlan
from tables.owned_store import OwnedStore
from tables.topics import topics

_logger = structlog.get_logger(__name__)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    listening: Callable[[str], None],
    progress: StageProgress,
    ready: Callable[[], None],
) -> None:
    """Fold until ``stop`` is set.

    ``listening`` is told the URL of health and metrics, ``progress`` what is recovered, ``ready``
    is called when that is done for the first time. Raises ``CannotOpen``, ``CannotListen``,
    ``TopicsWrong``, ``KafkaRefused``, ``IdTaken``, ``BindRefused``, ``SettingsError`` or
    ``Failed``.
    """
    began = time.monotonic()
    check_bind(settings.host, settings.api_keys)
    plan = load_spec(settings.spec).plan
    readiness, metrics = Readiness(), WorkerMetrics()

    def recovering(stage: str, done: int, total: int) -> None:
        readiness.progress(stage, done, total)
        progress(stage, done, total)

    async with AsyncExitStack() as stack:
        cluster = connection(settings)
        admin = KafkaAdmin(cluster, client_id="freshet-worker")
        stack.push_async_callback(bounded, "group", admin.stop)
        membership = Membership(
            admin,
            group=settings.topic_prefix + settings.app_id,
            worker_id=settings.worker,
            nonce=_nonce(settings.data),
        )
        log = KafkaLog(
            cluster,
            client_id=membership.client_id,
            prefix=settings.topic_prefix,
            append_timeout=settings.append_timeout_seconds,
        )
        stack.push_async_callback(bounded, "log", log.stop)
        store = _open(settings, plan, log, metrics)

        async def close() -> None:
            store.close()  # it writes what is still in memory

        stack.push_async_callback(bounded, "tables", close)
        http = make_worker_http(readiness, metrics, settings.api_keys)
        runner = make_runner(http, handle_signals=False, shutdown_timeout=DRAIN_SECONDS)
        stack.push_async_callback(runner.cleanup)
        stack.callback(readiness.set_stopping)
        listening(await listen(runner, settings.host, settings.port))
        folding = Folding(
            settings,
            cluster,
            client_id=membership.client_id,
            log=log,
            store=store,
            plan=plan,
            readiness=readiness,
            metrics=metrics,
            progress=recovering,
        )
        stack.push_async_callback(bounded, "agents", folding.stop)

        async def start() -> None:
            await patiently(readiness, log.start)
            await patiently(readiness, admin.start)
            needs = needed_by_worker(settings, plan.state_id)
            await patiently(readiness, lambda: check_rights(admin, settings, needs))
            declared = topics(settings.app_id, plan.state_id, settings.partitions, 1)
            check_partitions(log, [topic for topic in declared if topic.name in needs])
            await patiently(readiness, lambda: membership.claim(settings.session_timeout_seconds))
            await folding.start()

        garbage = asyncio.create_task(look_often(), name="garbage")
        stack.callback(garbage.cancel)
        try:
            if not await done_before(stop, start()):
                return
        except (CannotOpen, TopicsWrong, KafkaRefused, IdTaken):
            raise
        except Exception as error:
            raise failure("start", error) from error
        readiness.set_ready()
        ready()
        _logger.info(
            "folding",
            worker=settings.worker,
            data=str(settings.data.resolve()),
            partitions=len(folding.partitions),
            state=plan.state_id,
            seconds=round(time.monotonic() - began, 2),
        )
        parts = {
            "agents": folding.crashed(),
            "tables": folding.look(),
            "membership": membership.watch(),
        }
        await until(stop, parts)
        _logger.info("stopping")


def _nonce(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return nonce_of(folder)
    except OSError as error:
        raise CannotOpen(f"{folder} cannot be used: {error.strerror}") from error


def _open(settings: Settings, plan: StatePlan, log: KafkaLog, metrics: WorkerMetrics) -> OwnedStore:
    def foreign(records: int) -> None:
        metrics.foreign.inc(records)
        _logger.warning("read what another worker, or one before, has written", records=records)

    try:
        return OwnedStore(
            tables_folder(settings.data, plan),
            state_id=plan.state_id,
            partitions=settings.partitions,
            log=log,
            app_id=settings.app_id,
            foreign=foreign,
        )
    except Exception as error:  # RocksDB's: rocksdict raises nothing narrower
        raise CannotOpen(f"{settings.data} cannot be used: {error}") from error
