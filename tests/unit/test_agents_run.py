"""Batches of bounded size, and slices that leave the loop its turns."""

import asyncio
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from agents.run import _cut
from agents.slices import Slices
from tables.turns import Turns


@given(st.lists(st.integers(0, 120)))
def test_pieces_keep_the_order_and_the_bound(sizes: list[int]) -> None:
    """Nothing is lost or moved, and only a record over the bound is alone above it."""
    events = [SimpleNamespace(message=SimpleNamespace(value=b"x" * size)) for size in sizes]
    pieces = list(_cut(events, 100)) if events else []
    assert [event for piece in pieces for event in piece] == events
    for piece in pieces:
        assert len(piece) == 1 or sum(len(event.message.value) for event in piece) <= 100
    assert list(_cut(events, None)) == [events]


async def test_a_slice_ends_when_its_time_is_up() -> None:
    """Within the budget nothing else runs; after it everything that waits gets a turn."""
    now = 0.0
    slices = Slices(Turns(), budget=1.0, clock=lambda: now)
    turns: list[float] = []
    loop = asyncio.get_running_loop()
    slices.start()
    loop.call_soon(lambda: turns.append(now))
    await slices.pause()
    now = 1.0
    await slices.pause()
    assert turns == []
    now = 1.5
    await slices.pause()
    assert turns == [1.5]


async def test_background_work_stands_still_while_somebody_is_in_a_hurry() -> None:
    """It goes on when the last of them has what it waited for."""
    turns = Turns(longest=600.0)
    with turns.hurry():
        with turns.hurry():
            waiting = asyncio.create_task(turns.give_way())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60.0)


async def test_background_work_goes_on_whatever_others_wait_for() -> None:
    """A hurry that does not end holds it back for a bounded time only."""
    turns = Turns(longest=0.001)
    with turns.hurry():
        await asyncio.wait_for(turns.give_way(), 60.0)
