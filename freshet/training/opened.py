"""The log to learn from, and the shelf for what comes of it."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from eventlog.embedded import EmbeddedLog, LogLocked
from eventlog.kafka import KafkaLog
from eventlog.protocol import EventLog
from freshet.cluster import check_partitions, connection
from freshet.settings import Settings
from freshet.specs import load_spec
from freshet.state import APP_ID, LOG, URL, CannotOpen
from freshet.topics import declared
from freshet.training.shelf import LogShelf, ServerShelf, Shelf
from tables.topics import topics


class Opened(NamedTuple):
    """A log that can be read, and where models go."""

    log: EventLog
    shelf: Shelf


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """The log of ``settings``: the cluster's, or that of the data folder.

    Where a server has the folder open its log is read as it is now, beside the server, and models
    go to the server. Raises ``CannotOpen``, or as ``KafkaLog`` and ``check_partitions`` do.
    """
    if settings.bootstrap_servers:
        async with _cluster(settings, "freshet-train") as kafka:
            yield Opened(kafka, LogShelf(kafka))
        return
    log, shelf = await _embedded(settings)
    try:
        yield Opened(log, shelf)
    finally:
        await log.stop()


@asynccontextmanager
async def opened_to_read(settings: Settings, client: str) -> AsyncIterator[EventLog]:
    """The same log to read only, for the command ``client``. Raises as ``opened`` does."""
    if settings.bootstrap_servers:
        async with _cluster(settings, client) as kafka:
            yield kafka
        return
    try:
        log = EmbeddedLog(settings.data / LOG, read_only=True)
    except FileNotFoundError as error:
        raise CannotOpen(f"{settings.data} holds no log") from error
    try:
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def _cluster(settings: Settings, client: str) -> AsyncIterator[KafkaLog]:
    kafka = KafkaLog(
        connection(settings),
        client_id=f"{client}/{socket.gethostname()}",
        prefix=settings.topic_prefix,
        append_timeout=settings.append_timeout_seconds,
    )
    await kafka.start()
    try:
        state_id = load_spec(settings.spec).plan.state_id
        check_partitions(kafka, declared(settings, state_id))
        yield kafka
    finally:
        await kafka.stop()


async def _embedded(settings: Settings) -> tuple[EmbeddedLog, Shelf]:
    folder = settings.data
    path = folder / LOG
    if not path.is_dir():
        raise CannotOpen(f"{folder} holds no log")
    try:
        log = EmbeddedLog(path, sync=settings.sync)
    except LogLocked:
        try:
            url = (folder / URL).read_text().strip()
        except FileNotFoundError as error:
            raise CannotOpen(
                f"{folder} is in use by a process that is no server, or not one yet"
            ) from error
        return EmbeddedLog(path, read_only=True), ServerShelf(
            url, next(iter(settings.api_keys), None)
        )
    plan = load_spec(settings.spec).plan
    partitions = log.partitions("visitor-events")
    await log.create_topics(
        topics(APP_ID, plan.state_id, partitions, settings.decisions_retention_ms)
    )
    return log, LogShelf(log)
