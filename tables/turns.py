"""Leaving the event loop to others between two slices of work."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_TURNS = 4
_TURNS_IN_A_HURRY = 20


class Turns:
    """How background work of one loop gives way: longer while somebody waits for something small.

    >>> turns = Turns()
    >>> with turns.hurry():
    ...     asyncio.run(turns.give_way())
    """

    def __init__(self) -> None:
        self._hurries = 0

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Meanwhile a request waits for what does not follow from the background work."""
        self._hurries += 1
        try:
            yield
        finally:
            self._hurries -= 1

    async def give_way(self) -> None:
        """Let what waits run, and what comes of it.

        A request takes several turns of the loop, from its bytes to its answer; were one slice of
        every background task done in each, it would wait for as many slices. A change of the
        catalogue takes more, through log, agent, changelog and replica. As many pass in a hurry,
        and no more: the background work goes on, if slowly, whatever others wait for.
        """
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for _ in range(_TURNS_IN_A_HURRY - _TURNS):
            if not self._hurries:
                return
            await asyncio.sleep(0)
