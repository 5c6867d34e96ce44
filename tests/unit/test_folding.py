"""Folding batches: cuts, gaps, and records no row can take."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.partitioner import partition_for
from personalization.codec import Codec
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, Signal, SignalBatch, Stamp, StampedEvent
from personalization.folding import (
    STATS_TABLES,
    CatalogueFold,
    SignalGap,
    StatsFold,
    StatsRow,
    VisitorsFold,
)
from personalization.state.errors import FoldError
from personalization.state.item import fold_item
from personalization.state.keys import split
from personalization.state.rows import ItemRow, VisitorRow, Watermark
from personalization.state.segment import fold_segment
from personalization.state.seller import fold_seller
from personalization.state.user import fold_user
from tests.streams import PLAN, START, random_events

VISITOR = Codec(VisitorRow)
WATERMARKS = {table: Watermark() for table in STATS_TABLES}
ONE_BY_ONE = {
    "u": ("users", lambda row, key, *told: fold_user(row, *told)),
    "i": ("items", fold_item),
    "s": ("sellers", fold_seller),
    "g": ("segments", fold_segment),
}


def partition_of(key: str) -> int:
    return partition_for(key.encode(), 3)


def cut(count: int, cuts: list[int]) -> list[range]:
    """``range(count)`` in pieces that end at ``cuts``."""
    ends = sorted({end for end in cuts if 0 < end < count} | {count})
    return [
        range(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True) if end > start
    ]


def fold_visitors(
    events: list[StampedEvent], pieces: list[range]
) -> tuple[dict[str, bytes], bytes, list[tuple[int, Signal]], list[tuple[int, SignalBatch]]]:
    """Encoded rows, encoded watermark, signals with their targets, and the records of signals."""
    rows: dict[str, bytes] = {}
    watermark = Watermark()
    window = DuplicateWindow()
    batches: list[tuple[int, SignalBatch]] = []
    for piece in pieces:

        def read(visitor: str) -> VisitorRow | None:
            return VISITOR.decode(rows[visitor]) if visitor in rows else None

        fold = VisitorsFold(PLAN, 0, watermark, read, window, partition_of)
        for offset in piece:
            fold.add(offset, events[offset])
        folded = fold.finish()
        rows.update((id, VISITOR.encode(row)) for id, row in folded.rows.items())
        watermark = folded.watermark
        batches.extend(folded.signals)
    signals = [(target, signal) for target, batch in batches for signal in batch.entries]
    signals.sort(key=lambda pair: pair[0])
    return rows, Codec(Watermark).encode(watermark), signals, batches


@given(st.integers(0, 1 << 32), st.lists(st.integers(1, 299), max_size=30))
def test_cuts_make_no_difference(seed: int, cuts: list[int]) -> None:
    """However a stream is cut into batches, rows, watermark and signals are the same."""
    events = random_events(random.Random(seed), 300)
    whole = fold_visitors(events, cut(300, []))
    pieces = fold_visitors(events, cut(300, cuts))
    assert pieces[:3] == whole[:3]


def test_the_chain_has_no_gap_and_no_event_is_split() -> None:
    """Each record of signals follows on the one before it to the same target, and all signals of
    one event to one target travel together."""
    *_, batches = fold_visitors(random_events(random.Random(1), 2000), [range(2000)])
    last: dict[int, int] = {}
    for target, batch in batches:
        assert batch.previous == last.get(target, -1)
        assert batch.entries[0].offset > batch.previous
        assert batch.entries[-1].offset == batch.last
        last[target] = batch.last
    assert len(batches) > 10


def test_a_redelivered_event_changes_nothing_and_sends_nothing() -> None:
    """Below the watermark nothing is read; a row ahead of the watermark is left as it is."""
    event = StampedEvent("view", "v1", START, [Stamp("i1")])
    first = VisitorsFold(PLAN, 0, Watermark(), lambda id: None, DuplicateWindow(), partition_of)
    first.add(4, event)
    row = first.finish().rows["v1"]
    for watermark in (Watermark(4), Watermark(2)):
        again = VisitorsFold(PLAN, 0, watermark, lambda id: row, DuplicateWindow(), partition_of)
        again.add(4, event)
        folded = again.finish()
        assert (folded.rows, folded.signals, folded.watermark.offset) == ({}, [], 4)


def test_a_poisoned_event_is_passed_with_nothing_applied() -> None:
    """An event of unknown type raises, and the fold goes on behind it."""
    fold = VisitorsFold(PLAN, 0, Watermark(), lambda id: None, DuplicateWindow(), partition_of)
    with pytest.raises(FoldError, match="poke"):
        fold.add(0, StampedEvent("poke", "v1", START))
    fold.skip(1)
    fold.add(2, StampedEvent("view", "v2", START, [Stamp("i1")]))
    folded = fold.finish()
    assert list(folded.rows) == ["v2"]
    assert folded.watermark.offset == 2


def signal(offset: int, key: str = "i:i1", kind: str = "view") -> Signal:
    return Signal(offset, kind, START, {key: 1})


def test_a_gap_in_the_signals_stops_loudly() -> None:
    """A record that follows on something that never came is refused, and names both."""
    fold = StatsFold(PLAN, WATERMARKS, lambda table, id: None)
    fold.add(0, SignalBatch(7, -1, 3, [signal(3)]))
    with pytest.raises(SignalGap, match=r"offset 1 .* 5 of visitor-events\[7\].* up to 3"):
        fold.add(1, SignalBatch(7, 5, 6, [signal(6)]))


def test_signals_sent_twice_count_once() -> None:
    """A batch sent again, cut differently, adds only what is new."""
    fold = StatsFold(PLAN, WATERMARKS, lambda table, id: None)
    fold.add(0, SignalBatch(7, -1, 3, [signal(1), signal(3)]))
    fold.add(1, SignalBatch(7, -1, 1, [signal(1)]))
    fold.add(2, SignalBatch(7, 1, 5, [signal(3), signal(5)]))
    folded = fold.finish()
    assert folded.rows["items"]["i1"].counts == [0, 3, 0]  # type: ignore[union-attr]
    assert folded.watermarks["items"] == Watermark(2, {7: 5})


def test_each_table_skips_by_its_own_watermark() -> None:
    """A table that is ahead of the others, and a row ahead of its table, take nothing twice."""
    watermarks = {**WATERMARKS, "segments": Watermark(0, {7: 3})}
    ahead = ItemRow(0, START, START, [9.0] * 6, [9, 9, 9], None)  # type: ignore[arg-type]

    def read(table: str, id: str) -> StatsRow | None:
        return ahead if (table, id) == ("items", "i2") else None

    fold = StatsFold(PLAN, watermarks, read)
    keys = ["i:i1", "i:i2", "i:i2", "g:global"]
    fold.add(0, SignalBatch(7, -1, 3, [signal(3, key) for key in keys]))
    rows = fold.finish().rows
    assert rows["items"]["i1"].counts == [0, 1, 0]  # type: ignore[union-attr]
    assert rows["items"]["i2"].counts == [9, 9, 9]  # type: ignore[union-attr]
    assert rows["segments"] == {}


def test_an_entry_that_cannot_be_folded_leaves_the_others() -> None:
    """What is refused is said; the rest of the record counts, and the chain goes on."""
    fold = StatsFold(PLAN, WATERMARKS, lambda table, id: None)
    bad = [signal(3, kind="poke"), signal(3, "x:1"), signal(3)]
    with pytest.raises(FoldError, match=r"entry 0: .*poke.*; entry 1: .*'x:1'"):
        fold.add(0, SignalBatch(7, -1, 3, bad))
    fold.add(1, SignalBatch(7, 3, 4, [signal(4)]))
    assert fold.finish().rows["items"]["i1"].counts == [0, 2, 0]  # type: ignore[union-attr]


def test_a_record_of_signals_left_out_whole_keeps_the_chain() -> None:
    """Passing a batch passes what it held; passing garbage passes its offset alone."""
    fold = StatsFold(PLAN, WATERMARKS, lambda table, id: None)
    fold.skip(0)
    fold.skip(1, SignalBatch(7, -1, 3, []))
    fold.add(2, SignalBatch(7, 3, 4, [signal(4)]))
    assert fold.finish().watermarks["users"] == Watermark(2, {7: 4})


def test_catalogue_records_fold_once() -> None:
    """Records at or below the watermark or the row's offset change nothing."""
    put = CatalogueRecord("put", "item", "i1", START, "s1", {"price": 1.0})
    first = CatalogueFold(Watermark(), lambda key: None)
    first.add(0, put)
    first.add(0, put)
    row = first.finish().rows["item:i1"]
    again = CatalogueFold(Watermark(), lambda key: row)
    again.add(0, put)
    with pytest.raises(FoldError):
        again.add(1, CatalogueRecord("burn", "item", "i2", START))
    again.skip(2)
    assert again.finish() == ({}, Watermark(2))


@given(st.integers(0, 1 << 32))
def test_records_fold_as_their_entries_do_one_by_one(seed: int) -> None:
    """Whole records of signals give the rows that folding entry by entry gives, to the bit."""
    *_, batches = fold_visitors(random_events(random.Random(seed), 200), [range(200)])
    told = [batch for target, batch in batches if target == 0]
    fold = StatsFold(PLAN, WATERMARKS, lambda table, id: None)
    rows: dict[str, dict[str, StatsRow]] = {table: {} for table in STATS_TABLES}
    for offset, batch in enumerate(told):
        fold.add(offset, batch)
        for key, entry in [(key, each) for each in batch.entries for key in each.counts]:
            kind, id = split(key)
            table, fold_one = ONE_BY_ONE[kind]
            rows[table][id] = fold_one(rows[table].get(id), key, entry, offset, PLAN)  # type: ignore[operator]
    assert fold.finish().rows == rows
