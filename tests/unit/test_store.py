"""The tables' store: atomic batches, and refusing what is not its own."""

from pathlib import Path

import pytest

from personalization.state.rows import UserRow, Watermark
from tables.store import PartitionWrite, StoreLocked, StoreMismatch, TableStore
from tables.topics import ROWS, WATERMARK, WATERMARK_KEY


def opened(path: Path, state_id: str = "abc", partitions: int = 4) -> TableStore:
    return TableStore(path / "tables", state_id=state_id, partitions=partitions)


def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """Rows, the watermark and the changelog offset of a batch come back together."""
    store = opened(tmp_path)
    mark = (WATERMARK_KEY, WATERMARK.encode(Watermark(7)))
    store.write_now(
        [
            PartitionWrite("items", 3, [(b"b", b"2"), (b"a", b"1"), mark], 11),
            PartitionWrite("items", 2, [(b"a", b"other")], 5),
            PartitionWrite("users", 3, [(b"a", b"user"), (b"gone", None)], 1),
        ]
    )
    store.close()
    store = opened(tmp_path)
    assert list(store.iterate("items", 3)) == [(b"a", b"1"), (b"b", b"2")]
    assert store.get("items", 2, b"a") == b"other"
    assert store.get("items", 0, b"a") is None
    assert store.watermark("items", 3) == Watermark(7)
    assert store.watermark("items", 2) == Watermark()
    assert (store.persisted_offset("items", 3), store.persisted_offset("items", 0)) == (11, None)
    store.close()


def test_a_removed_row_is_gone(tmp_path: Path) -> None:
    """``None`` removes the row, and only that."""
    store = opened(tmp_path)
    store.write_now([PartitionWrite("items", 0, [(b"a", b"1"), (b"b", b"1")], 0)])
    store.write_now([PartitionWrite("items", 0, [(b"a", None)], 1)])
    assert list(store.iterate("items", 0)) == [(b"b", b"1")]
    store.close()


def test_clearing(tmp_path: Path) -> None:
    """One partition can be cleared, or everything; what was cleared can be filled again."""
    store = opened(tmp_path)
    for partition in (0, 1):
        store.write_now([PartitionWrite("segments", partition, [(b"a", b"1")], 3)])
    store.clear_partition("segments", 0)
    assert list(store.iterate("segments", 0)) == []
    assert store.persisted_offset("segments", 0) is None
    assert store.get("segments", 1, b"a") == b"1"
    store.clear()
    assert store.get("segments", 1, b"a") is None
    assert store.persisted_offset("segments", 1) is None
    store.close()
    store = opened(tmp_path)  # what it is for was not cleared
    store.close()


def test_the_tables_of_another_spec_are_refused(tmp_path: Path) -> None:
    """Another state id or number of partitions is named in the error, and nothing is changed."""
    opened(tmp_path).close()
    with pytest.raises(StoreMismatch, match="state_id abc, not xyz"):
        opened(tmp_path, state_id="xyz")
    with pytest.raises(StoreMismatch, match="partitions 4, not 8"):
        opened(tmp_path, partitions=8)
    opened(tmp_path).close()


def test_a_second_process_is_told_to_wait(tmp_path: Path) -> None:
    """Opening tables that are open says so."""
    store = opened(tmp_path)
    with pytest.raises(StoreLocked, match="already open"):
        opened(tmp_path)
    store.close()


async def test_a_row_that_was_changed_but_not_written_is_read_anew(tmp_path: Path) -> None:
    """What was written comes back decoded, once; what a fold took and then failed to write, and
    what others have written since, comes from the store."""
    store = opened(tmp_path)
    row = UserRow(1, [])
    encoded = ROWS["users"].encode(row)
    await store.write([PartitionWrite("users", 0, [(b"u1", encoded)], 0, {"u1": row})])
    taken = store.take("users", 0, "u1")
    assert taken is row
    row.offset = 9
    assert store.take("users", 0, "u1") == UserRow(1, [])
    assert store.take("users", 1, "u1") is None
    await store.write([PartitionWrite("users", 0, [(b"u1", encoded)], 1, {"u1": UserRow(1, [])})])
    theirs = ROWS["users"].encode(UserRow(7, []))
    await store.write([PartitionWrite("users", 0, [(b"u1", theirs)], 2)])
    assert store.take("users", 0, "u1") == UserRow(7, [])
    store.close()
