"""What comes before an event: the ids of its partition, and that nothing was passed over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, TopicPartition
from personalization.events import Stamp, StampedEvent
from tables.batch_fold import fold_events, no_pause
from tables.store import TableStore
from tables.topics import VISITOR_EVENTS
from tables.windows import PassedOver, Windows
from tables.writer import BatchWriter, FoldedBatch
from tests.logs import Home, records
from tests.streams import APP_ID, PARTITIONS, PLAN, START, appended, now, open_log, open_store

PARTITION = partition_for(b"v", PARTITIONS)
TP = TopicPartition(VISITOR_EVENTS, PARTITION)


class Folding:
    """One partition of visitor events, and how far it is folded."""

    def __init__(self, log: EventLog, store: TableStore) -> None:
        self.windows = Windows(log)
        self.log = log
        self._store = store
        self._writer = BatchWriter(log, store, app_id=APP_ID, clock=now)

    async def fold(
        self, first: int, pause: Callable[[], Awaitable[None]] = no_pause
    ) -> FoldedBatch:
        """All records from offset ``first`` on, folded and written."""
        folded = await fold_events(
            {PARTITION: await records(self.log, TP, first)},
            plan=PLAN,
            store=self._store,
            windows=self.windows,
            pause=pause,
        )
        await self._writer.write(folded)
        return folded


@pytest.fixture
async def folding(home: Home) -> AsyncIterator[Folding]:
    log, store = await open_log(home), open_store(home.folder / "tables")
    yield Folding(log, store)
    store.close()
    await log.stop()


def view(id: str | None) -> StampedEvent:
    return StampedEvent("view", "v", START, [Stamp("i1")], id=id)


async def test_a_partition_that_leaves_during_a_fold_comes_back_with_its_past(
    folding: Folding,
) -> None:
    """A worker that was frozen hears in the middle of a batch that a partition is another's. When
    it gets it back, an event from before that is sent again is still a duplicate."""

    async def leave() -> None:
        folding.windows.keep([])

    await folding.log.append(appended([view(f"e{number}") for number in range(5)]))
    await folding.fold(0, pause=leave)
    await folding.log.append(appended([view("e0"), view("e5")]))
    [visitors] = (await folding.fold(5)).tables
    row: Any = (visitors.decoded or {})["v"]
    assert row.counts == [0, 6, 0]


async def test_what_has_no_id_is_read_once(folding: Folding) -> None:
    """Events without an id, and what is no event, are known too: a window does not ask for them
    again with every batch."""
    poison = {TP: [Entry(b"v", b"\xff no event", START)]}
    await folding.log.append(appended([view(None)]))
    await folding.log.append(poison)
    assert (await folding.windows.before(PARTITION, 2, no_pause)).end == 1
    await folding.fold(0)
    await folding.log.append(appended([view(None)]))
    await folding.log.append(poison)
    await folding.fold(2)
    assert (await folding.windows.before(PARTITION, 0, no_pause)).end == 3


async def test_an_event_that_was_passed_over_stops_the_fold(folding: Folding) -> None:
    """It would be lost, for the watermark would be behind it. Nothing of the batch is written."""
    await folding.log.append(appended([view(f"e{number}") for number in range(3)]))
    await folding.fold(0)
    await folding.log.append(appended([view(f"e{number}") for number in range(3, 6)]))
    with pytest.raises(PassedOver, match="at offset 5 came next, but the one at 3 is not folded"):
        await folding.fold(5)
    [visitors] = (await folding.fold(3)).tables
    assert visitors.watermark.offset == 5


async def test_what_the_log_no_longer_has_is_not_missed() -> None:
    """Events whose time was up before they were folded."""

    class Expired:
        async def start_offsets(
            self, partitions: list[TopicPartition]
        ) -> dict[TopicPartition, int]:
            return dict.fromkeys(partitions, 5)

    log: Any = Expired()
    await Windows(log).check_follows(PARTITION, 5, 2)
