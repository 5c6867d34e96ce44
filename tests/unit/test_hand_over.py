"""Whether a batch may still be written, and waiting for those under way."""

import asyncio
from types import SimpleNamespace

import pytest

from agents.hand_over import HandOver


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def group(generation: int = 1, *, rebalancing: bool = False) -> SimpleNamespace:
    return SimpleNamespace(consumer_generation_id=generation, rebalancing=rebalancing)


async def test_a_batch_of_another_generation_is_not_written() -> None:
    """Its partitions may be another worker's by now."""
    hand_over = HandOver(session_timeout=10, clock=Clock())
    assert await hand_over.may_write(group(), 1, since=0)
    assert not await hand_over.may_write(group(2), 1, since=0)


async def test_after_a_freeze_the_group_is_heard_first() -> None:
    """Frozen for longer than the session: not written once a rebalance is under way; written where
    none comes within another session time-out, as the worker was then never given up."""
    clock = Clock()
    hand_over = HandOver(session_timeout=0.2, clock=clock)
    clock.now = 5.0
    assert await hand_over.may_write(group(), 1, since=0)
    assert clock.now > 5.2
    assert not await hand_over.may_write(group(rebalancing=True), 1, since=0)


async def test_nothing_is_written_after_what_was_not() -> None:
    """The next batch of the same generation was taken before the rebalance was heard of: written,
    it would pass over the one before it. One of the next generation follows what is there."""
    clock = Clock()
    hand_over = HandOver(session_timeout=0.2, clock=clock)
    clock.now = 5.0
    assert not await hand_over.may_write(group(rebalancing=True), 1, since=0)
    assert not hand_over.holds(group(), 1)
    assert not await hand_over.may_write(group(), 1, since=clock.now)
    assert await hand_over.may_write(group(2), 2, since=clock.now)


async def test_a_rebalance_waits_for_batches_under_way() -> None:
    """But not for ever."""
    hand_over = HandOver(session_timeout=10)
    assert await hand_over.settled(timeout=0.01)
    async with hand_over.batch():
        assert not await hand_over.settled(timeout=0.01)
    assert await hand_over.settled(timeout=0.01)


async def test_nothing_is_folded_while_tables_are_read_into() -> None:
    """Whoever wants to be alone waits for the batch under way, and the next batch for them."""
    hand_over, seen = HandOver(session_timeout=10), []

    async def batch(name: str) -> None:
        async with hand_over.batch():
            seen.append(f"{name} begins")
            await turns()
            seen.append(f"{name} ends")

    async def read() -> None:
        async with hand_over.alone(timeout=20) as alone:
            assert alone
            seen.append("read begins")
            await turns()
            seen.append("read ends")

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(batch("first"))
        tasks.create_task(batch("second"))
        await asyncio.sleep(0)
        tasks.create_task(read())
        await asyncio.sleep(0)
        tasks.create_task(batch("third"))
    assert seen == [
        *("first begins", "second begins", "first ends", "second ends"),
        *("read begins", "read ends"),
        *("third begins", "third ends"),
    ]


async def test_whoever_wants_to_be_alone_gives_up_in_time() -> None:
    """A batch that cannot be written does not hold up those of other partitions for ever."""
    hand_over = HandOver(session_timeout=10)
    async with hand_over.batch():
        async with hand_over.alone(timeout=0.01) as alone:
            assert not alone
        async with asyncio.timeout(20), hand_over.batch():
            pass


async def test_nothing_is_folded_onto_what_was_read_in_part() -> None:
    """Reading failed in the middle: the worker ends, and no batch begins before that."""
    hand_over = HandOver(session_timeout=10)
    with pytest.raises(OSError, match="half"):
        async with hand_over.alone(timeout=20):
            raise OSError("read by half")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), hand_over.batch():
            raise AssertionError("folded")


async def turns() -> None:
    """Whatever else can run does."""
    for _ in range(10):
        await asyncio.sleep(0)
