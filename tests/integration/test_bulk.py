"""The changelogs are deleted too: the same rows come back from the entity topics. And imports."""

import random
from pathlib import Path

import pytest

from eventlog.protocol import Entry, TopicPartition
from personalization.events import Stamp, StampedEvent
from personalization.state.visitor import fold_visitor
from tables import store as tables_store
from tables.dead_letters import DEAD_LETTER
from tables.topics import DEAD_LETTERS, SIGNALS, TABLES, VISITOR_EVENTS, changelog_topic
from tests.logs import Home, topic_records
from tests.streams import (
    APP_ID,
    PARTITIONS,
    PLAN,
    START,
    LiveRun,
    appended,
    clean_pass,
    count_naively,
    counted,
    everything,
    new_bulk,
    open_log,
    open_store,
    random_catalogue,
    random_events,
)


async def test_tables_and_changelogs_come_back_from_the_topics(home: Home, tmp_path: Path) -> None:
    """Every row and watermark, byte for byte, with progress, and without a signal sent twice."""
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    chance = random.Random(9)
    for first in range(0, 300, 60):
        await log.append(appended(random_events(chance, 60, first), random_catalogue(chance, 10)))
        await new_bulk(log, store).catch_up()
    rows = everything(store)
    signals = [TopicPartition(SIGNALS, partition) for partition in range(PARTITIONS)]
    sent = await log.end_offsets(signals)
    for table in TABLES:
        await home.delete_topic(log, changelog_topic(APP_ID, table, PLAN.state_id))
    await log.stop()

    log = await open_log(home)
    again = open_store(tmp_path / "again")
    told: list[tuple[int, int]] = []
    await new_bulk(log, again).catch_up(lambda done, total: told.append((done, total)))
    assert everything(again) == rows
    assert await log.end_offsets(signals) == sent
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    store.close()
    again.close()
    await log.stop()


async def test_signals_that_were_never_sent_are_completed(home: Home, tmp_path: Path) -> None:
    """Events that were appended but not folded when all tables were lost get their signals, in
    the chain that was begun; nothing counts twice or is left out."""
    log = await open_log(home, "clean")
    store = open_store(tmp_path / "tables")
    events = random_events(random.Random(4), 200)
    await log.append(appended(events[:120]))
    live = LiveRun(log, store, {})
    await live.step(VISITOR_EVENTS, 7)
    await live.step(SIGNALS, 2)
    await live.step(VISITOR_EVENTS, 7)
    await log.append(appended(events[120:]))
    fresh = await clean_pass(log, tmp_path / "fresh", "clean")
    assert counted(fresh, "items") == count_naively(events, "items")
    assert counted(fresh, "visitors") == count_naively(events, "visitors")
    fresh.close()
    store.close()
    await log.stop()


async def test_an_import_is_what_live_folding_makes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events appended and folded in bulk give the rows that live folding of that log gives,
    also where few rows stay decoded; repeated ids are found across batches and restarts."""
    monkeypatch.setattr(tables_store, "_KEPT", 3)
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    chance = random.Random(6)
    events = random_events(chance, 300)
    importer = new_bulk(log, store)
    for first in range(0, 300, 50):
        if first == 150:
            importer = new_bulk(log, store)
        await importer.append(events[first : first + 50], random_catalogue(chance, 10))
        await importer.catch_up()
    assert counted(store, "items") == count_naively(events, "items")

    live_store = open_store(tmp_path / "live")
    live = LiveRun(log, live_store, {})
    for topic in (VISITOR_EVENTS, SIGNALS, "catalogue"):
        # Resent signals come last in the log and are skipped there.
        while await live.step(topic, 11):
            pass
    imported, lived = everything(store), everything(live_store)
    # The live run has read the signals it sent again; the import has not.
    stats = ("users", "items", "sellers", "segments")
    marks = {key for key in lived if key[0] in stats and key[2] == b"watermark"}
    assert {key: row for key, row in imported.items() if key not in marks} == {
        key: row for key, row in lived.items() if key not in marks
    }
    store.close()
    live_store.close()
    await log.stop()


async def test_a_fold_that_fails_as_it_should_not_spoils_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the middle of an event, after its row was touched, costs that event alone."""
    log = await open_log(home)
    store = open_store(tmp_path / "tables")

    def faulty(row, event, offset, plan):  # type: ignore[no-untyped-def]
        row = fold_visitor(row, event, offset, plan)
        if event.id == "bad":
            raise ZeroDivisionError("oh")
        return row

    monkeypatch.setattr("personalization.folding.fold_visitor", faulty)
    importer = new_bulk(log, store)
    views = [StampedEvent("view", "v1", START, [Stamp("i1")], id=f"e{n}") for n in range(6)]
    await importer.append(views[:3])
    await importer.catch_up()
    bad = StampedEvent("view", "v1", START, [Stamp("i1")], id="bad")
    await importer.append([views[3], bad, *views[4:]])
    await importer.catch_up()
    assert counted(store, "visitors") == {("view", "v1"): 6}
    assert counted(store, "items") == {("view", "i1"): 6}
    [record] = await topic_records(log, DEAD_LETTERS)
    assert DEAD_LETTER.decode(record.value or b"").reason == "ZeroDivisionError: oh"
    store.close()
    await log.stop()


async def test_garbage_in_the_log_ends_as_in_live_folding(home: Home, tmp_path: Path) -> None:
    """A record that cannot be decoded is passed and kept as a dead letter."""
    log = await open_log(home)
    store = open_store(tmp_path / "tables")
    tps = [TopicPartition(VISITOR_EVENTS, 0), TopicPartition(SIGNALS, 0)]
    await log.append({tp: [Entry(None, b"garbage", START)] for tp in tps})
    await log.append(appended([StampedEvent("view", "v1", START, [Stamp("i1")])]))
    await new_bulk(log, store).catch_up()
    assert counted(store, "items") == {("view", "i1"): 1}
    assert len(await topic_records(log, DEAD_LETTERS)) == 2
    store.close()
    await log.stop()
