"""Sharing the loop: work that takes longer is done in slices."""

from collections.abc import Callable
from time import perf_counter

from tables.turns import Turns


class Slices:
    """Gives way to others whenever ``budget`` seconds have passed since the last one."""

    def __init__(
        self,
        turns: Turns,
        budget: float = 0.0005,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._turns = turns
        self._budget = budget
        self._clock = clock
        self._ends = 0.0

    def start(self) -> None:
        """A new piece of work begins: others have just had their turn."""
        self._ends = self._clock() + self._budget

    async def pause(self) -> None:
        """Call after every small step."""
        if self._clock() > self._ends:
            await self._turns.give_way()
            self._ends = self._clock() + self._budget
