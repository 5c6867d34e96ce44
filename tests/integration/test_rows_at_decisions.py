"""Parity: the vectors of decisions that replicas served are in the log, bit for bit."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from eventlog.embedded import EmbeddedLog
from personalization.decisions import Decision, offsets_of
from personalization.events import IDENTIFY, Attribute, CatalogueRecord, StampedEvent
from personalization.ranking.formula import Formula
from personalization.ranking.parity import audit
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import default_surface
from personalization.ranking.ulid import decision_id
from tables.bulk import Bulk
from tables.decision_rows import NotInLog, rows_of
from tables.replicas import Replicas
from tables.store import TableStore
from tables.tokens import Token
from tables.topics import CATALOGUE, VISITOR_EVENTS, topics
from tables.windows import Windows
from tests.vector_spec import SPEC, drawn

PLAN = SPEC.plan
APP = "shop"
PARTITIONS = 4
START = 1_795_428_000_000
SOON = 20.0
EVENTS = ("impression", "impression", "view", "click", "cart", "purchase", "dislike")


class Shop:
    """A log, its tables and a replica; events stamped from the replica, decisions from it."""

    def __init__(self, path: Path) -> None:
        self.log = EmbeddedLog(path / "log")
        self._random = random.Random(11)
        self._now = START
        self._path = path

    async def open(self) -> None:
        await self.log.create_topics(topics(APP, PLAN.state_id, PARTITIONS, 86_400_000))
        self._store = TableStore(
            self._path / "tables", state_id=PLAN.state_id, partitions=PARTITIONS
        )
        self._bulk = Bulk(
            self.log,
            self._store,
            PLAN,
            app_id=APP,
            windows=Windows(self.log),
            clock=lambda: self._now,
        )
        self.replicas = Replicas(self.log, PLAN, path=self._path / "replica", app_id=APP)
        await self.replicas.start()
        await asyncio.wait_for(self.replicas.ready(), SOON)

    async def close(self) -> None:
        await self.replicas.stop()
        self._store.close()
        await self.log.stop()

    async def step(self) -> None:
        """Some listings, some events; folded, and applied by the replica."""
        draw = self._random
        self._now += 60_000
        catalogue = [self._listing(f"i{draw.randrange(30)}") for _ in range(3)]
        catalogue.append(
            CatalogueRecord("put", "seller", f"s{draw.randrange(4)}", self._now, None, {})
        )
        await self._bulk.append([self._event() for _ in range(12)], catalogue)
        await self._bulk.catch_up()
        ends = await self.log.end_offsets(self._bulk.read_offsets())
        token = Token.of({tp: end - 1 for tp, end in ends.items() if end})
        assert {tp.topic for tp in ends} >= {VISITOR_EVENTS, CATALOGUE}
        assert await self.replicas.wait(token, "all", SOON)

    def decide(self) -> Decision:
        draw = self._random
        request = RankRequest(
            visitor=f"v{draw.randrange(8)}",
            candidates=[f"i{item}" for item in draw.sample(range(33), 15)],
            context={"utc_offset": 60},
        )
        return rank(
            request,
            self.replicas,
            SPEC,
            default_surface(),
            Formula(SPEC.columns, SPEC.feature_set_id),
            None,
            now=self._now + draw.randrange(50_000),
            seed=draw.getrandbits(32),
            decision_id=decision_id(self._now, 0, draw.randbytes(8)),
        )

    def _listing(self, item: str) -> CatalogueRecord:
        draw = self._random
        attributes: dict[str, Attribute] = {
            "category": f"c{draw.randrange(3)}",
            "brand": f"b{draw.randrange(3)}",
            "price": float(draw.randrange(100)),
            "in_stock": draw.random() < 0.8,
            "tags": ["red"],
            "embedding": drawn(draw),
        }
        op = draw.choice(["put", "put", "patch", "delete"])
        return CatalogueRecord(op, "item", item, self._now, f"s{draw.randrange(4)}", attributes)

    def _event(self) -> StampedEvent:
        draw = self._random
        visitor = f"v{draw.randrange(8)}"
        if draw.random() < 0.1:
            return StampedEvent(IDENTIFY, visitor, self._now, user=f"u{draw.randrange(2)}")
        items = draw.sample(range(33), draw.randrange(1, 6))
        return StampedEvent(
            draw.choice(EVENTS),
            visitor,
            self._now + draw.randrange(60_000),
            [self.replicas.stamp(f"i{item}") for item in items],
            id=f"e{draw.randrange(400)}",
        )


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_vectors_are_the_same_folded_again_from_the_log(shop: Shop) -> None:
    """Rankings served between batches are found again at their offsets; damage is noticed."""
    decisions: list[Decision] = []
    for _ in range(40):
        await shop.step()
        decisions.extend(shop.decide() for _ in range(3))
    rows = await rows_of(shop.log, SPEC, decisions)
    assert [audit(decision, rows, SPEC) for decision in decisions] == [None] * 120

    decision = decisions[-1]
    flipped = bytearray(decision.vectors)
    flipped[40] ^= 1
    assert audit(msgspec.structs.replace(decision, vectors=bytes(flipped)), rows, SPEC)

    offsets = np.vstack(offsets_of(decision))
    offsets[2:][offsets[2:] >= 0] += 10**6
    elsewhere = msgspec.structs.replace(
        decision, offsets=msgspec.structs.replace(decision.offsets, candidates=offsets.tobytes())
    )
    with pytest.raises(NotInLog):
        audit(elsewhere, rows, SPEC)
