"""The world in memory against rows folded one event at a time."""

from typing import Any

import msgspec
import numpy as np

from personalization.columns import view_of
from personalization.events import StampedEvent
from personalization.features.matrix import feature_matrix
from personalization.features.view import Moment
from personalization.presets import marketplace
from personalization.ranking.hydrate import hydrate
from personalization.replaying.world import World
from personalization.wire import Line

EVENTS: list[dict[str, Any]] = [
    {"type": "item", "item": "i1", "seller": "s1", "attributes": {"category": "a", "price": 3.0}},
    {"type": "impression", "visitor": "v1", "items": ["i1", "i2"]},
    {"type": "click", "visitor": "v1", "item": "i1"},
    {"type": "item", "item": "i2", "seller": "s2", "attributes": {"category": "b"}},
    {"type": "purchase", "visitor": "v1", "item": "i2"},
    {"type": "click", "visitor": "v2", "item": "i2"},
    {"type": "identify", "visitor": "v2", "user": "u1"},
    {"type": "cart", "visitor": "v3", "user": "u1", "item": "i1"},
    {"type": "identify", "visitor": "v1", "user": "u1"},
]


def lines(start: int) -> list[Line]:
    return [
        msgspec.convert({**event, "at": start + 1000 * number, "id": str(number)}, Line)
        for number, event in enumerate(EVENTS)
    ]


def test_a_world_ranks_as_the_server_would(shop: Any) -> None:
    """Events folded in batches, spilled and merged, give the bits of one fold at a time."""
    world = World(marketplace)
    world._visitors._most = 1
    for event, line in zip(EVENTS, lines(shop.now), strict=True):
        shop.tell(**event)
        line.at = shop.now
        world.fold(world.accept(line, shop.now))
    ids, moment = ["i1", "i2", "i3"], Moment(shop.now)
    for visitor in ("v1", "v2", "v3", "nobody"):
        who = hydrate(visitor, None, shop, marketplace.plan).visitor
        expected = feature_matrix(marketplace, view_of(shop.columns, moment, ids, who))
        found = world.matrix(world.who(visitor), ids, moment)
        assert found.tobytes() == expected.tobytes(), visitor
    assert world.columns.item_ids[1:] == ["i1", "i2"]


def test_a_repeated_event_counts_once_and_what_cannot_be_folded_is_counted() -> None:
    """As on the server: an id within the window, and a type no row can take."""
    world = World(marketplace)
    for line in lines(1_795_428_000_000) * 2:
        world.fold(world.accept(line, 1_795_428_100_000))
    world.fold(StampedEvent("nonsense", "v1", 1_795_428_100_000))
    visitor = world.who("v2")
    assert world.rejected == 1
    assert visitor is not None
    assert sum(visitor.counts) == 5


def test_the_lists_of_sources_follow_the_stream() -> None:
    """A new item is found at once; what is hot within a minute of the stream's time."""
    world = World(marketplace)
    at = 1_795_428_000_000
    for line in lines(at):
        world.fold(world.accept(line, at + 10_000))
    assert world.candidates(None, at, [("fresh", 5)]).ids == ["i2", "i1"]
    assert np.array_equal(world.index(at).hot, world.index(at + 59_000).hot)
    assert world.candidates(None, at + 61_000, [("trending", 1)]).ids == ["i2"]
