"""What the three agents have in common: take a batch, fold it, write it, acknowledge it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agents.hand_over import HandOver
from agents.slices import Slices
from eventlog.faust_batches import take_batches
from eventlog.protocol import Record
from tables.writer import BatchWriter, FoldedBatch


class Bounds(msgspec.Struct, frozen=True):
    """What is folded and written at once, at most. The defaults are for a loop that also ranks.

    ``signal_bytes`` cuts signals: a record may hold many, and each may change a row of its own.
    Writing what comes of more would hold the loop for over a millisecond. (Visitor events are not
    cut like this: each changes one row, and larger batches make fewer records of signals.)

    ``linger`` is for how many seconds signals wait for others: those of many events change the
    same rows (everything's, a category's), and every batch writes a watermark for each table and
    partition. Only rankings that wait for "all" notice it.

    ``slice_seconds`` of folding are done between two turns of the loop.
    """

    records: int = 128
    signal_bytes: int = 32 * 1024
    linger: float = 0.008
    slice_seconds: float = 0.0005


Fold = Callable[[Mapping[int, Sequence[Record]]], Awaitable[FoldedBatch]]


async def run(
    stream: Any,
    fold: Fold,
    writer: BatchWriter,
    slices: Slices,
    hand_over: HandOver,
    *,
    max_records: int,
    max_bytes: int | None = None,
    linger: float = 0.0,
) -> None:
    """Fold and write what comes, so much at once, until the worker stops.

    What comes within ``linger`` seconds is taken together.
    A record is acknowledged, and so committed, only after all that follows from it is written. A
    batch whose partitions may have gone to another worker meanwhile is left to that one.
    Anything that fails here stops the whole app, with the reason in ``app.crash_reason``: Faust
    would restart the agent alone, behind what it has left undone.
    """
    app: Any = stream.app
    try:
        async for events in take_batches(stream, max_records, linger):
            generation = app.consumer_generation_id
            async with hand_over.batch():
                for batch in _cut(events, max_bytes):
                    if not hand_over.holds(app, generation):
                        break
                    began = hand_over.now()
                    slices.start()
                    folded = await fold(_by_partition(batch))
                    await slices.pause()  # writing is not cut
                    if not await hand_over.may_write(app, generation, began):
                        break
                    await writer.write(folded)
    except Exception as error:
        await app.crash(error)
        raise


def _cut(events: Sequence[Any], max_bytes: int | None) -> Iterator[Sequence[Any]]:
    """``events`` in pieces whose values have up to ``max_bytes``, but for single larger ones."""
    if max_bytes is None:
        yield events
        return
    start, size = 0, 0
    for number, event in enumerate(events):
        more = len(event.message.value or b"")
        if number > start and size + more > max_bytes:
            yield events[start:number]
            start, size = number, 0
        size += more
    yield events[start:]


def _by_partition(events: Sequence[Any]) -> dict[int, list[Record]]:
    records: dict[int, list[Record]] = {}
    for event in events:
        message = event.message
        records.setdefault(message.partition, []).append(
            Record(message.offset, int(message.timestamp * 1000), message.key, message.value)
        )
    return records
