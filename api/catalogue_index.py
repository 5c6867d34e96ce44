"""The lists that candidates are found in, made again and again in a thread."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter

import structlog

from personalization.candidates.index import CatalogueIndex, build_index, empty_index
from personalization.columns import Columns
from personalization.guarantee import Guarantee

_PAUSE_SECONDS = 1.0
_SHARE = 20  # pauses are at least this many times as long as the making, which slows rankings

_logger = structlog.get_logger(__name__)


class IndexKeeper:
    """Holds the newest index; at first one in which all items are later arrivals."""

    def __init__(
        self, columns: Columns, clock: Callable[[], int], guarantees: Sequence[Guarantee]
    ) -> None:
        self.index: CatalogueIndex = empty_index()
        self._columns = columns
        self._clock = clock
        self._guarantees = guarantees

    async def run(self) -> None:
        """Make the index about once a second, until cancelled. New items need not wait for it."""
        while True:
            began = perf_counter()
            try:
                self.index = await asyncio.to_thread(
                    build_index, self._columns, self._clock(), self._guarantees
                )
            except Exception:
                # The last index still serves; the next round tries again.
                _logger.exception("the catalogue index was not made")
            await asyncio.sleep(max(_PAUSE_SECONDS, _SHARE * (perf_counter() - began)))
