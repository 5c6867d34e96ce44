"""Leaving the event loop to others between two slices of work."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_TURNS = 4


class Turns:
    """How background work of one loop gives way: longer while somebody waits for something small,
    but for ``longest`` seconds at most.

    >>> turns = Turns()
    >>> with turns.hurry():
    ...     asyncio.run(turns.give_way())
    """

    def __init__(self, longest: float = 0.01) -> None:
        self._longest = longest
        self._hurries = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Meanwhile a request waits for what does not follow from the background work."""
        self._hurries += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._hurries -= 1
            if not self._hurries:
                self._calm.set()

    async def give_way(self) -> None:
        """Let what waits run, and what comes of it.

        A request takes several turns of the loop, from its bytes to its answer; were one slice of
        every background task done in each, it would wait for as many slices. A change of the
        catalogue takes more, through log, agent, changelog and replica: in a hurry nothing is
        done until nobody waits any more, or for so long that the background work goes on, if
        slowly, whatever others wait for.
        """
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self._hurries:
            try:
                async with asyncio.timeout(self._longest):
                    await self._calm.wait()
            except TimeoutError:
                return
