"""The durable state of a deployment in the embedded mode: its log and its tables, in one folder.

``log/`` is the truth. ``tables/<state id>/`` follows from it, ``replicas/`` from that; either may
be deleted while no process runs, and is made again. Another spec has other tables beside these.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from eventlog.embedded import EmbeddedLog, LogLocked
from eventlog.partitioner import partition_for
from eventlog.protocol import LogUnavailable, TopicMismatch
from freshet.settings import Settings
from freshet.specs import load_spec
from personalization.plan import StatePlan
from personalization.spec import Spec
from tables.bulk import Bulk
from tables.recovery import recover
from tables.store import StoreLocked, StoreMismatch, TableStore
from tables.topics import TABLES, VISITOR_EVENTS, changelog_topic, topics
from tables.windows import Windows

APP_ID = "freshet"
"""Names the consumer group and the changelogs."""

LOG, TABLES_FOLDER, REPLICAS = "log", "tables", "replicas"
URL = "url"
"""A file that says where the server that has the folder open listens."""

StageProgress = Callable[[str, int, int], None]
"""Told (stage, done, total) now and then."""


class CannotOpen(Exception):
    """The data folder cannot be used: the message says why, and what to do."""


def now_ms() -> int:
    """Wall clock in ms."""
    return time.time_ns() // 1_000_000


class State:
    """Log and tables of a data folder, open. One process has them at a time.

    ``recover`` must be awaited before the tables are read; it may run in another thread, as long
    as nothing else uses the state meanwhile.
    """

    def __init__(self, folder: Path, spec: Spec, log: EmbeddedLog, store: TableStore) -> None:
        self.folder = folder
        self.spec = spec
        self.plan = spec.plan
        self.log = log
        self.store = store
        self.windows = Windows(log)
        self.bulk = Bulk(log, store, self.plan, app_id=APP_ID, windows=self.windows, clock=now_ms)

    @classmethod
    async def open(cls, settings: Settings) -> "State":
        """Open the data folder, made if it is missing.

        Raises ``CannotOpen``, or ``SettingsError`` for a spec that cannot be used.
        """
        spec = load_spec(settings.spec)
        folder, state_id = settings.data, spec.plan.state_id
        declared = topics(APP_ID, state_id, settings.partitions, settings.decisions_retention_ms)
        log = _open_log(folder, sync=settings.sync)
        try:
            await log.create_topics(declared)
            store = TableStore(
                tables_folder(folder, spec.plan), state_id=state_id, partitions=settings.partitions
            )
        except TopicMismatch as error:
            there = log.partitions(VISITOR_EVENTS)
            await log.stop()
            raise CannotOpen(
                f"{folder} cannot be used: {error}: "
                f"set partitions to {there} (--partitions {there})"
            ) from error
        except (StoreMismatch, StoreLocked, LogUnavailable) as error:
            await log.stop()
            raise CannotOpen(f"{folder} cannot be used: {error}") from error
        except BaseException:
            await log.stop()
            raise
        return cls(folder, spec, log, store)

    async def recover(self, progress: StageProgress) -> int:
        """Bring the tables up to the log; how many records that took.

        First from their changelogs, then, for what those lack, from the entity topics. Killed
        in the middle, the next start goes on. What ``progress`` raises ends it.
        """
        applied = await recover(
            self.log,
            self.store,
            app_id=APP_ID,
            progress=lambda done, total: progress("changelogs", done, total),
        )
        applied += await self.fold(progress)
        self.commit()
        return applied

    async def fold(self, progress: StageProgress) -> int:
        """Fold what the tables have not read of the entity topics; how many records."""
        return await self.bulk.catch_up(lambda done, total: progress("entity topics", done, total))

    def commit(self) -> None:
        """Tell the log that the agents need not read what the tables have."""
        self.log.commit(APP_ID, self.bulk.read_offsets())

    def row(self, table: str, key: str) -> bytes | None:
        """The encoded row of an entity that is not a signal's: a visitor's or the catalogue's."""
        key_bytes = key.encode()
        return self.store.get(table, partition_for(key_bytes, self.store.partitions), key_bytes)

    async def close(self) -> None:
        """Close both."""
        self.store.close()
        await self.log.stop()


def tables_folder(folder: Path, plan: StatePlan) -> Path:
    """Where the tables of ``plan`` are."""
    return folder / TABLES_FOLDER / plan.state_id


async def drop_tables(settings: Settings) -> None:
    """Remove the tables of the spec, their changelogs, and the replicas: all that is derived.

    Killed in the middle, what is left is still right, and the next start makes the rest again.
    Raises ``CannotOpen`` or ``SettingsError``.
    """
    spec = load_spec(settings.spec)
    folder = settings.data
    if not (folder / LOG).is_dir():
        raise CannotOpen(f"{folder} holds no log")
    log = _open_log(folder, sync=settings.sync)
    try:
        for path in (folder / REPLICAS, tables_folder(folder, spec.plan)):
            if path.exists():
                shutil.rmtree(path)
        for table in TABLES:
            try:
                await log.delete_topic(changelog_topic(APP_ID, table, spec.plan.state_id))
            except KeyError:
                continue  # it was never made, or a rebuild before this one had removed it
    finally:
        await log.stop()


def _open_log(folder: Path, *, sync: bool) -> EmbeddedLog:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return EmbeddedLog(folder / LOG, sync=sync)
    except LogLocked as error:
        raise CannotOpen(
            f"{folder} is in use by a running Freshet process: stop it first"
        ) from error
    except Exception as error:  # RocksDB's: rocksdict raises nothing narrower
        raise CannotOpen(f"{folder} cannot be used: {error}") from error
