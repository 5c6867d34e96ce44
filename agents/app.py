"""The Faust app: its topics, its tables and its three agents."""

import sys
from collections.abc import Callable
from typing import Any, cast

import faust

from agents.hand_over import HandOver
from agents.run import Bounds, run
from agents.slices import Slices
from eventlog.protocol import EventLog
from personalization.plan import StatePlan
from tables.batch_fold import fold_catalogue, fold_events, fold_signals
from tables.faust_tables import PromptTableManager
from tables.store import TableStore
from tables.topics import CATALOGUE, SIGNALS, TABLES, VISITOR_EVENTS, table_name
from tables.turns import Turns
from tables.windows import Windows
from tables.writer import BatchWriter

SESSION_TIMEOUT = 10.0
"""Seconds after which a worker that is not heard of loses its partitions."""

_DAY_MS = 24 * 3600 * 1000

# Changelogs must compact in time, but leave a late row of a stale owner its chance to be seen.
_CHANGELOG_CONFIGS = {
    "segment.ms": _DAY_MS,
    "min.cleanable.dirty.ratio": 0.1,
    "min.compaction.lag.ms": _DAY_MS,
}

_SETTINGS: dict[str, Any] = {
    "stream_wait_empty": False,
    "broker_max_poll_records": 500,
    "broker_commit_interval": 1.0,
    "broker_commit_every": sys.maxsize,  # by time alone: it would hold up what is delivered
    "broker_session_timeout": SESSION_TIMEOUT,
    "broker_heartbeat_interval": 1.0,
    "broker_request_timeout": 30.0,
    "producer_acks": -1,
    "producer_max_batch_size": 262_144,
    "stream_buffer_maxsize": 4096,
    "table_standby_replicas": 0,
    "topic_disable_leader": True,
    "table_cleanup_interval": 3600.0,
    "processing_guarantee": "at_least_once",
    "key_serializer": "raw",
    "value_serializer": "raw",
    "web_enabled": False,
    "TableManager": PromptTableManager,
}


def make_app(
    *,
    app_id: str,
    broker: str,
    log: EventLog,
    store: TableStore,
    plan: StatePlan,
    windows: Windows,
    clock: Callable[[], int],
    writer: BatchWriter | None = None,
    prefix: str = "",
    hand_over: HandOver | None = None,
    bounds: Bounds | None = None,
    turns: Turns | None = None,
    **settings: Any,
) -> faust.App:
    """An app whose agents fold the entity topics of ``log`` into ``store``.

    ``broker`` is ``freshet://`` for the embedded log. All topics must exist. ``clock`` gives ms.
    The agents read nothing of ``windows`` that is there already. ``prefix`` comes before the names
    of all topics, and of the group. ``turns`` are those of what shares the loop. ``settings`` are
    more of Faust's.
    """
    app: Any = faust.App(
        prefix + app_id,
        broker=broker,
        store="freshet://",
        datadir=str(store.path / "faust"),  # Faust makes it, and leaves it empty
        topic_partitions=store.partitions,
        **_SETTINGS | settings,
    )
    app.eventlog = log  # read by the embedded transport
    app.table_store = store  # read by the tables' stores
    for table in TABLES:
        app.Table(
            table_name(table, store.state_id),
            key_type=bytes,
            value_type=bytes,
            partitions=store.partitions,
            extra_topic_configs=_CHANGELOG_CONFIGS,
        )
    _add_agents(
        app,
        store,
        plan,
        windows,
        writer or BatchWriter(log, store, app_id=app_id, clock=clock),
        prefix,
        hand_over or HandOver(SESSION_TIMEOUT),
        bounds or Bounds(),
        turns or Turns(),
    )
    return cast(faust.App, app)


def _add_agents(
    app: faust.App,
    store: TableStore,
    plan: StatePlan,
    windows: Windows,
    writer: BatchWriter,
    prefix: str,
    hand_over: HandOver,
    bounds: Bounds,
    turns: Turns,
) -> None:
    def topic(name: str) -> Any:
        name = prefix + name
        return app.topic(name, key_type=bytes, value_type=bytes, partitions=store.partitions)

    @app.agent(topic(VISITOR_EVENTS), name="visitors")
    async def visitors(stream: Any) -> None:
        slices = Slices(turns, bounds.slice_seconds)
        await run(
            stream,
            lambda records: fold_events(
                records, plan=plan, store=store, windows=windows, pause=slices.pause
            ),
            writer,
            slices,
            hand_over,
            max_records=bounds.records,
        )

    @app.agent(topic(SIGNALS), name="stats")
    async def stats(stream: Any) -> None:
        slices = Slices(turns, bounds.slice_seconds)
        await run(
            stream,
            lambda records: fold_signals(records, plan=plan, store=store, pause=slices.pause),
            writer,
            slices,
            hand_over,
            max_records=bounds.records,
            max_bytes=bounds.signal_bytes,
            linger=bounds.linger,
        )

    @app.agent(topic(CATALOGUE), name="catalogue")
    async def catalogue(stream: Any) -> None:
        slices = Slices(Turns(), bounds.slice_seconds)  # others give way to this one
        await run(
            stream,
            lambda records: fold_catalogue(records, store=store, pause=slices.pause),
            writer,
            slices,
            hand_over,
            max_records=bounds.records,
        )
