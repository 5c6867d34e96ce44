"""A worker's Faust app: the same agents as in the embedded mode, on a Kafka cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

import faust
from faust.types import TP

from agents.app import make_app
from agents.hand_over import HandOver
from agents.run import Bounds
from eventlog.kafka import Connection, KafkaLog
from eventlog.kafka.faust_transport import Transport
from eventlog.protocol import EventLog, TopicPartition
from freshet.settings import Settings
from freshet.state import now_ms
from personalization.plan import StatePlan
from tables.faust_recovery import BulkTableManager, RecoverTables
from tables.store import TableStore
from tables.topics import TABLES
from tables.windows import Windows
from tables.writer import BatchWriter

# Nobody waits for this process's loop, and what comes later in a batch is nearly free.
_BOUNDS = Bounds(records=2_000, signal_bytes=2 << 20, slice_seconds=0.005)
_REQUEST_SECONDS = 30.0


class TopicLost(Exception):
    """A topic ends before what was folded of it: it was deleted, or lost its end."""


def make_worker_app(
    settings: Settings,
    connection: Connection,
    *,
    client_id: str,
    log: KafkaLog,
    store: TableStore,
    plan: StatePlan,
    windows: Windows,
    writer: BatchWriter,
    hand_over: HandOver,
    recover_tables: RecoverTables,
) -> faust.App:
    """A static member of the group ``topic_prefix`` + ``app_id``.

    ``recover_tables`` is called with what it was assigned, before anything is folded.
    """
    session = settings.session_timeout_seconds
    app: Any = make_app(
        app_id=settings.app_id,
        broker="kafka://" + ";kafka://".join(connection.bootstrap_servers),
        log=log,
        store=store,
        plan=plan,
        windows=windows,
        clock=now_ms,
        writer=writer,
        prefix=settings.topic_prefix,
        hand_over=hand_over,
        bounds=_BOUNDS,
        broker_client_id=client_id,
        broker_credentials=_credentials(connection),
        broker_session_timeout=session,
        broker_request_timeout=max(_REQUEST_SECONDS, session),
        consumer_group_instance_id=settings.worker,
        topic_allow_declare=False,
        TableManager=BulkTableManager,
    )

    async def read_offsets(partitions: Iterable[TP]) -> Mapping[TP, int]:
        sources = {
            TopicPartition(tp.topic.removeprefix(settings.topic_prefix), tp.partition): tp
            for tp in partitions
        }
        offsets = await read_offsets_of(log, store, sources)
        return {sources[tp]: offset for tp, offset in offsets.items()}

    app.read_offsets = read_offsets
    app.recover_tables = recover_tables
    app.transport = Transport(app.conf.broker_consumer, app, loop=app.loop)
    app.producer_transport = Transport(app.conf.broker_producer, app, loop=app.loop)
    return app  # type: ignore[no-any-return]


async def read_offsets_of(
    log: EventLog, store: TableStore, sources: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Where to go on folding each of ``sources``: after what the tables have.

    Raises ``TopicLost``, or ``LogUnavailable``.
    """
    has = {tp: read_offset(store, *tp) for tp in sources}
    starts, ends = await log.start_offsets(has), await log.end_offsets(has)
    for tp, offset in has.items():
        if offset > ends[tp]:
            raise TopicLost(
                f"{tp.topic}[{tp.partition}] ends at {ends[tp]}, but was folded up to {offset}: it"
                " was deleted or has lost its end"
            )
    return {tp: max(starts[tp], offset) for tp, offset in has.items()}


def read_offset(store: TableStore, topic: str, partition: int) -> int:
    """One more than the last offset that all tables of ``topic`` have folded."""
    return 1 + min(
        store.watermark(table.name, partition).offset for table in TABLES if table.source == topic
    )


def _credentials(connection: Connection) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = connection.ssl_context()
    if connection.uses_sasl:
        return faust.SASLCredentials(
            username=connection.sasl_username,
            password=connection.sasl_password,
            mechanism=connection.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)
