"""The tables' folder is deleted: the same rows come back from the changelogs."""

import random
from pathlib import Path

import pytest

from eventlog.protocol import Entry, EventLog, TopicPartition
from personalization.state.rows import UserRow
from tables.recovery import recover
from tables.store import PartitionWrite
from tables.topics import ROWS, USERS, changelog_topic
from tests.logs import Home
from tests.streams import (
    APP_ID,
    PLAN,
    START,
    appended,
    everything,
    new_bulk,
    open_log,
    open_store,
    random_catalogue,
    random_events,
)


async def folded(log: EventLog, folder: Path, seed: int = 5) -> dict[tuple[str, int, bytes], bytes]:
    """Rows after a few batches of events."""
    chance = random.Random(seed)
    store = open_store(folder / "tables")
    for first in range(0, 200, 50):
        events = random_events(chance, 50, first)
        await log.append(appended(events, random_catalogue(chance, 10)))
        await new_bulk(log, store).catch_up()
    rows = everything(store)
    store.close()
    return rows


async def test_the_same_rows_come_back(home: Home, tmp_path: Path) -> None:
    """All of it, watermarks too, from an empty folder; with progress; compacted or not; and a
    second recovery finds nothing to do."""
    log = await open_log(home)
    rows = await folded(log, tmp_path)
    for name in ("whole", "compacted"):
        store = open_store(tmp_path / name)
        told: dict[int, int] = {}
        assert await recover(log, store, app_id=APP_ID, progress=told.__setitem__) > 0
        done, total = list(told.items())[-1]
        assert done == total
        assert everything(store) == rows
        assert await recover(log, store, app_id=APP_ID) == 0
        store.close()
        await home.compact(log, changelog_topic(APP_ID, USERS, PLAN.state_id))
    await log.stop()


async def test_a_stale_owner_does_not_win(home: Home, tmp_path: Path) -> None:
    """The row with the highest offset stays, whichever comes last in the changelog, in one
    recovery or in two; a tombstone removes it."""
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    tp = TopicPartition(changelog_topic(APP_ID, USERS, PLAN.state_id), 0)

    async def write(*offsets: int | None) -> None:
        rows = [None if at is None else ROWS["users"].encode(UserRow(at, [])) for at in offsets]
        await log.append({tp: [Entry(b"u1", row, START) for row in rows]})
        await recover(log, store, app_id=APP_ID)

    def kept() -> object:
        row = store.get("users", 0, b"u1")
        return None if row is None else ROWS["users"].decode(row)

    await write(7, 9, 8)
    assert kept() == UserRow(9, [])
    await write(6)
    assert kept() == UserRow(9, [])
    await write(10, None)
    assert kept() is None
    store.close()
    await log.stop()


async def test_a_batch_written_during_a_first_recovery_stays(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty store's owner writes a batch between two polls of its recovery: older records of
    the same key that are read only then do not replace it."""
    monkeypatch.setattr("tables.recovery._POLL_RECORDS", 1)
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    tp = TopicPartition(changelog_topic(APP_ID, USERS, PLAN.state_id), 0)
    rows = [ROWS["users"].encode(UserRow(offset, [])) for offset in range(4)]
    await log.append({tp: [Entry(b"u1", row, START) for row in rows[:3]]})

    def write(done: int, total: int) -> None:
        if done == 1:
            store.write_now([PartitionWrite("users", 0, [(b"u1", rows[3])], 3)])

    await recover(log, store, app_id=APP_ID, progress=write)
    assert store.get("users", 0, b"u1") == rows[3]
    store.close()
    await log.stop()


async def test_a_store_ahead_of_its_changelog_starts_over(home: Home, tmp_path: Path) -> None:
    """A changelog that was deleted takes its table's rows along; folding brings them back."""
    log = await open_log(home)
    rows = await folded(log, tmp_path)
    users = changelog_topic(APP_ID, USERS, PLAN.state_id)
    await home.delete_topic(log, users)
    await log.stop()
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    await recover(log, store, app_id=APP_ID)
    assert {table for table, _, key in everything(store) if key != b"watermark"} == {
        "visitors",
        "catalogue",
        "items",
        "sellers",
        "segments",
    }
    await new_bulk(log, store).catch_up()
    assert everything(store) == rows
    store.close()
    await log.stop()
