"""Sharing the loop: work that takes longer is done in slices."""

import asyncio
from collections.abc import Callable
from time import perf_counter


class Slices:
    """Gives the loop a turn whenever ``budget`` seconds have passed since the last one."""

    def __init__(self, budget: float = 0.0005, clock: Callable[[], float] = perf_counter) -> None:
        self._budget = budget
        self._clock = clock
        self._ends = 0.0

    def start(self) -> None:
        """A new piece of work begins: the loop has just had its turn."""
        self._ends = self._clock() + self._budget

    async def pause(self) -> None:
        """Call after every small step."""
        if self._clock() > self._ends:
            await asyncio.sleep(0)
            self._ends = self._clock() + self._budget
