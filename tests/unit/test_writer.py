"""The order of a batch's writes, and a log that does not take them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from eventlog.protocol import Entry, LogUnavailable, TopicPartition
from personalization.events import Signal, SignalBatch
from personalization.state.rows import Watermark
from tables.dead_letters import DEAD_LETTER, DeadLetter
from tables.store import PartitionWrite
from tables.topics import DEAD_LETTERS, ITEMS, SIGNALS, VISITORS, WATERMARK, WATERMARK_KEY
from tables.writer import BatchWriter, FoldedBatch, PartitionRows

ITEMS_LOG = TopicPartition("app-items-abc-changelog", 1)
VISITORS_LOG = TopicPartition("app-visitors-abc-changelog", 2)
LETTER = DeadLetter("visitor-events", 2, 9, "no sense", b"v1", b"\x00")
BATCH = FoldedBatch(
    tables=[
        PartitionRows(VISITORS, 2, [(b"v1", b"row"), (b"v2", b"row")], Watermark(9)),
        PartitionRows(ITEMS, 1, [(b"i1", b"row")], Watermark(4)),
    ],
    signals=[(1, SignalBatch(2, -1, 9, [Signal(9, "view", 0, {"i:i1": 1})]))],
    dead_letters=[LETTER],
)


class Recorder:
    """A log and a store at once, which notes what is asked of it."""

    state_id = "abc"
    whole_bytes = 1 << 20

    def __init__(self, *refusals: Iterable[TopicPartition]) -> None:
        self.steps: list[Any] = []
        self._refusals = list(refusals)
        self._ends: dict[TopicPartition, int] = {}

    async def append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        refused = set(self._refusals.pop(0) if self._refusals else ()) & set(batches)
        taken = {tp: entries for tp, entries in batches.items() if tp not in refused}
        self.steps.append(taken)
        for tp, entries in taken.items():
            self._ends[tp] = self._ends.get(tp, 0) + len(entries)
        if refused:
            raise LogUnavailable(refused, "no leader")
        return {tp: self._ends[tp] - 1 for tp in taken}

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._ends[tp] for tp in tps}

    def watermark(self, table: str, partition: int) -> Watermark:
        return Watermark(7, chain={0: 6, 1: 5})

    async def write(self, writes: Iterable[PartitionWrite]) -> None:
        self.steps.append(list(writes))


def writer(recorder: Recorder, give_up: float = 5.0) -> BatchWriter:
    log: Any = recorder
    return BatchWriter(log, log, app_id="app", clock=lambda: 77, give_up=give_up)


async def test_signals_then_changelog_then_store() -> None:
    """Dead letters, signals, changelogs (each with its watermark last), and the store at once."""
    recorder = Recorder()
    await writer(recorder).write(BATCH)
    letters, signals, changelogs, store = recorder.steps
    letter = Entry(b"v1", DEAD_LETTER.encode(LETTER), 77)
    assert letters == {TopicPartition(DEAD_LETTERS, 2): [letter]}
    assert list(signals) == [TopicPartition(SIGNALS, 1)]
    mark = Entry(WATERMARK_KEY, WATERMARK.encode(Watermark(9)), 77)
    rows = [Entry(b"v1", b"row", 77), Entry(b"v2", b"row", 77), mark]
    assert changelogs[VISITORS_LOG] == rows
    assert [(write.table, write.partition, write.changelog_offset) for write in store] == [
        ("visitors", 2, 2),
        ("items", 1, 1),
    ]
    assert store[0].rows == [(entry.key, entry.value) for entry in rows]


async def test_what_the_log_may_cut_says_first_which_signals_were_sent() -> None:
    """The chain goes before the rows, with the offset that the table has: should only the first of
    them arrive, it is known which signals of theirs need not be sent again."""
    recorder = Recorder()
    recorder.whole_bytes = 200
    rows: list[tuple[bytes, bytes | None]] = [(f"v{n}".encode(), bytes(60)) for n in range(2)]
    new = Watermark(9, chain={1: 9, 2: 8})
    part = PartitionRows(VISITORS, 2, rows, new)
    await writer(recorder).write(FoldedBatch(tables=[part]))
    changelogs, [store] = recorder.steps
    first, *others, last = [(entry.key, entry.value) for entry in changelogs[VISITORS_LOG]]
    assert first == (WATERMARK_KEY, WATERMARK.encode(Watermark(7, chain={0: 6, 1: 9, 2: 8})))
    assert others == rows
    assert last == (WATERMARK_KEY, WATERMARK.encode(new))
    assert (store.rows, store.changelog_offset) == ([first, *rows, last], 3)


async def test_what_the_log_refused_is_tried_again() -> None:
    """Only the partitions that were refused are appended again; the store comes afterwards."""
    recorder = Recorder([], [], [ITEMS_LOG], [ITEMS_LOG])
    await writer(recorder).write(BATCH)
    assert [set(step) for step in recorder.steps[2:5]] == [{VISITORS_LOG}, set(), {ITEMS_LOG}]
    assert {(write.table, write.changelog_offset) for write in recorder.steps[5]} == {
        ("visitors", 2),
        ("items", 1),
    }


async def test_a_log_that_stays_away_stops_the_writer() -> None:
    """After the time to give up the error is raised, and nothing later is written."""
    recorder = Recorder(*[[TopicPartition(SIGNALS, 1)]] * 10)
    with pytest.raises(LogUnavailable, match=r"signals\[1\]"):
        await writer(recorder, give_up=0.1).write(BATCH)
    assert VISITORS_LOG not in {tp for step in recorder.steps for tp in step}
