"""Writing a folded batch, in the one order that counts every record once.

Dead letters, then signals, then the changelogs (rows, and their watermark last), each acknowledged
by the log; then one write of the store. Committing the source is the caller's, afterwards. A crash
between any two steps is mended by folding the batch again: what a step has written is skipped by
its offset. So is one within the changelogs' step, where the log has cut a batch.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from eventlog.protocol import RECORD_OVERHEAD, Entry, EventLog, LogUnavailable, TopicPartition
from personalization.events import SignalBatch
from personalization.state.rows import Watermark
from tables.dead_letters import DEAD_LETTER, DeadLetter
from tables.store import PartitionWrite, TableStore
from tables.topics import (
    DEAD_LETTERS,
    SIGNAL_BATCH,
    SIGNALS,
    WATERMARK,
    WATERMARK_KEY,
    Table,
    changelog_topic,
)

GIVE_UP_SECONDS = 30.0
"""How long appends that the log does not take are tried again before the worker stops."""

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0

EncodedRows = list[tuple[bytes, bytes | None]]


class PartitionRows(msgspec.Struct, frozen=True):
    """The rows that changed in one partition of one table, encoded, and its new watermark.

    ``decoded`` has the rows once more, by id, for the store to keep.
    """

    table: Table
    partition: int
    rows: EncodedRows
    watermark: Watermark
    decoded: Mapping[str, object] | None = None


class FoldedBatch(msgspec.Struct):
    """All that came of folding a batch, ready to be written. Each partition occurs once."""

    tables: list[PartitionRows] = []
    signals: list[tuple[int, SignalBatch]] = []
    dead_letters: list[DeadLetter] = []


class BatchWriter:
    """Writes folded batches to ``log`` and ``store``. ``clock`` gives ms, for timestamps."""

    def __init__(
        self,
        log: EventLog,
        store: TableStore,
        *,
        app_id: str,
        clock: Callable[[], int],
        give_up: float = GIVE_UP_SECONDS,
    ) -> None:
        self._log = log
        self._store = store
        self._app_id = app_id
        self._clock = clock
        self._give_up = give_up

    async def write(self, batch: FoldedBatch) -> None:
        """Write ``batch``; once this returns its source may be committed.

        Raises ``LogUnavailable`` where the log has not taken it for ``give_up`` seconds: the
        worker must stop, and folds the batch again when it starts.
        """
        now = self._clock()
        if batch.dead_letters:
            await self._append(self._dead_letters(batch.dead_letters, now))
        if batch.signals:
            await self._append(self._signals(batch.signals, now))
            await asyncio.sleep(0)  # the embedded log takes its time in this loop
        if not batch.tables:
            return
        writes = [
            (
                TopicPartition(
                    changelog_topic(self._app_id, part.table, self._store.state_id), part.partition
                ),
                part,
                self._rows(part),
            )
            for part in batch.tables
        ]
        lasts = await self._append(
            {tp: [Entry(key, row, now) for key, row in rows] for tp, _, rows in writes}
        )
        await asyncio.sleep(0)
        await self._store.write(
            PartitionWrite(part.table.name, part.partition, rows, lasts[tp], part.decoded)
            for tp, part, rows in writes
        )

    def _rows(self, part: PartitionRows) -> EncodedRows:
        """The rows to write, and the watermark as the last of them.

        Rows that come without it, because the rest was cut off, are not folded again: nor are
        their signals sent again, and nobody would know any more that they were the last ones. So
        the chain goes first, with the offset that the table has.
        """
        rows = [*part.rows, (WATERMARK_KEY, WATERMARK.encode(part.watermark))]
        size = sum(len(key) + len(row or b"") + RECORD_OVERHEAD for key, row in rows)
        if size > self._log.whole_bytes and part.watermark.chain:
            held = self._store.watermark(part.table.name, part.partition)
            chain = dict(held.chain)
            for target, last in part.watermark.chain.items():
                chain[target] = max(last, chain.get(target, -1))
            rows.insert(0, (WATERMARK_KEY, WATERMARK.encode(Watermark(held.offset, chain=chain))))
        return rows

    def _signals(
        self, signals: Sequence[tuple[int, SignalBatch]], now: int
    ) -> dict[TopicPartition, list[Entry]]:
        entries: dict[TopicPartition, list[Entry]] = {}
        for target, batch in signals:
            entry = Entry(None, SIGNAL_BATCH.encode(batch), now)
            entries.setdefault(TopicPartition(SIGNALS, target), []).append(entry)
        return entries

    def _dead_letters(
        self, letters: Sequence[DeadLetter], now: int
    ) -> dict[TopicPartition, list[Entry]]:
        entries: dict[TopicPartition, list[Entry]] = {}
        for letter in letters:
            tp = TopicPartition(DEAD_LETTERS, letter.partition)
            entries.setdefault(tp, []).append(Entry(letter.key, DEAD_LETTER.encode(letter), now))
        return entries

    async def _append(
        self, batches: Mapping[TopicPartition, Sequence[Entry]]
    ) -> dict[TopicPartition, int]:
        """Append all, trying again with growing pauses what the log did not take."""
        deadline = asyncio.get_running_loop().time() + self._give_up
        pause = _FIRST_PAUSE_SECONDS
        lasts: dict[TopicPartition, int] = {}
        left = dict(batches)
        while True:
            try:
                lasts.update(await self._log.append(left))
                return lasts
            except LogUnavailable as error:
                # What was taken is past; its last offset is below that of the next append.
                taken = [tp for tp in left if tp not in error.partitions]
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
                if taken:
                    ends = await self._log.end_offsets(taken)
                    lasts.update((tp, end - 1) for tp, end in ends.items())
                left = {tp: left[tp] for tp in error.partitions if tp in left}
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
