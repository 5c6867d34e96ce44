"""Applying changelog records: in slices, highest offset first, rows before watermarks."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.protocol import Record
from personalization.codec import CodecError
from personalization.columns import Columns
from personalization.plan import StatePlan
from personalization.state.rows import CatalogueRow, SellerRow, UserRow, VisitorRow, Watermark
from tables.replicas.applying import Applier
from tables.replicas.stamps import Stamps
from tables.replicas.store import RowStore
from tables.replicas.watermarks import TablePartition, Watermarks
from tables.topics import ROWS, WATERMARK, WATERMARK_KEY

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
FOREVER = 3600.0


class Replica:
    """An applier over a store on disk, with a clock that the test winds."""

    def __init__(self, path: Path, new: Iterable[TablePartition] = ()) -> None:
        self.ticks: Callable[[], float] = lambda: 0.0
        self.store = RowStore(path, b"test")
        self.columns = Columns(PLAN, items=64, groups=64)
        self.watermarks = Watermarks({})
        self.stamps = Stamps(self.catalogue_row, PLAN, kept=2)
        self.applier = Applier(
            self.store, self.columns, self.stamps, self.watermarks, lambda: self.ticks(), new
        )
        self.applier.columnar = True

    def catalogue_row(self, item: str) -> CatalogueRow | None:
        stored = self.store.get("catalogue", f"item:{item}".encode())
        row = stored and ROWS["catalogue"].decode(stored[1])
        assert row is None or isinstance(row, CatalogueRow)
        return row

    def apply(self, table: str, *records: tuple[bytes, bytes | None], partition: int = 0) -> None:
        at = TablePartition(table, partition)
        batch = [(at, Record(n, 0, key, value)) for n, (key, value) in enumerate(records)]
        assert self.applier.apply(batch, 0, FOREVER) == len(batch)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(tmp_path / "rows")
    yield made
    made.store.close()


def visitor(offset: int, last_at: int = 0) -> bytes:
    return ROWS["visitors"].encode(
        VisitorRow(offset, 0, 0, last_at, [0.0] * 2, [0, 0], [], [(0.0, 0.0)], [])
    )


def user(offset: int) -> bytes:
    return ROWS["users"].encode(UserRow(offset, []))


def item(offset: int, category: str) -> bytes:
    return ROWS["catalogue"].encode(CatalogueRow(offset, 1, 1, None, {"category": category}))


def mark(offset: int) -> tuple[bytes, bytes]:
    return WATERMARK_KEY, WATERMARK.encode(Watermark(offset))


def test_the_highest_row_offset_wins(replica: Replica) -> None:
    """A stale owner's lower row, later in the changelog, changes nothing; within a slice or not."""
    replica.apply("visitors", (b"v", visitor(5)), (b"v", visitor(3)))
    assert replica.store.get("visitors", b"v") == (0, visitor(5))
    replica.apply("visitors", (b"v", visitor(4)))
    assert replica.store.get("visitors", b"v") == (0, visitor(5))
    replica.apply("visitors", (b"v", visitor(6)), partition=0)
    assert replica.store.get("visitors", b"v") == (0, visitor(6))


def test_a_tombstone_removes_the_row(replica: Replica) -> None:
    """What was removed for good is gone, and may come back."""
    replica.apply("users", (b"u", user(5)), (b"u", None))
    assert replica.store.get("users", b"u") is None
    replica.apply("users", (b"u", user(1)))
    assert replica.store.get("users", b"u") == (0, user(1))


def test_rows_say_which_partition_they_came_from(replica: Replica) -> None:
    """A decision records the partition beside the row."""
    replica.apply("visitors", (b"v", visitor(5)), partition=11)
    assert replica.store.get("visitors", b"v") == (11, visitor(5))


def test_the_newest_event_is_known_after_a_restart(replica: Replica) -> None:
    """The time of the newest event never goes back, and is kept on disk."""
    replica.apply("visitors", (b"v", visitor(5, last_at=900)), (b"w", visitor(6, last_at=700)))
    assert replica.applier.newest_event_at == 900
    assert replica.store.newest_event_at() == 900


def test_a_changed_item_is_stamped_anew(replica: Replica) -> None:
    """The stamp follows the catalogue row at once, known before or not; the cache is bounded."""
    assert replica.stamps.get("i").attributes == {}
    replica.apply("catalogue", (b"item:i", item(0, "shoes")))
    assert replica.stamps.get("i").attributes == {"category": "shoes"}
    assert replica.stamps.get("i") is replica.stamps.get("i")
    replica.apply("catalogue", (b"item:i", item(1, "bags")))
    assert replica.stamps.get("i").attributes == {"category": "bags"}
    for other in ("a", "b", "c", "i"):
        replica.stamps.get(other)
    assert replica.stamps.get("i").attributes == {"category": "bags"}


def test_catalogue_rows_reach_the_columns(replica: Replica) -> None:
    """An item is a listed candidate as soon as its row is applied."""
    replica.apply("catalogue", (b"item:i", item(4, "shoes")))
    candidates = replica.columns.candidates(["i", "j"])
    assert candidates.listed.tolist() == [True, False]
    assert candidates.catalogue_offset.tolist()[0] == 4


def test_counters_reach_the_columns_only_when_columnar(replica: Replica) -> None:
    """While the columns are still to be loaded, rows go to the disk alone."""
    row = SellerRow(2, 10, 10, [1.0, 0.0], [1, 0])
    replica.applier.columnar = False
    replica.apply("sellers", (b"s", ROWS["sellers"].encode(row)))
    assert replica.store.get("sellers", b"s") == (0, ROWS["sellers"].encode(row))
    replica.applier.load("sellers", b"s", ROWS["sellers"].encode(row))


@pytest.mark.parametrize("value", [b"", b"\x02\x90", b"\x01\xc1", b"\x01\x91\xa1x"])
def test_what_is_no_row_stops_the_replica(replica: Replica, value: bytes) -> None:
    """A changelog record that cannot be read is an error, not a gap."""
    with pytest.raises(CodecError):
        replica.apply("users", (b"u", value))


def test_a_slice_ends_when_its_time_is_up(replica: Replica) -> None:
    """At a tenth of the slice for each record, ten are applied; the next slice goes on there."""
    at = TablePartition("users", 0)
    batch = [(at, Record(n, 0, b"u%d" % n, user(n))) for n in range(25)]
    ticks = count()
    replica.ticks = lambda: next(ticks) * 0.1
    ends = []
    start = 0
    while start < len(batch):
        start = replica.applier.apply(batch, start, 1.0)
        ends.append(start)
        assert replica.store.positions() == {at: start}
    assert ends == [10, 20, 25]


def test_a_slow_record_is_a_slice_of_its_own(replica: Replica) -> None:
    """Progress is made however short the slice is."""
    at = TablePartition("users", 0)
    batch = [(at, Record(n, 0, b"u%d" % n, user(n))) for n in range(3)]
    ticks = count()
    replica.ticks = lambda: float(next(ticks))
    assert replica.applier.apply(batch, 0, 0.0005) == 1


_BATCHES = st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=8)


@given(_BATCHES, st.integers(1, 9))
def test_a_watermark_is_never_seen_before_its_rows(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], per_slice: int
) -> None:
    """However a changelog is cut into slices, a visible watermark has all its rows visible."""
    replica = Replica(tmp_path_factory.mktemp("replica") / "rows")
    at = TablePartition("users", 0)
    records: list[tuple[TablePartition, Record]] = []
    promised: dict[int, dict[bytes, int]] = {-1: {}}
    newest: dict[bytes, int] = {}
    offset = -1
    for batch in batches:
        for number in batch:
            offset += 1
            newest[b"u%d" % number] = offset
        for key, row_offset in newest.items():
            records.append((at, Record(len(records), 0, key, user(row_offset))))
        promised[offset] = dict(newest)
        records.append((at, Record(len(records), 0, *mark(offset))))
    ticks = count()
    replica.ticks = lambda: float(next(ticks))
    try:
        start = 0
        while start < len(records):
            start = replica.applier.apply(records, start, float(per_slice))
            watermark = replica.watermarks.get(at).offset
            for key, row_offset in promised[watermark].items():
                stored = replica.store.get("users", key)
                assert stored is not None
                row = ROWS["users"].decode(stored[1])
                assert isinstance(row, UserRow)
                assert row.offset >= row_offset
            assert replica.store.watermarks().get(at, Watermark()).offset == watermark
        assert replica.watermarks.get(at).offset == offset
    finally:
        replica.store.close()


def test_rows_of_another_deployment_are_dropped(tmp_path: Path) -> None:
    """A folder left by another state layout is a cache of something else: it is emptied."""
    store = RowStore(tmp_path, b"one")
    at = TablePartition("users", 0)
    store.write({("users", b"u"): (0, user(1))}, {at: Watermark(1)}, {at: 2}, 7)
    store.close()
    store = RowStore(tmp_path, b"one")
    assert store.get("users", b"u") == (0, user(1))
    store.close()
    store = RowStore(tmp_path, b"two")
    assert store.get("users", b"u") is None
    assert (store.positions(), store.watermarks(), store.newest_event_at()) == ({}, {}, 0)
    store.close()


@settings(max_examples=40)  # each opens two stores
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40),
    st.integers(1, 9),
)
def test_a_new_partition_needs_no_look_ups_to_keep_the_newest(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, int]], per_slice: int
) -> None:
    """Into an empty store come the same rows as into one where each is looked up, stale ones,
    repeats and later slices included."""
    path = tmp_path_factory.mktemp("replica")
    at = TablePartition("users", 0)
    new, other = Replica(path / "new", new=[at]), Replica(path / "other")
    newest: dict[int, int] = {}
    for key, offset in written:
        newest[key] = max(newest.get(key, -1), offset)
    records = [
        (at, Record(number, 0, b"u%d" % key, user(offset)))
        for number, (key, offset) in enumerate(written)
    ]
    try:
        for replica in (new, other):
            ticks = count()
            replica.ticks = lambda ticks=ticks: float(next(ticks))  # type: ignore[misc]
            start = 0
            while start < len(records):
                start = replica.applier.apply(records, start, float(per_slice))
            for key, offset in newest.items():
                assert replica.store.get("users", b"u%d" % key) == (0, user(offset))
    finally:
        new.store.close()
        other.store.close()
