"""Waiting for a watermark."""

import asyncio

import pytest

from personalization.state.rows import Watermark
from tables.replicas.watermarks import TablePartition, Watermarks

AT = TablePartition("visitors", 3)
ELSEWHERE = TablePartition("visitors", 4)


async def test_what_is_reached_needs_no_waiting() -> None:
    """A watermark that is already there is returned at once."""
    marks = Watermarks({AT: Watermark(7)})
    assert await marks.reach(AT, lambda watermark: watermark.offset >= 7) == Watermark(7)


async def test_applying_wakes_exactly_those_it_serves() -> None:
    """The first watermark that satisfies a waiter wakes it; others go on waiting."""
    marks = Watermarks({})
    five = asyncio.create_task(marks.reach(AT, lambda watermark: watermark.offset >= 5))
    nine = asyncio.create_task(marks.reach(AT, lambda watermark: watermark.offset >= 9))
    other = asyncio.create_task(marks.reach(ELSEWHERE, lambda watermark: watermark.offset >= 0))
    await asyncio.sleep(0)
    marks.publish({AT: Watermark(6, chain={1: 6})})
    assert await five == Watermark(6, chain={1: 6})
    assert not nine.done()
    marks.publish({AT: Watermark(9)})
    assert await nine == Watermark(9)
    assert not other.done()
    other.cancel()


async def test_a_stale_owners_watermark_changes_nothing() -> None:
    """A lower watermark that comes later is left out."""
    marks = Watermarks({AT: Watermark(7)})
    marks.publish({AT: Watermark(6)})
    assert marks.get(AT) == Watermark(7)


async def test_who_gives_up_leaves_nothing_behind() -> None:
    """A wait that timed out is forgotten, and a later watermark does not trip over it."""
    marks = Watermarks({})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await marks.reach(AT, lambda watermark: watermark.offset >= 5)
    marks.publish({AT: Watermark(5)})
    assert marks.get(AT) == Watermark(5)
