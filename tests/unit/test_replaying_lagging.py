"""A world that lags against one that folded only what came before."""

import random
from typing import Any

import msgspec
import pytest

from personalization.evaluation.pipeline import Frozen
from personalization.evaluation.query import Asker
from personalization.evaluation.split import DAY
from personalization.events import CatalogueRecord, StampedEvent
from personalization.features.view import Moment
from personalization.presets import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.surface import default_surface
from personalization.replaying.lagging import Lagging
from personalization.replaying.world import World
from personalization.wire import Line

START = 1_795_428_000_000
ITEMS = [f"i{number}" for number in range(12)]
VISITORS = [f"v{number}" for number in range(6)]
WANTED = [(source.name, source.count) for source in default_surface().sources]


def some_line(drawn: random.Random, number: int) -> Line:
    """Events of visitors, some of them users', and changes of the catalogue."""
    fields: dict[str, Any] = {"at": START + 60_000 * number, "id": str(number)}
    kind = drawn.choice(["item", "view", "click", "purchase", "identify"])
    if kind == "item":
        attributes = {"category": drawn.choice("ab"), "price": float(number)}
        fields |= {"item": drawn.choice(ITEMS), "seller": "s1", "attributes": attributes}
    else:
        fields["visitor"] = drawn.choice(VISITORS)
        fields |= {"user": drawn.choice(["u1", "u2"])} if kind == "identify" else {}
        fields |= {} if kind == "identify" else {"item": drawn.choice(ITEMS)}
    return msgspec.convert({"type": kind, **fields}, Line)


def answers(world: World | Lagging, now: int) -> list[Any]:
    """All that can be asked."""
    asked: list[Any] = []
    for visitor, user in [*((visitor, None) for visitor in VISITORS), (None, "u1"), (None, "u2")]:
        row = world.who(visitor, user)
        matrix = world.matrix(row, ITEMS, Moment(now))
        asked += [row, matrix.tobytes(), world.candidates(row, now, WANTED)]
    return asked


@pytest.mark.parametrize("seed", range(5))
def test_it_answers_as_of_when_it_followed_last_with_the_catalogue_of_now(seed: int) -> None:
    """Rows, features and candidates are those of a world that never saw the events since."""
    drawn = random.Random(seed)
    live, before = World(marketplace), World(marketplace)
    lagging = live.lagging = Lagging(live, {})
    lines = [some_line(drawn, number) for number in range(400)]
    waiting: list[StampedEvent] = []
    for number, line in enumerate(lines):
        if number % 100 == 50:
            live.catch_up()
            lagging.follow()
            for event in waiting:
                before.fold(event)
            before.catch_up()
            waiting.clear()
        record = live.accept(line, START + 10**9)
        live.fold(record)
        if isinstance(record, CatalogueRecord):
            before.fold(record)
        else:
            waiting.append(record)
        if number % 100 == 20 and number > 50:
            now = START + 60_000 * number
            assert answers(lagging, now) == answers(before, now)
            assert answers(live, now) != answers(before, now)


def test_a_nightly_list_asked_for_an_earlier_time_is_that_of_the_first_day_of_the_test() -> None:
    """Exposures that are logged when they are answered are asked about as of a time before."""
    found = []
    midnight = START - START % DAY
    for since in (0, midnight):
        world = World(marketplace)
        formula = Formula(marketplace.columns, marketplace.feature_set_id)
        frozen = Frozen(world, {}, WANTED, formula, since)
        for number in range(60):
            record = world.accept(some_line(random.Random(number), number - 660), START)
            frozen.advance(record.at)
            world.fold(record)
        asker = Asker("v1", None, None, midnight - 30 * 60_000)
        if since == 0:
            frozen.advance(midnight)
        found.append(frozen.ranking(asker, live=False).scores.tobytes())
    assert found[0] == found[1]
    assert len(found[0])


def test_who_asks_before_it_followed_is_told() -> None:
    """An empty state would look like an answer."""
    world = World(marketplace)
    with pytest.raises(RuntimeError, match="before it followed"):
        Lagging(world, {}).who("v1")
