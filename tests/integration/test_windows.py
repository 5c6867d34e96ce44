"""The windows of duplicates: what a partition's past says, whatever happens to the partition."""

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, TopicPartition
from personalization.events import Stamp, StampedEvent
from tables.batch_fold import fold_events, no_pause
from tables.topics import VISITOR_EVENT, VISITOR_EVENTS
from tables.windows import Windows
from tests.logs import Home, records
from tests.streams import PARTITIONS, PLAN, START, appended, open_log, open_store

PARTITION = partition_for(b"v", PARTITIONS)
TP = TopicPartition(VISITOR_EVENTS, PARTITION)


def view(id: str | None) -> StampedEvent:
    return StampedEvent("view", "v", START, [Stamp("i1")], id=id)


async def test_a_partition_that_leaves_during_a_fold_comes_back_with_its_past(home: Home) -> None:
    """A worker that was frozen hears in the middle of a batch that a partition is another's. When
    it gets it back, an event from before that is sent again is still a duplicate."""
    log, store = await open_log(home), open_store(home.folder / "tables")
    windows = Windows(log)

    async def leave() -> None:
        windows.keep([])

    await log.append(appended([view(f"e{number}") for number in range(5)]))
    await fold_events(
        {PARTITION: await records(log, TP)}, plan=PLAN, store=store, windows=windows, pause=leave
    )
    await log.append(appended([view("e0"), view("e5")]))
    folded = await fold_events(
        {PARTITION: await records(log, TP, 5)},
        plan=PLAN,
        store=store,
        windows=windows,
        pause=no_pause,
    )
    [visitors] = folded.tables
    assert visitors.decoded is not None
    row = visitors.decoded["v"]
    assert row.counts == [0, 1, 0]  # type: ignore[attr-defined]
    store.close()
    await log.stop()


async def test_what_has_no_id_is_read_once(home: Home) -> None:
    """Events without an id, and what is no event, are known too: a window does not ask for them
    again with every batch."""
    log, store = await open_log(home), open_store(home.folder / "tables")
    windows = Windows(log)
    await log.append(appended([view(None)]))
    await log.append({TP: [Entry(b"v", b"\xff no event", START)]})
    assert (await windows.before(PARTITION, 2, no_pause)).end == 1
    await log.append(appended([view(None)]))
    await log.append({TP: [Entry(b"v", VISITOR_EVENT.encode(view(None))[:-2], START)]})
    await fold_events(
        {PARTITION: await records(log, TP, 2)},
        plan=PLAN,
        store=store,
        windows=windows,
        pause=no_pause,
    )
    assert (await windows.before(PARTITION, 0, no_pause)).end == 3
    store.close()
    await log.stop()
