"""Replicas over a real log: catching up, restarting, waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count, pairwise
from pathlib import Path
from shutil import rmtree

import pytest

from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.plan import StatePlan
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    TopK,
    UserRow,
    VisitorRow,
    Watermark,
)
from tables.replicas import Replicas
from tables.replicas.watermarks import TablePartition
from tables.tokens import Token, TokenError
from tables.topics import (
    DECISIONS,
    ROWS,
    TABLES,
    VISITOR_EVENTS,
    WATERMARK,
    WATERMARK_KEY,
    changelog_topic,
    topics,
)
from tables.turns import Turns
from tests.logs import RETENTION_MS, Home

PLAN = StatePlan(
    events=("view", "purchase"),
    weights=(1.0, 8.0),
    half_lives=(3_600_000,),
    categories=("category",),
    numbers=("price",),
    flags=("in_stock",),
    tags=(),
    segments=("global", "category"),
    affinities=(),
)
APP = "shop"
PARTITIONS = 4
SOON = 10.0
HARDLY = 0.01

Rows = Sequence[tuple[str, object]]


@pytest.fixture
async def log(home: Home) -> AsyncIterator[EventLog]:
    opened = await home.open()
    await opened.create_topics(topics(APP, PLAN.state_id, PARTITIONS, 86_400_000))
    yield opened
    await opened.stop()


@asynccontextmanager
async def replicas(
    log: EventLog, path: Path, turns: Turns | None = None
) -> AsyncIterator[Replicas]:
    made = Replicas(log, PLAN, path=path, app_id=APP, turns=turns)
    try:
        await made.start()
        await asyncio.wait_for(made.ready(), SOON)
        yield made
    finally:
        await made.stop()


def changelog(table: str, partition: int) -> TopicPartition:
    [declared] = [each for each in TABLES if each.name == table]
    return TopicPartition(changelog_topic(APP, declared, PLAN.state_id), partition)


async def write(
    log: EventLog, table: str, rows: Rows, watermark: Watermark, partition: int = 0
) -> None:
    """A batch as a worker writes it: its rows, then its watermark."""
    entries = [Entry(key.encode(), ROWS[table].encode(row), 0) for key, row in rows]
    entries.append(Entry(WATERMARK_KEY, WATERMARK.encode(watermark), 0))
    await log.append({changelog(table, partition): entries})


async def applied(made: Replicas, table: str, offset: int, partition: int = 0) -> None:
    async with asyncio.timeout(SOON):
        await made._watermarks.reach(
            TablePartition(table, partition), lambda watermark: watermark.offset >= offset
        )


async def soon(check: Callable[[], bool]) -> None:
    """Wait, a bounded time, until ``check`` is true."""
    async with asyncio.timeout(SOON):
        while True:
            if check():
                return
            await asyncio.sleep(0.01)


def visitor(offset: int) -> VisitorRow:
    return VisitorRow(offset, 0, 0, 100 + offset, [0.0] * 2, [0, 0], [], [(0.0, 0.0)], [])


def item(offset: int) -> ItemRow:
    return ItemRow(offset, 5, 5, [float(offset), 0.0], [offset, 0], TopK())


def seller(offset: int) -> SellerRow:
    return SellerRow(offset, 5, 5, [float(offset), 0.0], [offset, 0])


def segment(offset: int) -> SegmentRow:
    return SegmentRow(offset, 5, 5, [float(offset), 0.0], [offset, 0])


def listed(offset: int, **attributes: str) -> CatalogueRow:
    return CatalogueRow(offset, 5, 5, "s", dict(attributes))


async def fill(log: EventLog, rows: int) -> None:
    """``rows`` of every table in every partition."""
    made: dict[str, tuple[str, object]] = {
        "visitors": ("v", visitor),
        "users": ("u", lambda offset: UserRow(offset, [])),
        "items": ("i", item),
        "sellers": ("s", seller),
        "segments": ("category:c", segment),
        "catalogue": ("item:i", listed),
    }
    for table, (prefix, row) in made.items():
        assert callable(row)
        for partition in range(PARTITIONS):
            keyed = [(f"{prefix}{partition}.{n}", row(n)) for n in range(rows)]
            await write(log, table, keyed, Watermark(rows - 1), partition)


def everything(made: Replicas) -> dict[tuple[str, str], bytes]:
    """Every row by table and key, through the store that serves them."""
    return {
        (table.name, key.decode()): row
        for table in TABLES
        for key, row in made._store.rows(table.name)
    }


async def test_all_tables_are_read(log: EventLog, tmp_path: Path) -> None:
    """What workers wrote is there when the replica is ready: rows on disk, counters in columns."""
    await fill(log, 10)
    async with replicas(log, tmp_path / "r") as made:
        assert len(everything(made)) == len(TABLES) * PARTITIONS * 10
        assert made.visitor("v2.3") == (2, ROWS["visitors"].encode(visitor(3)))
        assert made.user("u1.0") == (1, ROWS["users"].encode(UserRow(0, [])))
        assert made.row("segments", "category:c0.1") == ROWS["segments"].encode(segment(1))
        assert made.catalogue_row("item", "i3.9") == listed(9)
        assert (made.visitor("nobody"), made.catalogue_row("seller", "i3.9")) == (None, None)
        candidates = made.columns.candidates(["i0.7", "i9.9"])
        assert candidates.known.tolist() == [True, False]
        assert made.newest_event_at == 109
        assert made.progress.ready
        assert made.progress.done == made.progress.total > 0


async def test_rows_written_while_it_runs_arrive(log: EventLog, tmp_path: Path) -> None:
    """A new item is known and stamped as soon as its row is applied."""
    async with replicas(log, tmp_path / "r") as made:
        assert made.stamp("i").seller is None
        await write(log, "catalogue", [("item:i", listed(0, category="shoes"))], Watermark(0))
        await applied(made, "catalogue", 0)
        assert made.stamp("i").attributes == {"category": "shoes"}
        assert made.stamp("i").seller == "s"
        assert made.columns.candidates(["i"]).listed.tolist() == [True]


async def test_a_restart_goes_on_where_it_was(log: EventLog, tmp_path: Path) -> None:
    """After a restart only what is new is read from the changelogs, and nothing is lost."""
    await fill(log, 50)
    async with replicas(log, tmp_path / "r") as made:
        before = everything(made)
    await write(log, "users", [("late", UserRow(60, []))], Watermark(60))
    async with replicas(log, tmp_path / "r") as made:
        assert made.progress.done < 2 + 4 * PARTITIONS * 51  # two new records, the columnar rows
        assert everything(made) == before | {
            ("users", "late"): ROWS["users"].encode(UserRow(60, []))
        }
        assert made.watermark("users", 0) == Watermark(60)
        assert made.columns.candidates(["i0.7"]).known.tolist() == [True]
        assert made.newest_event_at == 149


async def test_a_deleted_folder_is_made_again(log: EventLog, tmp_path: Path) -> None:
    """The folder is a cache: without it the same rows come from the changelogs."""
    await fill(log, 50)
    async with replicas(log, tmp_path / "r") as made:
        before = everything(made)
    rmtree(tmp_path / "r")
    async with replicas(log, tmp_path / "r") as made:
        assert everything(made) == before


async def test_a_recreated_changelog_is_read_from_the_front(
    home: Home, log: EventLog, tmp_path: Path
) -> None:
    """A changelog that ends before the kept position is another one: old rows are dropped."""
    await fill(log, 20)
    async with replicas(log, tmp_path / "r"):
        pass
    for table in TABLES:
        await home.delete_topic(log, changelog(table.name, 0).topic)
    await log.create_topics(topics(APP, PLAN.state_id, PARTITIONS, 86_400_000))
    await write(log, "users", [("u", UserRow(3, []))], Watermark(3))
    async with replicas(log, tmp_path / "r") as made:
        assert everything(made) == {("users", "u"): ROWS["users"].encode(UserRow(3, []))}
        assert made.watermark("visitors", 0) == Watermark()


async def test_waiting_for_ones_own_writes(log: EventLog, tmp_path: Path) -> None:
    """``own`` waits until visitors and catalogue have passed the token, and for nothing else."""
    token = Token(events={1: 5}, catalogue={2: 7})
    async with replicas(log, tmp_path / "r") as made:
        assert not await made.wait(token, "own", HARDLY)
        waiting = asyncio.create_task(made.wait(token, "own", SOON))
        await write(log, "visitors", [("v", visitor(5))], Watermark(5, chain={0: 5}), 1)
        await applied(made, "visitors", 5, 1)
        assert not waiting.done()
        await write(log, "catalogue", [("item:i", listed(7))], Watermark(7), 2)
        assert await waiting
        assert made.visitor("v") is not None
        assert await made.wait(token, "own", HARDLY)
        assert not await made.wait(token, "all", HARDLY)


async def test_folding_stands_still_for_the_catalogue_alone(log: EventLog, tmp_path: Path) -> None:
    """Who waits for events too waits for the folding: once the catalogue has passed, it goes on."""
    turns = Turns(longest=10 * SOON)
    token = Token(events={1: 5}, catalogue={2: 7})
    async with replicas(log, tmp_path / "r", turns) as made:
        waiting = asyncio.create_task(made.wait(token, "own", SOON))
        await asyncio.sleep(0)
        folding = asyncio.create_task(turns.give_way())
        await write(log, "catalogue", [("item:i", listed(7))], Watermark(7), 2)
        await asyncio.wait_for(folding, SOON)
        assert not waiting.done()
        await write(log, "visitors", [("v", visitor(5))], Watermark(5, chain={0: 5}), 1)
        assert await waiting


async def test_waiting_for_all_follows_the_signals(log: EventLog, tmp_path: Path) -> None:
    """``all`` waits until every table fed by signals has taken what the visitors' batch sent."""
    token = Token(events={1: 5})
    signalled = ("users", "items", "sellers", "segments")
    async with replicas(log, tmp_path / "r") as made:
        waiting = asyncio.create_task(made.wait(token, "all", SOON))
        await write(log, "visitors", [], Watermark(5, chain={0: 5, 3: 2}), 1)
        for number, table in enumerate(signalled):
            await write(log, table, [], Watermark(9, sources={1: 5}), 0)
            await write(log, table, [], Watermark(9, sources={1: 1, 2: 9}), 3)
            await applied(made, table, 9, 3)
            assert not waiting.done(), number
        for table in signalled:
            assert not await made.wait(token, "all", HARDLY)
            await write(log, table, [], Watermark(10, sources={1: 2, 2: 9}), 3)
        assert await waiting


async def test_waiting_is_bounded(log: EventLog, tmp_path: Path) -> None:
    """An offset that never comes is waited for in vain, and no longer than asked."""
    async with replicas(log, tmp_path / "r") as made:
        started = asyncio.get_running_loop().time()
        assert not await made.wait(Token(events={0: 10**12}), "all", 0.05)
        assert asyncio.get_running_loop().time() - started < SOON
        assert await made.wait(Token(), "all", HARDLY)


async def test_a_token_of_another_log_is_refused(log: EventLog, tmp_path: Path) -> None:
    """A partition that this log does not have cannot be waited for."""
    async with replicas(log, tmp_path / "r") as made:
        for token in (Token(events={PARTITIONS: 0}), Token(catalogue={99: 0})):
            with pytest.raises(TokenError, match="another log"):
                await made.wait(token, "own", SOON)


async def test_how_far_behind_is_measured(log: EventLog, tmp_path: Path) -> None:
    """A replica that has applied everything is behind by nothing."""
    await fill(log, 5)
    async with replicas(log, tmp_path / "r") as made:
        await soon(lambda: made.behind() == {table.name: 0 for table in TABLES})


async def test_a_log_that_does_not_answer_shows_in_the_age_of_the_measurement(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica goes on with what it has, and says how long ago it knew how far behind it was."""
    async with replicas(log, tmp_path / "r") as made:
        await soon(lambda: made.measured_ms_ago() is not None)

        async def gone(partitions: object) -> dict[TopicPartition, int]:
            raise LogUnavailable([], "no broker answers")

        monkeypatch.setattr(log, "end_offsets", gone)
        await soon(lambda: (made.measured_ms_ago() or 0) > 300)
        monkeypatch.undo()
        await soon(lambda: (made.measured_ms_ago() or 0) < 200)
        assert made.behind() == {table.name: 0 for table in TABLES}


async def test_the_loop_gets_its_turn_under_load(log: EventLog, tmp_path: Path) -> None:
    """While thousands of rows are applied, others run after every slice of about ten rows."""
    ticks = count()
    made = Replicas(
        log, PLAN, path=tmp_path / "r", app_id=APP, clock=lambda: next(ticks) * 0.0004 / 10
    )
    await made.start()
    try:
        await asyncio.wait_for(made.ready(), SOON)
        keyed = [(f"v{n}", visitor(n)) for n in range(3000)]
        await write(log, "visitors", keyed, Watermark(2999))
        caught_up = asyncio.create_task(made.wait(Token(events={0: 2999}), "own", SOON))
        seen = [made.newest_event_at]
        while not caught_up.done():
            await asyncio.sleep(0)
            seen.append(made.newest_event_at)
        assert await caught_up
        steps = [later - earlier for earlier, later in pairwise(seen) if earlier]
        assert max(steps) <= 11  # the clock's floats round
        assert len(seen) >= 300
    finally:
        await made.stop()


async def test_a_broken_changelog_stops_the_replica_loudly(log: EventLog, tmp_path: Path) -> None:
    """A record that is no row is raised to whoever watches the replica."""
    async with replicas(log, tmp_path / "r") as made:
        await log.append({changelog("users", 0): [Entry(b"u", b"\x01broken", 0)]})
        with pytest.raises(ValueError, match="RowHead"):
            await asyncio.wait_for(made.failed(), SOON)


async def test_a_broken_changelog_is_told_to_who_waits_for_the_start(
    log: EventLog, tmp_path: Path
) -> None:
    """Readiness fails with what is wrong instead of never coming."""
    await log.append({changelog("items", 0): [Entry(b"i", b"\x01broken", 0)]})
    made = Replicas(log, PLAN, path=tmp_path / "r", app_id=APP)
    await made.start()
    try:
        with pytest.raises(ValueError, match="RowHead"):
            await asyncio.wait_for(made.ready(), SOON)
        assert not made.progress.ready
    finally:
        await made.stop()


async def decision(made: Replicas, id: str) -> bytes:
    async with asyncio.timeout(SOON):
        while (record := await made.decision(id)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return record


async def test_decisions_are_found_by_id(home: Home, log: EventLog, tmp_path: Path) -> None:
    """A decision is read from the log by its id, before and after a restart."""
    at = home.now()
    first = {TopicPartition(DECISIONS, 1): [Entry(b"D1", b"one", at), Entry(b"D2", b"two", at)]}
    async with replicas(log, tmp_path / "r") as made:
        assert await made.decision("D1") is None
        await log.append(first)
        assert await decision(made, "D2") == b"two"
        assert await decision(made, "D1") == b"one"
    await log.append({TopicPartition(DECISIONS, 3): [Entry(b"D3", b"three", at)]})
    async with replicas(log, tmp_path / "r") as made:
        assert await decision(made, "D3") == b"three"
        assert await made.decision("D1") == b"one"
        assert await made.decision("D4") is None


async def test_ids_of_dropped_decisions_go_too(home: Home, tmp_path: Path) -> None:
    """The index stays as large as what retention keeps, give or take a thousand."""
    soon = home.now() + 30_000
    log = await home.open()
    await log.create_topics(topics(APP, PLAN.state_id, 1, RETENTION_MS))
    at = TopicPartition(DECISIONS, 0)
    async with replicas(log, tmp_path / "r") as made:
        await log.append({at: [Entry(b"A%04d" % n, b"old", soon) for n in range(1500)]})
        assert await decision(made, "A1499") == b"old"
        await home.expire(log, DECISIONS, 1500)
        assert await made.decision("A0000") is None
        new = [Entry(b"B%04d" % n, b"new", soon + 40_000) for n in range(1500)]
        await log.append({at: new})
        assert await decision(made, "B1499") == b"new"
        assert made._decisions._db.get(b"dA0000") is None
        assert made._decisions._db.get(b"dA1499") is None
        assert await made.decision("B0000") == b"new"
    await log.stop()


async def test_events_do_not_concern_replicas(log: EventLog, tmp_path: Path) -> None:
    """Only changelogs and decisions are read: entity topics are the agents' business."""
    await log.append({TopicPartition(VISITOR_EVENTS, 0): [Entry(b"v", b"anything", 0)]})
    async with replicas(log, tmp_path / "r") as made:
        assert everything(made) == {}
