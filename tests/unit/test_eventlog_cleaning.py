"""Compaction and retention of the embedded log."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.embedded import EmbeddedLog, superseded
from eventlog.embedded.cleaning import TOMBSTONE_KEPT_MS
from eventlog.embedded.layout import decode_value, encode_value
from eventlog.protocol import Entry, Record, Topic, TopicPartition

ROWS = TopicPartition("rows", 0)
NOW = 2 * TOMBSTONE_KEPT_MS
LONG_AGO = 1


@contextmanager
def rows_log() -> Iterator[EmbeddedLog]:
    with tempfile.TemporaryDirectory() as folder:
        log = EmbeddedLog(Path(folder), clock=lambda: NOW)
        asyncio.run(log.create_topics([Topic("rows", 1, compacted=True)]))
        yield log
        log.close()


def everything(log: EmbeddedLog) -> list[Record]:
    return log.read(ROWS, 0, 100_000)


entries = st.builds(
    Entry,
    key=st.one_of(st.none(), st.sampled_from([b"a", b"b", b"c", b""])),
    value=st.one_of(st.none(), st.binary(max_size=3)),
    timestamp=st.sampled_from([LONG_AGO, NOW]),
)


@given(st.one_of(st.none(), st.binary()), st.one_of(st.none(), st.binary()), st.integers(0, 2**62))
def test_any_record_survives_being_stored(
    key: bytes | None, value: bytes | None, timestamp: int
) -> None:
    """Missing and empty keys and values stay apart."""
    assert decode_value(encode_value(key, value, timestamp)) == (timestamp, key, value)


@settings(max_examples=40)
@given(st.lists(st.lists(entries, min_size=1, max_size=20), max_size=4))
def test_compaction_keeps_exactly_the_newest_of_each_key(rounds: list[list[Entry]]) -> None:
    """After any appends and compactions: the newest of each key, but for old tombstones.

    Records without a key and the last record of all stay whatever they are.
    """
    with rows_log() as log:
        appended: list[Record] = []
        for batch in rounds:
            log.append_now({ROWS: batch})
            appended += [
                Record(len(appended) + n, e.timestamp, e.key, e.value) for n, e in enumerate(batch)
            ]
            asyncio.run(log.compact("rows"))
        newest = {record.key: record.offset for record in appended}
        last = appended[-1].offset if appended else None
        expected = [
            record
            for record in appended
            if record.key is None
            or record.offset == last
            or (
                record.offset == newest[record.key]
                and (record.value is not None or record.timestamp == NOW)
            )
        ]
        assert everything(log) == expected


async def test_cleaning_compacts_only_where_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partition is compacted once likely more than half of it is superseded, not before."""
    monkeypatch.setattr(superseded, "MOST_KEYS", 0)
    log = EmbeddedLog(tmp_path)
    await log.create_topics([Topic("rows", 1, compacted=True)])
    log.append_now({ROWS: [Entry(b"%d" % n, b"v", 0) for n in range(900)]})
    log.append_now({ROWS: [Entry(b"%d" % n, b"v", 0) for n in range(90)]})
    await log.clean()
    assert len(everything(log)) == 990
    log.append_now({ROWS: [Entry(b"%d" % n, b"v", 0) for n in range(90)]})
    await log.clean()
    assert len(everything(log)) == 900
    log.append_now({ROWS: [Entry(b"0", b"v", 0)] * 900})
    await log.clean()
    assert len(everything(log)) == 1800
    await log.stop()
    again = EmbeddedLog(tmp_path)
    again.append_now({ROWS: [Entry(b"0", b"v", 0)] * 200})
    await again.clean()
    assert len(everything(again)) == 900
    await again.stop()


async def test_what_was_written_lately_goes_when_it_is_superseded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest record of a key stays, without any cleaning; after a restart, and beyond
    the number of keys that are remembered, it is left to cleaning."""
    monkeypatch.setattr(superseded, "MOST_KEYS", 100)
    log = EmbeddedLog(tmp_path)
    await log.create_topics([Topic("rows", 1, compacted=True), Topic("events", 1)])
    for round in range(30):
        for number in range(0, 100, 50):
            keys = range(number, number + 50)
            entries = [Entry(b"%d" % n, b"%d" % round, 0) for n in keys]
            log.append_now({ROWS: entries, TopicPartition("events", 0): entries})
    await log.stop()
    again = EmbeddedLog(tmp_path)
    rows = everything(again)
    assert [(r.offset, r.key, r.value) for r in rows] == [
        (2900 + n, b"%d" % n, b"29") for n in range(100)
    ]
    assert len(again.read(TopicPartition("events", 0), 0, 10_000)) == 3000
    again.append_now({ROWS: [Entry(b"%d" % n, b"again", 0) for n in range(110)]})
    again.append_now({ROWS: [Entry(b"%d" % n, b"last", 0) for n in range(110)]})
    await again.stop()
    third = EmbeddedLog(tmp_path)
    assert len(everything(third)) == 100 + 10 + 110
    assert await third.compact("rows") == 110
    await third.stop()


async def test_compaction_goes_on_beside_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records appended while a compaction runs are kept, and the loop turns meanwhile."""
    monkeypatch.setattr(superseded, "MOST_KEYS", 0)
    log = EmbeddedLog(tmp_path, clock=lambda: NOW)
    await log.create_topics([Topic("rows", 1, compacted=True)])
    for _ in range(20):
        log.append_now({ROWS: [Entry(b"%d" % n, b"v" * 200, 0) for n in range(500)]})
    compacting = asyncio.create_task(log.compact("rows"))
    appended = 0
    while not compacting.done():
        await log.append({ROWS: [Entry(b"0", b"beside %d" % appended, 0)]})
        appended += 1
        await asyncio.sleep(0)
    assert await compacting >= 19 * 500
    assert appended > 3
    beside = [r.value for r in everything(log) if r.value and r.value.startswith(b"beside")]
    assert beside[-1] == b"beside %d" % (appended - 1)
    await log.stop()


async def test_retention_of_everything_keeps_the_offsets(tmp_path: Path) -> None:
    """When all records are too old, none is left and the next one gets the next offset."""
    log = EmbeddedLog(tmp_path, clock=lambda: NOW)
    await log.create_topics([Topic("rows", 1, retention_ms=1000)])
    log.append_now({ROWS: [Entry(b"k", b"v", LONG_AGO)] * 300})
    await log.clean()
    assert everything(log) == []
    assert log.start_offset(ROWS) == log.end_offset(ROWS) == 300
    await log.stop()
    again = EmbeddedLog(tmp_path)
    assert again.start_offset(ROWS) == again.end_offset(ROWS) == 300
    assert again.append_now({ROWS: [Entry(b"k", b"v", NOW)]}) == {ROWS: 300}
    reader = again.reader({ROWS: 0})
    assert [r.offset for r in (await reader.poll(10, 1.0))[ROWS]] == [300]
    await again.stop()


async def test_cleaning_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once started, the log cleans at its interval."""
    log = EmbeddedLog(tmp_path, clock=lambda: NOW, clean_every=0.01)
    await log.create_topics([Topic("rows", 1, retention_ms=1000)])
    log.append_now({ROWS: [Entry(b"k", b"v", LONG_AGO)] * 3})
    await log.start()
    cleaned = asyncio.Event()
    clean = log.clean

    async def clean_and_tell() -> None:
        await clean()
        cleaned.set()

    monkeypatch.setattr(log, "clean", clean_and_tell)
    async with asyncio.timeout(5):
        await cleaned.wait()
    assert log.start_offset(ROWS) == 3
    await log.stop()


async def test_a_failed_round_of_cleaning_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while cleaning is logged, and the next round runs."""
    log = EmbeddedLog(tmp_path, clean_every=0.001)
    rounds = asyncio.Semaphore(0)

    async def fail() -> None:
        rounds.release()
        raise OSError("no space")

    monkeypatch.setattr(log, "clean", fail)
    await log.start()
    async with asyncio.timeout(5):
        await rounds.acquire()
        await rounds.acquire()
    await log.stop()
    assert "no space" in caplog.text
