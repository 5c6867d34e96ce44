"""What may be wrong with a deployment, found out without changing anything."""

import asyncio
import errno
import importlib.metadata
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from api.settings import BindRefused, check_bind
from eventlog.embedded import EmbeddedLog, LogLocked
from eventlog.protocol import TopicPartition
from freshet.cluster_doctor import examine_cluster
from freshet.finding import Finding
from freshet.settings import Settings, SettingsError
from freshet.specs import load_spec
from freshet.state import APP_ID, LOG, URL, tables_folder
from freshet.surfaces import load_surfaces
from personalization.plan import StatePlan
from personalization.ranking.formula import WEIGHTS
from personalization.spec import Spec
from tables.store import StoreLocked, StoreMismatch, TableStore
from tables.topics import TABLES, Table, changelog_topic, topics

_PACKAGES = ("freshet", "aiohttp", "faust-streaming", "msgspec", "numba", "numpy", "rocksdict")
_LOW_SPACE = 1 << 30
_MEBIBYTE = 1 << 20


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that a process with ``settings`` needs, one after another."""
    yield _python()
    yield _address(settings)
    spec = None
    try:
        spec = load_spec(settings.spec)
        surfaces = load_surfaces(settings.surfaces, spec)
        yield Finding(
            True,
            f"spec {settings.spec}: {len(spec.events)} events, {len(spec.columns)} columns, "
            f"state {spec.plan.state_id}; surfaces {', '.join(sorted(surfaces))}",
        )
    except SettingsError as error:
        yield Finding(False, str(error))
    if spec is not None and settings.spec != Settings().spec:
        yield _formula(spec)
    yield _space(settings.data)
    if settings.bootstrap_servers:
        if spec is not None:
            yield from asyncio.run(examine_cluster(settings))
    elif not (settings.data / LOG).is_dir():
        yield Finding(True, f"{settings.data} has no log yet: the first start makes it")
    elif spec is not None:
        yield from _data(settings, spec.plan)


def _python() -> Finding:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    fine = sys.version_info >= (3, 11)
    return Finding(fine, f"Python {platform.python_version()}, {versions}")


def _address(settings: Settings) -> Finding:
    host, port = settings.host, settings.port
    try:
        check_bind(host, settings.api_keys)
    except BindRefused as error:
        return Finding(False, str(error))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _serves(settings.data, port):
                return Finding(True, f"{host}:{port} is taken by the server of {settings.data}")
            return Finding(False, f"cannot listen on {host}:{port}: {error.strerror}")
    return Finding(True, f"{host}:{port} is free")


def _serves(data: Path, port: int) -> bool:
    """Whether the server that has ``data`` open listens on ``port``."""
    url = data / URL
    if not url.is_file() or urlsplit(url.read_text().strip()).port != port:
        return False
    if not (data / LOG).is_dir():
        return True  # a replica of a cluster has no log of its own
    try:
        EmbeddedLog(data / LOG).close()
    except LogLocked:
        return True
    return False


def _formula(spec: Spec) -> Finding:
    """Which columns count in a ranking: a spec of one's own may have others than it seems."""
    used = ", ".join(name for name in spec.columns if name in WEIGHTS)
    unused = ", ".join(name for name in spec.columns if name not in WEIGHTS)
    text = f"columns in the formula: {used}; columns without weight in the formula: "
    return Finding(True, text + (unused or "none"))


def _space(data: Path) -> Finding:
    there = next(path for path in (data.absolute(), *data.absolute().parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(False, f"{there} cannot be looked at: {error.strerror}")
    return Finding(free >= _LOW_SPACE, f"{free / (1 << 30):,.1f} GiB free for {data}")


def _data(settings: Settings, plan: StatePlan) -> Iterator[Finding]:
    folder = settings.data
    try:
        log = EmbeddedLog(folder / LOG)
    except LogLocked:
        yield Finding(True, f"{folder} is in use: a server is running, so its log was not read")
        return
    try:
        yield Finding(True, f"{folder} is readable, and no server uses it")
        yield from _topics(log, settings, plan)
        yield from _tables(log, settings, plan)
    finally:
        log.close()


def _topics(log: EmbeddedLog, settings: Settings, plan: StatePlan) -> Iterator[Finding]:
    for topic in topics(APP_ID, plan.state_id, settings.partitions, 0):
        try:
            partitions = log.partitions(topic.name)
        except KeyError:
            yield Finding(True, f"topic {topic.name} is not there yet: the next start makes it")
            continue
        records = sum(_ends(log, topic.name)) - sum(_starts(log, topic.name))
        yield Finding(
            partitions == topic.partitions,
            f"topic {topic.name}: about {records:,} records in {partitions} partitions"
            + ("" if partitions == topic.partitions else f", not {topic.partitions}"),
        )


def _tables(log: EmbeddedLog, settings: Settings, plan: StatePlan) -> Iterator[Finding]:
    path = tables_folder(settings.data, plan)
    if not path.is_dir():
        yield Finding(True, "no tables for this spec yet: the next start makes them from the log")
        return
    try:
        store = TableStore(path, state_id=plan.state_id, partitions=settings.partitions)
    except (StoreMismatch, StoreLocked) as error:
        yield Finding(False, str(error))
        return
    try:
        for table in TABLES:
            yield _table(log, store, table)
    finally:
        store.close()


def _table(log: EmbeddedLog, store: TableStore, table: Table) -> Finding:
    """How a table's watermarks stand to the end of its topic, and to its changelog."""
    try:
        ends = _ends(log, table.source)
        changelog_ends = _ends(log, changelog_topic(APP_ID, table, store.state_id))
    except KeyError as error:
        return Finding(True, f"table {table.name}: the next start makes topic {error}")
    if len(ends) != store.partitions:
        return Finding(False, f"table {table.name}: its topic has {len(ends)} partitions")
    behind, ahead, lost = 0, [], []
    for partition, end in enumerate(ends):
        read = store.watermark(table.name, partition).offset + 1
        behind += max(0, end - read)
        if read > end:
            ahead.append(partition)
        persisted = store.persisted_offset(table.name, partition)
        if persisted is not None and persisted >= changelog_ends[partition]:
            lost.append(partition)
    if ahead:
        return Finding(
            False,
            f"table {table.name} has read more than topic {table.source} holds, in partitions "
            f"{ahead}: the log lost its end, or is another one; run freshet rebuild",
        )
    if lost:
        return Finding(
            True, f"table {table.name}: its changelog is gone; the next start makes it again"
        )
    what = f"{behind:,} records behind, which the next start folds" if behind else "up to date"
    return Finding(True, f"table {table.name}: {what}")


def _ends(log: EmbeddedLog, topic: str) -> list[int]:
    return _offsets(log, topic, log.end_offset)


def _starts(log: EmbeddedLog, topic: str) -> list[int]:
    return _offsets(log, topic, log.start_offset)


def _offsets(log: EmbeddedLog, topic: str, of: Callable[[TopicPartition], int]) -> list[int]:
    return [of(TopicPartition(topic, number)) for number in range(log.partitions(topic))]
