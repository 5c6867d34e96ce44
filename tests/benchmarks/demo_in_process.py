"""The demo's marketplace without a server and without waiting: one process, simulated seconds.

The same visitors, shop and folds, the same ranking, on a clock that jumps to whatever is due next.
So what is learned does not depend on how busy the machine is. What is left out is HTTP and time:
a ranking knows all that was acknowledged before it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Entry, TopicPartition
from freshet.demo.client import Client, Freshness, RankedItem, Ranking, Written
from personalization.candidates.index import CatalogueIndex, build_index
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision
from personalization.events import Attribute, CatalogueRecord, StampedEvent
from personalization.presets.marketplace import marketplace
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.scorer import Scorer
from personalization.ranking.surface import default_surface
from personalization.replaying.world import World as State
from personalization.wire import Line
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    DECISIONS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    topics,
)

START = 1_795_000_000.0
"""When every run begins: a unix second."""

_INDEX_MS = 1_000
_KEPT_MS = 100 * 365 * 86_400_000

Result = TypeVar("Result")


class _Jump(selectors.SelectSelector):
    """Never waits: what it should have waited is added to ``now``."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is due, ever"
            self.now += timeout
        return ready


class _Jumping(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def simulated(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs ``main`` on a clock that starts at 0 and never waits."""
    with asyncio.Runner(loop_factory=_Jumping) as runner:
        return runner.run(main)


class Backend:
    """Freshet's state and log, and what ranks: ``scorer`` may be replaced at any time.

    The embedded log at ``path`` gets what a server would have appended, for ``freshet train``.
    """

    def __init__(self, path: Path, scorer: Scorer) -> None:
        self.log = EmbeddedLog(path)
        self.state = State(marketplace)
        self.scorer = scorer
        self.decisions: list[Decision] = []
        self._surface = default_surface(marketplace.plan.categories)
        self._index: CatalogueIndex | None = None
        self._index_at = 0

    async def open(self) -> None:
        """Creates the topics."""
        await self.log.start()
        plan = marketplace.plan
        await self.log.create_topics(topics("freshet", plan.state_id, 1, _KEPT_MS))

    def write(self, lines: list[Line], now: int) -> None:
        """Accepts, appends and folds. Raises ``Rejected``."""
        for line in lines:
            self.take(self.state.accept(line, now), now)

    def take(self, record: StampedEvent | CatalogueRecord, now: int) -> None:
        """Appends and folds."""
        if isinstance(record, CatalogueRecord):
            self._append(CATALOGUE, CATALOGUE_RECORD.encode(record), now)
        else:
            self._append(VISITOR_EVENTS, VISITOR_EVENT.encode(record), now)
        self.state.fold(record)

    def rank(self, request: RankRequest, now: int) -> Decision:
        """As a server would."""
        if request.candidates is None and now - self._index_at >= _INDEX_MS:
            self._index, self._index_at = build_index(self.state.columns, now), now
        number = len(self.decisions)
        decision = rank(
            request,
            self.state,
            marketplace,
            self._surface,
            self.scorer,
            self._index,
            now=now,
            seed=number,
            decision_id=f"d{number}",
        )
        self.decisions.append(decision)
        self._append(DECISIONS, DECISION.encode(decision), now)
        return decision

    def _append(self, topic: str, value: bytes, now: int) -> None:
        self.log.append_now({TopicPartition(topic, 0): [Entry(None, value, now)]})


class InProcess(Client):
    """The demo's client, of a ``Backend``: every write is known to the next ranking."""

    def __init__(self, backend: Backend) -> None:
        super().__init__("http://nowhere")
        self._backend = backend

    def now_ms(self) -> int:
        return int((START + asyncio.get_running_loop().time()) * 1000)

    async def events(self, events: list[dict[str, Any]]) -> Written | None:
        return self._take(events)

    async def catalogue(self, lines: list[dict[str, Any]]) -> Written | None:
        return self._take(lines)

    async def set_stock(self, item: int, in_stock: bool) -> Written | None:
        now = self.now_ms()
        attributes: dict[str, Attribute] = {"in_stock": in_stock}
        record = CatalogueRecord("patch", "item", f"i{item}", now, None, attributes)
        self._backend.take(record, now)
        return Written()

    async def identify(self, visitor: str, user: str) -> Written | None:
        return self._take([{"type": "identify", "visitor": visitor, "user": user}])

    async def rank(self, request: dict[str, Any]) -> Ranking | None:
        asked = msgspec.convert(request, RankRequest)
        decision = self._backend.rank(asked, self.now_ms())
        items = [RankedItem(decision.candidates[one.candidate]) for one in decision.shown]
        return Ranking(decision.id, items, Freshness(True))

    def _take(self, lines: list[dict[str, Any]]) -> Written:
        self._backend.write(msgspec.convert(lines, list[Line]), self.now_ms())
        return Written()
