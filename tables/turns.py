"""Leaving the event loop to others between two slices of work."""

import asyncio

_TURNS = 4


async def give_way() -> None:
    """Let what waits run, and what comes of it.

    A request takes several turns of the loop, from its bytes to its answer; were one slice of
    every background task done in each, it would wait for as many slices.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)
