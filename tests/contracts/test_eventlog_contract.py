"""What every implementation of ``EventLog`` must do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventlog.protocol import (
    Entry,
    EventLog,
    Reader,
    Record,
    RecordTooLarge,
    Topic,
    TopicMismatch,
    TopicPartition,
)
from tests.logs import RETENTION_MS, Home

SOON = 5.0
EVENTS = [TopicPartition("events", number) for number in range(4)]


@pytest.fixture
async def log(home: Home) -> AsyncIterator[EventLog]:
    log = await home.open()
    await log.create_topics([Topic("events", 4), Topic("rows", 1, compacted=True)])
    yield log
    await log.stop()


def numbered(start: int, stop: int) -> list[Entry]:
    return [Entry(b"k%d" % n, b"v%d" % n, n) for n in range(start, stop)]


async def read_all(log: EventLog, tp: TopicPartition, offset: int = 0) -> list[Record]:
    reader = log.reader({tp: offset})
    end = (await log.end_offsets([tp]))[tp]
    records: list[Record] = []
    while reader.position(tp) < end:
        records += (await reader.poll(100, SOON)).get(tp, [])
    await reader.close()
    return records


async def poll_until(reader: Reader, count: int) -> dict[TopicPartition, list[Record]]:
    got: dict[TopicPartition, list[Record]] = {}
    async with asyncio.timeout(SOON):
        while sum(map(len, got.values())) < count:
            for tp, records in (await reader.poll(100, SOON)).items():
                got.setdefault(tp, []).extend(records)
    return got


async def test_what_was_appended_is_read_back(log: EventLog) -> None:
    """Keys, values, tombstones, missing keys and empty bytes all come back as they were."""
    entries = [
        Entry(b"key", b"value", 1_700_000_000_000),
        Entry(b"key", None, 2),
        Entry(None, b"value", 3),
        Entry(None, None, 4),
        Entry(b"", b"", -5),
    ]
    assert await log.append({EVENTS[0]: entries}) == {EVENTS[0]: 4}
    expected = [Record(n, e.timestamp, e.key, e.value) for n, e in enumerate(entries)]
    assert await read_all(log, EVENTS[0]) == expected


async def test_offsets_count_each_partition_by_itself(log: EventLog) -> None:
    """Each partition numbers its records from 0 on, in the order of the appends."""
    first = await log.append({EVENTS[0]: numbered(0, 3), EVENTS[1]: numbered(0, 1)})
    second = await log.append({EVENTS[0]: numbered(3, 5), EVENTS[2]: []})
    assert first == {EVENTS[0]: 2, EVENTS[1]: 0}
    assert second == {EVENTS[0]: 4}
    assert await log.end_offsets(EVENTS[:3]) == {EVENTS[0]: 5, EVENTS[1]: 1, EVENTS[2]: 0}
    assert await log.start_offsets(EVENTS[:1]) == {EVENTS[0]: 0}
    assert [record.offset for record in await read_all(log, EVENTS[0])] == [0, 1, 2, 3, 4]
    assert [record.value for record in await read_all(log, EVENTS[0], 3)] == [b"v3", b"v4"]


async def test_a_waiting_reader_wakes_for_an_append(log: EventLog) -> None:
    """A poll that waits returns with the record, long before its time-out."""
    reader = log.reader(dict.fromkeys(EVENTS, 0))
    waiting = asyncio.create_task(reader.poll(10, SOON))
    await asyncio.sleep(0)
    await log.append({EVENTS[2]: numbered(0, 1)})
    async with asyncio.timeout(SOON / 2):
        assert await waiting == {EVENTS[2]: [Record(0, 0, b"k0", b"v0")]}
    await reader.close()


async def test_a_poll_without_records_is_empty(log: EventLog) -> None:
    """Where nothing comes within the time-out, the answer is empty."""
    reader = log.reader({EVENTS[0]: 0})
    assert await reader.poll(10, 0.01) == {}
    assert await reader.poll(10, 0) == {}
    await reader.close()


async def test_every_waiting_reader_gets_every_record(log: EventLog) -> None:
    """Readers are independent: two that wait for the same partition both get the record."""
    readers = [log.reader({EVENTS[0]: 0}) for _ in range(2)]
    waiting = [asyncio.create_task(reader.poll(10, SOON)) for reader in readers]
    await asyncio.sleep(0)
    await log.append({EVENTS[0]: numbered(0, 2)})
    for poll, reader in zip(waiting, readers, strict=True):
        got = await poll
        while len(got[EVENTS[0]]) < 2:
            got[EVENTS[0]] += (await reader.poll(10, SOON))[EVENTS[0]]
        assert [record.offset for record in got[EVENTS[0]]] == [0, 1]
        await reader.close()


async def test_a_busy_partition_does_not_keep_back_a_quiet_one(log: EventLog) -> None:
    """One record in a quiet partition is in the first polls, however much another holds."""
    await log.append({EVENTS[0]: numbered(0, 5_000), EVENTS[3]: numbered(0, 1)})
    reader = log.reader(dict.fromkeys(EVENTS, 0))
    got: set[TopicPartition] = set()
    for _ in range(2):
        polled = await reader.poll(20, SOON)
        assert sum(map(len, polled.values())) <= 20
        got |= polled.keys()
    assert EVENTS[3] in got
    await reader.close()


async def test_records_come_once_and_in_order(log: EventLog) -> None:
    """Polls of any size hand out every record of every partition once, in order."""
    await log.append({tp: numbered(0, 700) for tp in EVENTS})
    reader = log.reader(dict.fromkeys(EVENTS, 0))
    got: dict[TopicPartition, list[int]] = {tp: [] for tp in EVENTS}
    sizes = [1, 7, 300, 1000]
    async with asyncio.timeout(SOON):
        while sum(map(len, got.values())) < 2800:
            polled = await reader.poll(sizes[0], SOON)
            assert sum(map(len, polled.values())) <= sizes[0]
            sizes = sizes[1:] + sizes[:1]
            for tp, records in polled.items():
                got[tp] += [record.offset for record in records]
                assert reader.position(tp) == records[-1].offset + 1
    assert got == {tp: list(range(700)) for tp in EVENTS}
    await reader.close()


async def test_seeking_reads_again(log: EventLog) -> None:
    """After a seek the reader goes on from the new offset, back or forth."""
    await log.append({EVENTS[0]: numbered(0, 10)})
    reader = log.reader({EVENTS[0]: 0})
    await poll_until(reader, 10)
    reader.seek(EVENTS[0], 8)
    assert reader.position(EVENTS[0]) == 8
    got = await poll_until(reader, 2)
    assert [record.offset for record in got[EVENTS[0]]] == [8, 9]
    await reader.close()


async def test_a_poll_that_is_cancelled_loses_nothing(log: EventLog) -> None:
    """Records are handed out by a later poll if the one before was cancelled."""
    reader = log.reader({EVENTS[0]: 0})
    waiting = asyncio.create_task(reader.poll(10, SOON))
    await asyncio.sleep(0)
    await log.append({EVENTS[0]: numbered(0, 3)})
    waiting.cancel()
    await asyncio.wait([waiting], timeout=SOON)
    # A broker may have handed them out before it acknowledged the append.
    got = [] if waiting.cancelled() else waiting.result()[EVENTS[0]]
    if len(got) < 3:
        got += (await poll_until(reader, 3 - len(got)))[EVENTS[0]]
    assert [record.offset for record in got] == [0, 1, 2]
    await reader.close()


async def test_topics_may_be_created_twice(log: EventLog) -> None:
    """Creating what exists changes nothing; the same topic keeps its records."""
    await log.append({EVENTS[0]: numbered(0, 3)})
    await log.create_topics([Topic("events", 4), Topic("more", 2)])
    assert log.partitions("more") == 2
    assert len(await read_all(log, EVENTS[0])) == 3


async def test_other_partition_counts_are_refused(log: EventLog) -> None:
    """A topic keeps the number of partitions it was created with."""
    with pytest.raises(TopicMismatch, match="events"):
        await log.create_topics([Topic("events", 8)])
    assert log.partitions("events") == 4


async def test_unknown_topics_are_named(log: EventLog) -> None:
    """Asking for a topic that is not there says which."""
    with pytest.raises(KeyError, match="nothing"):
        log.partitions("nothing")


async def test_a_record_over_the_limit_stops_the_whole_append(log: EventLog) -> None:
    """Nothing is appended, to no partition, if one record is too large."""
    await log.create_topics([Topic("small", 1, max_record_bytes=10)])
    small = TopicPartition("small", 0)
    fits, too_large = Entry(b"k", b"v" * 9, 0), Entry(b"k", b"v" * 10, 0)
    with pytest.raises(RecordTooLarge, match="small"):
        await log.append({EVENTS[0]: numbered(0, 3), small: [fits, too_large]})
    assert await log.end_offsets([EVENTS[0], small]) == {EVENTS[0]: 0, small: 0}
    await log.append({small: [fits]})
    assert [record.offset for record in await read_all(log, small)] == [0]


async def test_a_restart_keeps_everything(home: Home, log: EventLog) -> None:
    """Topics, records and offsets are there after a stop, and appends go on behind them."""
    await log.append({EVENTS[0]: numbered(0, 3), EVENTS[1]: numbered(0, 1)})
    await log.stop()
    again = await home.open()
    try:
        assert again.partitions("events") == 4
        assert await again.end_offsets(EVENTS[:2]) == {EVENTS[0]: 3, EVENTS[1]: 1}
        assert await again.append({EVENTS[0]: numbered(3, 4)}) == {EVENTS[0]: 3}
        assert [r.value for r in await read_all(again, EVENTS[0])] == [b"v0", b"v1", b"v2", b"v3"]
    finally:
        await again.stop()


async def test_compaction_keeps_the_last_record_of_a_key(home: Home, log: EventLog) -> None:
    """Whatever compaction drops, the newest of each key stays, at its offset."""
    rows = TopicPartition("rows", 0)
    entries = [Entry(b"%d" % (n % 7), b"v%d" % n, n) for n in range(200)]
    await log.append({rows: entries})
    await home.compact(log, "rows")
    left = await read_all(log, rows)
    newest = {record.key: record.offset for record in left if record.value is not None}
    assert set(newest.values()) == set(range(193, 200))
    assert len(left) < 200 <= (await log.end_offsets([rows]))[rows]


async def test_a_reader_in_a_gap_goes_on_behind_it(home: Home, log: EventLog) -> None:
    """A reader whose next record was compacted away gets the next that is left, in order."""
    rows = TopicPartition("rows", 0)
    await log.append({rows: [Entry(b"same", b"v%d" % n, n) for n in range(50)]})
    reader = log.reader({rows: 10})
    await home.compact(log, "rows")
    [last] = (await log.append({rows: [Entry(b"other", b"v", 0)]})).values()
    offsets = []
    async with asyncio.timeout(SOON):
        while reader.position(rows) <= last:
            polled = await reader.poll(10, SOON)
            offsets += [record.offset for record in polled.get(rows, [])]
    assert offsets == sorted(set(offsets))
    assert {49, last} <= set(offsets)
    assert len(offsets) < 40
    await reader.close()


async def test_retention_moves_the_start(home: Home, log: EventLog) -> None:
    """Records past the retention time go from the front; offsets stay what they were."""
    await log.create_topics([Topic("short", 1, retention_ms=RETENTION_MS)])
    short, now = TopicPartition("short", 0), home.now()
    await log.append({short: [Entry(None, b"old", now), Entry(None, b"old", now + 1)]})
    await log.append({short: [Entry(None, b"young", now + 40_000)]})
    reader = log.reader({short: 0})
    await home.expire(log, "short", 2)
    assert await log.start_offsets([short]) == {short: 2}
    assert await log.end_offsets([short]) == {short: 3}
    assert (await poll_until(reader, 1))[short] == [Record(2, now + 40_000, None, b"young")]
    await reader.close()
