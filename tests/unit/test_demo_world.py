"""The simulated marketplace is what it says: seeded, and learnable in one world only."""

import json

import numpy as np
import pytest

from freshet.demo.behaviour import Visit, act
from freshet.demo.evaluation import PageView, click_rates, page_rates
from freshet.demo.policies import Popularity, baseline_pages, draw_candidates
from freshet.demo.world import CATEGORIES, World, WorldKind, daypart

NOW = 1_795_428_000.0


def stocked(seed: int, kind: WorldKind = "tastes") -> World:
    world = World(seed, kind)
    sellers = [world.add_seller() for _ in range(40)]
    for number in range(800):
        world.add_item(sellers[number % 40])
    world.in_stock[:] = True
    return world


def lines(world: World) -> str:
    return json.dumps([world.item_line(item, 0) for item in range(world.items)])


def test_a_seed_makes_the_same_world_again() -> None:
    """Catalogue, people, intents and probabilities depend on the seed alone."""
    one, two, other = stocked(7), stocked(7), stocked(8)
    items = np.arange(100)
    assert lines(one) == lines(two) != lines(other)
    person = one.person(3)
    intent = one.intent(person, NOW, np.random.default_rng(1))
    assert intent == two.intent(two.person(3), NOW, np.random.default_rng(1))
    np.testing.assert_array_equal(
        one.click_probability(person, intent, items),
        two.click_probability(two.person(3), intent, items),
    )


def test_people_do_not_depend_on_the_order_in_which_they_are_met() -> None:
    """Person 5 is the same whether or not persons 0 to 4 came before."""
    late, early = stocked(1), stocked(1)
    for number in range(5):
        late.person(number)
    np.testing.assert_array_equal(late.person(5).categories, early.person(5).categories)


def test_in_the_null_world_nobody_and_nothing_makes_a_difference() -> None:
    """One probability for all people, sessions and items."""
    world = stocked(3, "null")
    rng = np.random.default_rng(0)
    found = {
        float(probability)
        for number in range(20)
        for probability in world.click_probability(
            world.person(number), world.intent(world.person(number), NOW, rng), np.arange(200)
        )
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("offset", "part"), [(0, 0), (360, 1), (720, 2), (840, 2), (-60, 3), (-720, 2), (-361, 2)]
)
def test_the_part_of_day_is_local(offset: int, part: int) -> None:
    """Midnight in Greenwich is morning, afternoon and evening elsewhere."""
    assert daypart(86_400.0 * 100, offset) == part


def test_people_of_the_same_part_of_day_want_similar_things() -> None:
    """Intents in the morning and in the evening differ in the population, not only per person."""
    world = stocked(5)
    rng = np.random.default_rng(2)
    shares = np.zeros((4, len(CATEGORIES)))
    for number in range(3000):
        person = world.person(number)
        part = daypart(NOW, person.utc_offset)
        shares[part, world.intent(person, NOW, rng).primary] += 1
    shares /= shares.sum(axis=1, keepdims=True)
    assert np.abs(shares[1] - shares[3]).sum() > 0.3


def test_nothing_hidden_is_in_what_is_sent() -> None:
    """Lines and events have the wire format's fields and the visible attributes only."""
    world = stocked(4)
    person = world.person(0)
    rng = np.random.default_rng(0)
    visit = Visit(person, world.intent(person, NOW, rng), "v0", None, "s0", False)
    events = act(world, visit, np.arange(12), np.zeros(12), "d1", 1_795_428_000_000, rng)
    assert set(world.item_line(0, 0)["attributes"]) == {
        "category", "brand", "price", "in_stock", "tags",
    }  # fmt: skip
    assert world.seller_line(0, 0)["attributes"] == {}
    allowed = {"type", "visitor", "item", "items", "at", "id", "session", "decision", "value",
               "properties"}  # fmt: skip
    for event in events:
        assert set(event) <= allowed
        assert event["properties"] == {"utc_offset": person.utc_offset}
    assert len({event["id"] for event in events}) == len(events)


def test_in_the_tastes_world_the_oracle_beats_the_category_beats_popularity_beats_random() -> None:
    """There is something to learn about items, more about the session, and a lot left beyond."""
    world = stocked(11)
    popularity = Popularity()
    rng = np.random.default_rng(6)
    views = []
    for number in range(300):
        person = world.person(number)
        visit = Visit(person, world.intent(person, NOW, rng), f"v{number}", None, "s", False)
        for _ in range(7):
            candidates = draw_candidates(world, popularity, rng)
            truth = world.click_probability(person, visit.intent, candidates)
            pages = baseline_pages(world, popularity, visit.clicks, candidates, truth, rng)
            pages["freshet"] = pages["random"]
            if number >= 60:
                rates = page_rates(pages, truth)
                views.append(PageView(number, False, False, 0.0, rates, rates))
            shown = candidates[pages["category_popularity" if number % 2 else "random"]]
            for event in act(world, visit, shown, rng.random(10), None, 0, rng):
                if event["type"] == "click":
                    item = int(event["item"][1:])
                    popularity.add(item, 1.0)
                    category = int(world.category[item])
                    visit.clicks[category] = visit.clicks.get(category, 0) + 1
    rate = {name: value for name, (value, _, _) in click_rates(views, 1).items()}
    assert rate["freshet"] == rate["random"]
    assert rate["oracle"] > 1.5 * rate["category_popularity"]
    assert rate["category_popularity"] > 1.15 * rate["popularity"]
    assert rate["popularity"] > 1.15 * rate["random"]
