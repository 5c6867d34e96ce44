"""What two workers write to one changelog, one of them stale: the highest row wins everywhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Entry, TopicPartition
from personalization.state.rows import UserRow
from tables.owned_store import ChangelogLost
from tables.recovery import TablePartition, recover
from tables.row_head import ROW_HEAD
from tables.store import PartitionWrite, TableStore
from tables.topics import ROWS, USERS, changelog_topic
from tests.logs import EmbeddedHome
from tests.streams import APP_ID, PARTITIONS, PLAN, START, open_log, open_owned_store

TP = TopicPartition(changelog_topic(APP_ID, USERS, PLAN.state_id), 0)
PART = TablePartition(USERS, 0)


class Owner:
    """A worker that believes it owns users[0]."""

    def __init__(self, log: EmbeddedLog, folder: Path) -> None:
        self.foreign = 0
        self._log = log
        self.store = open_owned_store(folder, log, self._told)

    def _told(self, records: int) -> None:
        self.foreign += records

    async def append(self, **rows: int) -> PartitionWrite:
        """The first half of writing a batch: ``rows`` are offsets by key."""
        encoded = [
            (key.encode(), ROWS["users"].encode(UserRow(at, []))) for key, at in rows.items()
        ]
        lasts = await self._log.append({TP: [Entry(key, row, START) for key, row in encoded]})
        return PartitionWrite("users", 0, encoded, lasts[TP])

    async def write(self, **rows: int) -> None:
        """Both halves."""
        await self.store.write([await self.append(**rows)])

    async def look(self) -> None:
        """What the once-a-second look comes to within two of them."""
        await self.store.unread([PART])
        if unread := await self.store.unread([PART]):
            await self.store.read(unread)

    def held(self) -> dict[str, int]:
        return {
            key.decode(): ROW_HEAD.decode(row).offset for key, row in self.store.iterate("users", 0)
        }


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = await open_log(EmbeddedHome(tmp_path))
    assert isinstance(opened, EmbeddedLog)
    yield opened
    await opened.stop()


def last_records(log: EmbeddedLog) -> dict[str, int]:
    """What compaction leaves of each key."""
    last = {}
    for record in log.read(TP, 0, 10_000):
        assert record.key is not None
        last[record.key.decode()] = ROW_HEAD.decode(record.value or b"").offset
    return last


async def test_nothing_is_read_while_nobody_else_writes(log: EmbeddedLog, tmp_path: Path) -> None:
    """The changelog is not read again for one's own batches."""
    owner = Owner(log, tmp_path / "owner")
    await owner.write(a=1, b=2)
    await owner.write(a=3)
    await owner.look()
    assert (owner.held(), owner.foreign) == ({"a": 3, "b": 2}, 0)
    owner.store.close()


async def test_a_stale_row_is_outdone(log: EmbeddedLog, tmp_path: Path) -> None:
    """A lower row that comes after the owner's is followed by the owner's again, found while the
    owner writes other keys, or while it is idle."""
    owner, stale = Owner(log, tmp_path / "owner"), Owner(log, tmp_path / "stale")
    await owner.write(a=9, b=9)
    await stale.append(a=8)
    await owner.write(b=10)
    assert last_records(log) == {"a": 9, "b": 10}
    await stale.append(b=7)
    await owner.look()
    assert last_records(log) == owner.held() == {"a": 9, "b": 10}
    owner.store.close()
    stale.store.close()


async def test_a_stale_worker_takes_over_what_is_newer(log: EmbeddedLog, tmp_path: Path) -> None:
    """Woken, it reads what it slept through before its own rows reach its tables, and its changelog
    offset passes over nothing: neither its lower row of a, nor its ignorance of c, survives."""
    owner, stale = Owner(log, tmp_path / "owner"), Owner(log, tmp_path / "stale")
    await stale.write(a=1, b=1)
    await recover(log, owner.store, app_id=APP_ID, of=[PART])
    await owner.write(a=5, c=6)
    await stale.write(a=4, b=3)
    assert stale.held() == {"a": 5, "b": 3, "c": 6}
    await owner.look()
    assert last_records(log) == owner.held() == {"a": 5, "b": 3, "c": 6}
    owner.store.close()
    stale.store.close()


async def test_recovery_outdoes_too(log: EmbeddedLog, tmp_path: Path) -> None:
    """Nobody has seen the stale row when the next owner recovers: it appends the higher again."""
    owner, stale = Owner(log, tmp_path / "owner"), Owner(log, tmp_path / "stale")
    await owner.write(a=9, b=1)
    await stale.append(a=8)
    store = TableStore(tmp_path / "next", state_id=PLAN.state_id, partitions=PARTITIONS)
    await recover(log, store, app_id=APP_ID)
    assert last_records(log) == {"a": 9, "b": 1}
    assert store.persisted_offset("users", 0) == log.end_offset(TP) - 1
    for opened in (owner.store, stale.store, store):
        opened.close()


async def test_a_changelog_that_was_cut_off_is_noticed(log: EmbeddedLog, tmp_path: Path) -> None:
    """A worker does not go on writing behind a changelog that lost what it had read."""
    owner = Owner(log, tmp_path / "owner")
    await owner.write(a=1)
    owner.store.set_persisted_offset("users", 0, 7)
    with pytest.raises(ChangelogLost, match="ends at 1, but was read up to 7"):
        await owner.store.unread([PART])
    owner.store.close()


BATCHES = st.lists(
    st.tuples(
        st.booleans(), st.dictionaries(st.sampled_from("abc"), st.integers(0, 30), min_size=1)
    ),
    max_size=12,
)


@given(BATCHES)
async def test_any_interleaving_ends_with_the_highest(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[bool, dict[str, int]]]
) -> None:
    """Whatever two workers write in turns, the one that looks last has the highest row of every
    key, and so has the changelog after compaction, and whoever recovers from it."""
    folder = tmp_path_factory.mktemp("owned")
    log = await open_log(EmbeddedHome(folder))
    assert isinstance(log, EmbeddedLog)
    owners = Owner(log, folder / "one"), Owner(log, folder / "two")
    for first, rows in batches:
        owner = owners[first]
        # A fold never makes a row lower than the one it starts from.
        held = owner.held()
        await owner.write(**{key: max(at, held.get(key, 0)) for key, at in rows.items()})
    highest: dict[str, int] = {}
    for _, rows in batches:
        for key, at in rows.items():
            highest[key] = max(at, highest.get(key, 0))
    await owners[0].look()
    assert owners[0].held() == last_records(log) == highest
    for owner in owners:
        owner.store.close()
    await log.stop()
