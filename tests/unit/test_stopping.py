"""Tasks end when they are cancelled, also those that lose a cancellation."""

import asyncio

import pytest

from tables.stopping import cancelled


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As one that is cancelled in the very turn in which it gets its answer."""
    lost = 0

    async def loses_the_first() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    task = asyncio.create_task(loses_the_first())
    await asyncio.sleep(0)
    await cancelled([task], every=0.01)
    assert task.cancelled()
    assert lost == 2


async def test_a_task_that_failed_is_at_its_end() -> None:
    """Why it did is for its owner to ask."""

    async def fails() -> None:
        raise ValueError("a row that cannot be read")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await cancelled([task])
    assert isinstance(task.exception(), ValueError)


async def test_what_does_not_end_is_named() -> None:
    """Nobody waits for ever, and what is still running is no secret."""
    may_end = asyncio.Event()

    async def goes_on() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(goes_on(), name="tail of items")
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="still running: tail of items"):
        await cancelled([task], every=0.001)
    may_end.set()
    await task
