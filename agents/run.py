"""What the three agents have in common: take a batch, fold it, write it, acknowledge it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import faust

from agents.slices import Slices
from eventlog.faust_batches import take_batches
from eventlog.protocol import Record
from tables.writer import BatchWriter, FoldedBatch

BATCH = 128
"""Records that are folded and written at once, at most."""

Fold = Callable[[Mapping[int, Sequence[Record]]], Awaitable[FoldedBatch]]


async def run(stream: Any, fold: Fold, writer: BatchWriter, slices: Slices) -> None:
    """Fold and write what comes, until the worker stops.

    A record is acknowledged, and so committed, only after all that follows from it is written.
    Anything that fails here stops the whole app, with the reason in ``app.crash_reason``: Faust
    would restart the agent alone, behind what it has left undone.
    """
    app: faust.App = stream.app
    try:
        async for events in take_batches(stream, BATCH):
            slices.start()
            await writer.write(await fold(_by_partition(events)))
    except Exception as error:
        await app.crash(error)
        raise


def _by_partition(events: Sequence[Any]) -> dict[int, list[Record]]:
    records: dict[int, list[Record]] = {}
    for event in events:
        message = event.message
        records.setdefault(message.partition, []).append(
            Record(message.offset, int(message.timestamp * 1000), message.key, message.value)
        )
    return records
