"""The watermarks a replica has applied, and whoever waits for one."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from personalization.state.rows import Watermark

NOTHING = Watermark()


class TablePartition(NamedTuple):
    """One partition of one table."""

    table: str
    partition: int


Reached = Callable[[Watermark], bool]


class Watermarks:
    """Watermarks by table and partition. They only advance: a stale owner's is left out."""

    def __init__(self, held: Mapping[TablePartition, Watermark]) -> None:
        self._held = dict(held)
        self._waiting: dict[TablePartition, dict[asyncio.Future[Watermark], Reached]] = {}

    def get(self, at: TablePartition) -> Watermark:
        """The watermark applied last; offset -1 before the first."""
        return self._held.get(at, NOTHING)

    def publish(self, applied: Mapping[TablePartition, Watermark]) -> None:
        """Take over what was applied, rows first, and wake whom it serves."""
        for at, watermark in applied.items():
            if watermark.offset < self.get(at).offset:
                continue
            self._held[at] = watermark
            for future, reached in self._waiting.get(at, {}).items():
                if not future.done() and reached(watermark):
                    future.set_result(watermark)

    async def reach(self, at: TablePartition, reached: Reached) -> Watermark:
        """The first watermark for which ``reached`` is true. The caller bounds the wait."""
        held = self.get(at)
        if reached(held):
            return held
        future: asyncio.Future[Watermark] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(at, {})
        waiting[future] = reached
        try:
            return await future
        finally:
            del waiting[future]
