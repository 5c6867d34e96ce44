"""What the embedded log promises beyond the contract: it outlives kills, and says what failed."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventlog.embedded import EmbeddedLog, LogLocked
from eventlog.embedded.layout import HEADER_KEY, Header
from eventlog.embedded.store import open_store
from eventlog.protocol import Entry, LogUnavailable, Topic, TopicMismatch, TopicPartition

ROOT = Path(__file__).parents[2]
A, B = TopicPartition("a", 0), TopicPartition("a", 1)

APPENDS_AND_SAYS_SO = """
import asyncio, sys
from pathlib import Path
from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Entry, Topic, TopicPartition

async def main():
    log = EmbeddedLog(Path(sys.argv[1]), sync=sys.argv[2] == "sync")
    await log.create_topics([Topic("a", 2)])
    number = 0
    while True:
        batch = {TopicPartition("a", p): [Entry(b"k", b"v%d" % number, 0)] * 3 for p in (0, 1)}
        lasts = await log.append(batch)
        log.commit("group", {tp: last + 1 for tp, last in lasts.items()})
        print(lasts[TopicPartition("a", 0)], flush=True)
        number += 1

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def opened(path: Path, **options: Any) -> EmbeddedLog:
    log = EmbeddedLog(path, **options)
    await log.create_topics([Topic("a", 2)])
    return log


@pytest.mark.parametrize("mode", ["plain", "sync"])
def test_a_killed_process_loses_nothing_it_acknowledged(path: Path, mode: str) -> None:
    """After kill -9 every acknowledged record is there, batches are whole, and so are commits."""
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDS_AND_SAYS_SO, str(path), mode],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(300)]
    process.kill()
    said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait(timeout=10)
    process.stdout.close()

    log = EmbeddedLog(path)
    try:
        ends = {tp: log.end_offset(tp) for tp in (A, B)}
        assert ends[A] == ends[B] > said[-1]
        assert ends[A] % 3 == 0
        for tp in (A, B):
            records = log.read(tp, 0, ends[tp] + 1)
            assert [record.offset for record in records] == list(range(ends[tp]))
            assert [record.value for record in records[::3]] == [
                b"v%d" % n for n in range(ends[tp] // 3)
            ]
        assert log.committed("group")[A] >= said[-2] + 1
    finally:
        log.close()


@contextmanager
def no_file_may_grow_over(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_write_the_disk_refuses_is_reported_and_leaves_nothing(path: Path) -> None:
    """The error names the partitions; what was acknowledged before and after it is kept."""
    log = await opened(path)
    await log.append({A: [Entry(b"k", b"before", 0)]})
    with no_file_may_grow_over(64 * 1024), pytest.raises(LogUnavailable, match=r"a\[0\]") as error:
        await log.append({A: [Entry(b"k", b"x" * 200_000, 0)], B: [Entry(b"k", b"v", 0)]})
    assert error.value.partitions == {A, B}
    assert await log.end_offsets([A, B]) == {A: 1, B: 0}
    expected = [b"before"]
    try:
        await log.append({A: [Entry(b"k", b"after", 0)]})
        expected.append(b"after")
    except LogUnavailable:
        pass  # RocksDB may refuse further writes until it is opened again
    await log.stop()
    again = EmbeddedLog(path)
    assert [record.value for record in again.read(A, 0, 10)] == expected
    assert again.read(B, 0, 10) == []
    again.close()


async def test_a_failed_sync_is_reported_and_nothing_more_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk failed to sync, records may be lost: neither shown nor followed by others."""
    log = await opened(path, sync=True)
    await log.append({A: [Entry(b"k", b"v", 0)]})

    def fail() -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(log._group_sync, "_sync", fail)
    appends = [log.append({tp: [Entry(b"k", b"v", 0)]}) for tp in (A, B)]
    for outcome in await asyncio.gather(*appends, return_exceptions=True):
        assert isinstance(outcome, LogUnavailable)
        assert "the disk is gone" in str(outcome)
    assert await log.end_offsets([A, B]) == {A: 1, B: 0}
    with pytest.raises(LogUnavailable):
        await log.append({A: [Entry(b"k", b"v", 0)]})
    await log.stop()


async def test_appends_that_wait_for_the_disk_keep_their_order(path: Path) -> None:
    """Many appends synced together get ascending offsets, and a cancelled one leaves no gap."""
    log = await opened(path, sync=True)
    appends = [asyncio.create_task(log.append({A: [Entry(b"k", b"%d" % n, 0)]})) for n in range(50)]
    await asyncio.sleep(0)
    appends[10].cancel()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [o for n, o in enumerate(outcomes) if n != 10] == [{A: n} for n in range(50) if n != 10]
    assert [record.value for record in log.read(A, 0, 100)] == [b"%d" % n for n in range(50)]
    await log.stop()


def test_only_one_process_may_open_it(path: Path) -> None:
    """Opening a log that is open says so, and where."""
    log = EmbeddedLog(path)
    with pytest.raises(LogLocked, match=str(path)):
        EmbeddedLog(path)
    opens_it = "import sys; from pathlib import Path; from eventlog.embedded import EmbeddedLog; "
    opens_it += "EmbeddedLog(Path(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", opens_it, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert f"LogLocked: the log in {path} is already open" in other.stderr
    log.close()
    EmbeddedLog(path).close()


def test_another_format_is_refused(path: Path) -> None:
    """A log written by a version with another layout is not read as if it were ours."""
    db = open_store(path)
    db.put(HEADER_KEY, msgspec.msgpack.encode(Header(version=99)))
    db.close()
    with pytest.raises(ValueError, match="format 99"):
        EmbeddedLog(path)


async def test_commits_outlive_a_restart(path: Path) -> None:
    """Each group finds its own offsets again; one name being the start of another is no matter."""
    log = await opened(path)
    log.commit("group", {A: 3, B: 5})
    log.commit("group", {A: 4})
    log.commit("group-2", {A: 1})
    await log.stop()
    again = EmbeddedLog(path)
    assert again.committed("group") == {A: 4, B: 5}
    assert again.committed("group-2") == {A: 1}
    assert again.committed("grou") == {}
    again.close()


async def test_a_deleted_topic_starts_anew(path: Path) -> None:
    """Its records, commits and offsets are gone, at once and after a restart; others stay."""
    log = await opened(path)
    await log.create_topics([Topic("b", 1)])
    other = TopicPartition("b", 0)
    await log.append({A: [Entry(b"k", b"v", 0)] * 5, other: [Entry(b"k", b"v", 0)] * 2})
    log.commit("group", {A: 5, other: 2})
    await log.delete_topic("a")
    with pytest.raises(KeyError):
        log.partitions("a")
    with pytest.raises(KeyError):
        await log.delete_topic("a")
    await log.create_topics([Topic("a", 3)])
    assert await log.append({A: [Entry(b"k", b"new", 0)]}) == {A: 0}
    await log.stop()
    again = EmbeddedLog(path)
    assert again.partitions("a") == 3
    assert [record.value for record in again.read(A, 0, 10)] == [b"new"]
    assert len(again.read(other, 0, 10)) == 2
    assert again.committed("group") == {other: 2}
    again.close()


async def test_a_mismatch_creates_nothing(path: Path) -> None:
    """If one of several topics cannot be had as declared, none of them is created."""
    log = await opened(path)
    with pytest.raises(TopicMismatch):
        await log.create_topics([Topic("new", 1), Topic("a", 7)])
    with pytest.raises(KeyError):
        log.partitions("new")
    await log.stop()


async def test_settings_of_a_topic_may_change(path: Path) -> None:
    """A topic declared with another size limit takes it over, also for the next start."""
    log = await opened(path)
    await log.create_topics([Topic("a", 2, max_record_bytes=1 << 21)])
    await log.append({A: [Entry(b"k", b"v" * (3 << 19), 0)]})
    await log.stop()
    again = EmbeddedLog(path)
    await again.append({A: [Entry(b"k", b"v" * (3 << 19), 0)]})
    assert [len(r.value or b"") for r in again.read(A, 0, 10)] == [3 << 19]  # a slice of one MiB
    assert len(again.read(A, 1, 10)) == 1
    await again.stop()


def test_plain_code_appends_without_a_loop(path: Path) -> None:
    """Bulk work appends and reads without asyncio, also with a sync for each append."""
    for sync in (False, True):
        log = EmbeddedLog(path, sync=sync)
        asyncio.run(log.create_topics([Topic("a", 2)]))
        lasts = log.append_now({A: [Entry(b"k", b"v", 0)] * 4})
        assert log.end_offset(A) == lasts[A] + 1
        assert len(log.read(A, log.start_offset(A), 100)) == lasts[A] + 1
        log.close()


async def test_bulk_reading_gives_others_their_turn(path: Path) -> None:
    """A poll for very many records lets other tasks run in between."""
    log = await opened(path)
    await log.append({A: [Entry(b"k", b"v", 0)] * 4_000, B: [Entry(b"k", b"v", 0)] * 4_000})
    reader = log.reader({A: 0, B: 0})
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    got = await reader.poll(10_000, 1.0)
    counting.cancel()
    assert {tp: len(records) for tp, records in got.items()} == {A: 4_000, B: 4_000}
    assert turns > 10
    await reader.close()
    await log.stop()


async def test_a_log_is_read_beside_the_process_that_writes_it(path: Path) -> None:
    """Opened read-only, it shows what was appended before, and takes nothing."""
    log = await opened(path)
    await log.append({A: [Entry(b"k", b"before", 1)]})
    copy = EmbeddedLog(path, read_only=True)
    await log.append({A: [Entry(b"k", b"after", 2)]})
    assert [record.value for record in copy.read(A, 0, 10)] == [b"before"]
    with pytest.raises(LogUnavailable):
        await copy.append({A: [Entry(b"k", b"mine", 3)]})
    copy.close()
    await log.append({A: [Entry(b"k", b"last", 4)]})
    assert log.end_offset(A) == 3
    await log.stop()


def test_reading_a_log_does_not_make_one(path: Path) -> None:
    """Where there is no log, reading it is an error, and nothing is left behind."""
    with pytest.raises(FileNotFoundError, match="no log"):
        EmbeddedLog(path, read_only=True)
    assert not path.exists()
