"""Where candidates come from, and the lists over the whole catalogue."""

from typing import Any

import numpy as np
import pytest

from personalization.candidates.affinity import Affinity
from personalization.candidates.covisited import CoVisited
from personalization.candidates.find import SOURCES, find_candidates
from personalization.candidates.fresh import Fresh
from personalization.candidates.index import CatalogueIndex, empty_index
from personalization.candidates.near import Near
from personalization.candidates.own import Own
from personalization.candidates.popular import Popular
from personalization.candidates.rising import Rising
from personalization.candidates.session import SessionNeighbours
from personalization.candidates.similar import find_similar
from personalization.candidates.source import Inputs, Source
from personalization.candidates.trending import Trending
from personalization.codec import Codec
from personalization.features.popularity import Popularity
from personalization.spec import Event, Spec
from personalization.state.rows import VisitorRow
from tests.vector_spec import SPEC, direction

pytestmark = pytest.mark.kernel
HOUR = 3_600_000


def inputs(shop: Any, visitor: str | None = None, index: CatalogueIndex | None = None) -> Inputs:
    row = None if visitor is None else shop.visitor(visitor)
    return Inputs(
        shop.columns,
        index or shop.index(),
        None if row is None else Codec(VisitorRow).decode(row[1]),
        shop.now,
    )


def draw(source: Source, given: Inputs, n: int) -> list[str]:
    return [given.columns.item_id(slot) for slot in source.draw(given, n).tolist()]


def click(shop: Any, visitor: str, *items: str, type: str = "click") -> None:
    for item in items:
        shop.tell(type, visitor=visitor, item=item)


def test_fresh_is_newest_first(shop: Any) -> None:
    """By the time of listing, however they were sent; out of stock and deleted ones are left
    out."""
    for number, at in enumerate([3, 1, 5, 4, 2]):
        shop.tell("item", item=f"i{number}", at=shop.now - HOUR * at)
    shop.tell("item", item="out", attributes={"in_stock": False})
    shop.tell("item", item="gone")
    shop.tell("delete", item="gone")
    assert draw(Fresh(), inputs(shop), 3) == ["i1", "i4", "i0"]


def test_fresh_has_what_was_listed_a_moment_ago(shop: Any) -> None:
    """Before the lists are made again, also what is listed once more."""
    shop.stock(3)
    index = shop.index()
    shop.tell("item", item="new")
    assert draw(Fresh(), inputs(shop, index=index), 2) == ["new", "i0"]
    assert draw(Fresh(), inputs(shop, index=empty_index()), 9) == ["new", "i2", "i1", "i0"]
    shop.tell("delete", item="i0")
    shop.tell("item", item="i0")
    assert draw(Fresh(), inputs(shop, index=index), 9) == ["i0", "new", "i1", "i2"]


def test_trending_is_what_visitors_do(shop: Any) -> None:
    """By weight of events; what nobody touched comes last, the newer first."""
    shop.stock(2)
    shop.tell("item", item="new")
    click(shop, "v1", "i1")
    click(shop, "v2", "i0", type="purchase")
    shop.tell("impression", visitor="v3", items=["new"])
    assert draw(Trending(), inputs(shop), 9) == ["i0", "i1", "new"]


def test_heat_decays(shop: Any) -> None:
    """Yesterday's favourite gives way to today's."""
    shop.stock(2)
    click(shop, "v1", "i0", "i0", "i0")
    shop.now += 72 * HOUR
    click(shop, "v2", "i1")
    assert draw(Trending(), inputs(shop), 1) == ["i1"]


def test_what_is_out_of_stock_now_is_not_drawn(shop: Any) -> None:
    """Though the list was made before; the next ones take its place."""
    shop.stock(20, in_stock=True)
    index = shop.index()
    for number in range(15):
        shop.tell("item", item=f"i{number}", attributes={"in_stock": False})
    assert draw(Trending(), inputs(shop, index=index), 2) == ["i15", "i16"]
    assert len(draw(Trending(), inputs(shop, index=index), 9)) == 5
    assert len(draw(Trending(), inputs(shop), 9)) == 5


def test_an_item_that_has_only_counters_can_trend(shop: Any) -> None:
    """A shop without a catalogue has trends too, but nothing fresh."""
    click(shop, "v1", "x", "y")
    assert draw(Trending(), inputs(shop), 5) == ["y", "x"]
    assert draw(Fresh(), inputs(shop), 5) == []


def test_covisited_is_what_others_went_on_to(shop: Any) -> None:
    """From the visitor's last items, the more often the earlier; nothing without a visitor."""
    shop.stock(4)
    for visitor in ("a", "b"):
        click(shop, visitor, "i0", "i1")
    click(shop, "c", "i2", "i0")
    click(shop, "me", "i1", "i2")
    assert draw(CoVisited(), inputs(shop, "me"), 5)[0] == "i0"
    assert draw(CoVisited(), inputs(shop), 5) == []
    assert draw(CoVisited(), inputs(shop, "nobody"), 5) == []


def test_affinity_is_what_is_hot_in_favourite_groups(shop: Any) -> None:
    """More of what is liked more; disliked and foreign values bring nothing."""
    shop.stock(4, seller="s1", category="shoes")
    shop.stock(4, seller="s2", category="bags")
    shop.stock(4, seller="s3", category="toys")
    click(shop, "other", "i2", "i2", "i9")
    click(shop, "me", "i0")
    click(shop, "me", "i4", type="view")
    click(shop, "me", "i8", type="dislike")
    found = draw(Affinity(), inputs(shop, "me"), 4)
    assert found[0] == "i2"
    assert set(found) <= {f"i{number}" for number in range(8)}
    assert len(found) == 4
    assert draw(Affinity(), inputs(shop), 4) == []


def test_affinity_lasts_beyond_the_session(shop: Any) -> None:
    """A day later what was liked still counts, but the session does not."""
    shop.stock(2, category="shoes")
    shop.stock(2, category="bags")
    click(shop, "me", "i0")
    shop.now += 24 * HOUR
    assert set(draw(Affinity(), inputs(shop, "me"), 9)) == {"i0", "i1", "i2", "i3"}
    assert draw(Affinity(), inputs(shop, "me"), 9)[:2] == ["i0", "i1"]
    assert draw(Affinity(), inputs(shop, "me", empty_index()), 9) == []


def test_rising_is_what_is_wanted_more_than_usual(shop: Any) -> None:
    """In favourite categories only, ahead of what always sells more; one buyer is no trend."""
    shop.stock(4, category="shoes")
    shop.stock(2, category="bags")
    for hour in range(40):
        click(shop, f"v{hour}", *["i0"] * 4, "i1", "i4", type="purchase")
        shop.now += HOUR
    click(shop, "a", *["i0"] * 4, *["i1"] * 16, *["i4"] * 16, "i3", type="purchase")
    click(shop, "me", "i2", type="view")
    click(shop, "you", "i5", type="view")
    assert draw(Rising(), inputs(shop, "me"), 9) == ["i1"]
    assert draw(Rising(), inputs(shop, "you"), 9) == ["i4"]
    assert draw(Rising(), inputs(shop), 9) == []


def test_nothing_rises_in_a_busy_hour_for_all(shop: Any) -> None:
    """Everything is wanted more then, and nothing more than its share."""
    shop.stock(3, category="shoes")
    for hour in range(30):
        click(shop, f"v{hour}", "i0", "i1", "i1", "i2", type="purchase")
        shop.now += HOUR
    for number in range(20):
        click(shop, f"w{number}", "i0", "i1", "i1", "i2", type="purchase")
    assert draw(Rising(), inputs(shop, "v0"), 9) == []


def test_popular_is_what_lasted(shop: Any) -> None:
    """A month of wishes outweighs one of today, which trends."""
    shop.stock(2)
    click(shop, "v1", "i0", "i0")
    shop.now += 72 * HOUR
    click(shop, "v2", "i1")
    assert draw(Popular(), inputs(shop), 1) == ["i0"]
    assert draw(Trending(), inputs(shop), 1) == ["i1"]


def test_own_is_what_the_visitor_turned_to(shop: Any) -> None:
    """The heaviest first, nothing disliked; nothing for others."""
    shop.stock(4)
    click(shop, "me", "i3", "i1", "i1")
    click(shop, "me", "i2", type="dislike")
    assert draw(Own(), inputs(shop, "me"), 9) == ["i1", "i3"]
    assert draw(Own(), inputs(shop, "nobody"), 9) == []
    assert draw(Own(), inputs(shop), 9) == []


def test_session_neighbours_fit_the_whole_session(shop: Any) -> None:
    """Not only the last item, nor what everybody has; nothing that the session has already."""
    shop.stock(6)
    for visitor in ("a", "b"):
        click(shop, visitor, "i2", "i0")
        click(shop, visitor + "!", "i5", "i1")
    for number in range(30):
        click(shop, f"v{number}", "i5")
    click(shop, "me", "i0", "i1")
    assert draw(SessionNeighbours(), inputs(shop, "me"), 9) == ["i2", "i5"]
    shop.now += 2 * HOUR
    assert draw(SessionNeighbours(), inputs(shop, "me"), 9) == ["i2", "i5"]
    assert draw(SessionNeighbours(), inputs(shop), 9) == []


def test_session_neighbours_of_long_sessions_say_less(shop: Any) -> None:
    """Whoever clicked through everything had these too."""
    shop.stock(40)
    for number in range(3):
        click(shop, f"all{number}", *[f"i{item}" for item in range(40) if item != 2])
    click(shop, "a", "i0", "i2", "i1")
    click(shop, "me", "i1", "i0")
    assert draw(SessionNeighbours(), inputs(shop, "me"), 1) == ["i2"]


def test_session_neighbours_look_at_what_was_met_most(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more was met with the session than there is time for, the rarest is left out."""
    shop.stock(4)
    for visitor, others in (("a", ["i1", "i2"]), ("b", ["i2", "i3"]), ("c", ["i3"])):
        click(shop, visitor, *others, "i0")
    click(shop, "me", "i0")
    assert set(draw(SessionNeighbours(), inputs(shop, "me"), 9)) == {"i1", "i2", "i3"}
    monkeypatch.setattr("personalization.candidates.session._CONSIDERED", 2)
    assert set(draw(SessionNeighbours(), inputs(shop, "me"), 9)) == {"i2", "i3"}


def test_session_neighbours_without_sessions_go_by_pairs(shop: Any) -> None:
    """A spec that keeps no sessions still has them, from what was met together."""
    shop = type(shop)(Spec(events=[Event("play", weight=1)], item=[], features=[Popularity()]))
    click(shop, "a", "y", "x", type="play")
    click(shop, "b", "z", "q", type="play")
    click(shop, "me", "x", type="play")
    assert shop.columns.plan.sessions == 0
    assert draw(SessionNeighbours(), inputs(shop, "me"), 9) == ["y"]


@pytest.fixture
def gallery(shop: Any) -> Any:
    """Four pictures in two directions, and one of which no vector is known; nobody saw any."""
    shop = type(shop)(SPEC)
    for id, vector in (
        ("red", direction(1.0)),
        ("pink", direction(9.0, 4.0)),
        ("blue", direction(0.0, 0.0, 1.0)),
        ("navy", direction(0.0, 0.1, 0.2)),
    ):
        shop.tell("item", item=id, attributes={"embedding": vector, "in_stock": True})
    shop.tell("item", item="unknown", attributes={"embedding": direction()})
    return shop


def test_near_is_what_points_where_the_visitor_does(gallery: Any) -> None:
    """Around all that the visitor turned to, and around the last item; the nearest first, never
    what they had, nothing for those who had nothing."""
    click(gallery, "me", "red")
    assert draw(Near(), inputs(gallery, "me"), 9) == ["pink"]
    click(gallery, "me", "blue")
    assert draw(Near(), inputs(gallery, "me"), 9) == ["navy", "pink"]
    assert draw(Near(), inputs(gallery, "me"), 1) == ["navy"]
    click(gallery, "you", "unknown")
    click(gallery, "they", "red", type="dislike")
    for nobody in ("you", "they", "nobody", None):
        assert draw(Near(), inputs(gallery, nobody), 9) == []


def test_a_new_item_is_near_at_once(gallery: Any) -> None:
    """Before any list is made, and wherever it moves; not once it is gone or out of stock."""
    click(gallery, "me", "red")
    index = empty_index()

    def near() -> list[str]:
        return draw(Near(), inputs(gallery, "me", index), 9)

    gallery.tell("item", item="new", attributes={"embedding": direction(1.0, 0.1)})
    assert near() == ["new", "pink"]
    gallery.tell("item", item="new", attributes={"embedding": direction(1.0, 1.0)})
    assert near() == ["pink", "new"]
    gallery.tell("item", item="pink", attributes={"embedding": direction(9.0), "in_stock": False})
    assert near() == ["new"]
    gallery.tell("item", item="pink", attributes={"embedding": direction(9.0), "in_stock": True})
    assert near() == ["pink", "new"]
    gallery.tell("delete", item="pink")
    gallery.tell("item", item="new", attributes={"embedding": direction(-1.0)})
    assert near() == []


def test_nothing_is_near_where_no_vector_is_declared(shop: Any) -> None:
    """The marketplace has none."""
    shop.stock(2)
    click(shop, "me", "i0")
    assert draw(Near(), inputs(shop, "me"), 9) == []


def test_what_is_near_an_item_is_similar(gallery: Any) -> None:
    """Though nobody ever had the two together."""
    assert find_similar("pink", inputs(gallery)) == (["red", "navy"], [["near"], ["near"]])


def test_sources_are_merged(shop: Any) -> None:
    """Each candidate once, with all that found it."""
    shop.stock(3)
    click(shop, "v1", "i2")
    ids, sources = find_candidates([("trending", 2), ("fresh", 1)], inputs(shop))
    assert (ids, sources) == (["i2", "i0"], [["trending"], ["trending", "fresh"]])
    with pytest.raises(KeyError):
        find_candidates([("guess", 1)], inputs(shop))


def test_every_source_has_its_name() -> None:
    """Surfaces name them."""
    assert sorted(SOURCES) == [
        "affinity",
        "cold_items",
        "cold_sellers",
        "covisited",
        "fresh",
        "near",
        "own",
        "popular",
        "rising",
        "session",
        "trending",
    ]


def test_lists_of_a_shop_without_groups(shop: Any) -> None:
    """A spec with events only: no categories, no stock."""
    shop = type(shop)(Spec(events=[Event("play", weight=1)], item=[], features=[Popularity()]))
    click(shop, "v1", "a", type="play")
    assert draw(Trending(), inputs(shop), 3) == ["a"]
    assert draw(Rising(), inputs(shop, "v1"), 3) == []


def test_the_newest_of_many(shop: Any) -> None:
    """The list of fresh items is bounded, and has the newest ones."""
    before = shop.now - HOUR
    ages = np.random.default_rng(1).permutation(2500).tolist()
    for number, age in enumerate(ages):
        shop.tell("item", item=f"i{number}", at=before - age)
    assert len(shop.index().fresh) == 2000
    assert draw(Fresh(), inputs(shop), 3) == [f"i{ages.index(age)}" for age in range(3)]
