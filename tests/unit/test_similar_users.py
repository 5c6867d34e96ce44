"""Who is like a user: found by looking at all profiles, ranked for the viewer."""

import math
from typing import Any

import numpy as np
import pytest

from personalization.candidates.profiles import MOST, Near, ProfileSearch
from personalization.candidates.source import Inputs
from personalization.candidates.trending import Trending
from personalization.codec import Codec
from personalization.columns import Columns
from personalization.presets.marketplace import marketplace
from personalization.ranking.similar import RESEMBLANCE
from personalization.ranking.surface import default_surface
from personalization.state.rows import CatalogueRow, VisitorRow

pytestmark = pytest.mark.kernel


def search(shop: Any, user: str, viewer: str | None = None, *without: str) -> Near:
    row = None if viewer is None else shop.visitor(viewer)
    merged = None if row is None else Codec(VisitorRow).decode(row[1])
    looking = ProfileSearch(f"user:{user}", shop.columns, merged, frozenset(without))
    for _ in looking:
        pass
    return looking.found()


def people(shop: Any, **attributes: dict[str, Any]) -> None:
    for user, told in attributes.items():
        shop.tell("user", user=user, attributes=told)


def test_what_few_share_says_more(shop: Any) -> None:
    """Each term that is shared counts by how rare it is; who shares nothing is not near."""
    people(
        shop,
        me={"category": "design", "tags": ["logo", "type"], "price": 30.0},
        same={"category": "design", "tags": ["type", "logo"], "price": 29.0},
        common={"category": "design"},
        rare={"tags": ["logo"]},
        other={"category": "law", "price": 300.0},
        **{f"more{n}": {"category": "design"} for n in range(30)},
    )
    near = search(shop, "me")
    assert near.ids[:2] == ["user:same", "user:rare"]
    assert near.resemblance[0] == pytest.approx(1.0)
    assert near.sources[:2] == [["category", "tags", "price"], ["tags"]]
    assert "user:other" not in near.ids
    assert "user:me" not in near.ids
    # 33 are in design, 3 have the tag, 2 each the other tag and the price
    weights = [1 / math.log(1 + n) for n in (33, 3, 2, 2)]
    common = near.resemblance[near.ids.index("user:common")]
    assert common == pytest.approx(weights[0] / sum(weights))
    assert near.resemblance[1] == pytest.approx(weights[1] / sum(weights))


def test_gone_or_not_to_be_had(shop: Any) -> None:
    """A deleted user, one out of stock, the viewer's own and who has changed are not found."""
    people(shop, me={"category": "design"}, a={"category": "design"}, b={"category": "design"})
    people(shop, c={"category": "design", "in_stock": False}, d={"category": "design"})
    shop.tell("delete", user="a")
    assert search(shop, "me").ids == ["user:b", "user:d"]
    assert search(shop, "me", None, "user:b").ids == ["user:d"]
    people(shop, d={"category": "law"})
    assert search(shop, "me").ids == ["user:b"]
    assert search(shop, "ghost").ids == []


def test_the_nearest_of_all_are_found() -> None:
    """As an obvious computation over every profile finds them, however many there are and
    wherever steps begin and end."""
    columns, drawn = Columns(marketplace.plan), np.random.default_rng(4)
    kept: dict[str, set[tuple[str, Any]]] = {}
    for number in range(17_000):
        tags = [f"t{tag}" for tag in np.unique((30 * drawn.random(3) ** 2).astype(int))]
        category = f"c{int(5 * drawn.random() ** 2)}"
        attributes: dict[str, Any] = {"category": category, "tags": tags}
        columns.apply_catalogue("user", f"u{number}", CatalogueRow(number, 1, 1, None, attributes))
        kept[f"user:u{number}"] = {("category", category), *(("tags", tag) for tag in tags)}
    looking = ProfileSearch("user:u7", columns, None, frozenset())
    for _ in looking:
        pass
    found = looking.found()
    own = kept.pop("user:u7")
    counts = {term: 1 + sum(term in terms for terms in kept.values()) for term in own}
    whole = sum(1 / math.log(1 + max(count, 2)) for count in counts.values())
    near = {
        id: sum(1 / math.log(1 + max(counts[term], 2)) for term in terms & own) / whole
        for id, terms in kept.items()
    }
    best = sorted(near.values(), reverse=True)[:MOST]
    assert found.resemblance == pytest.approx(best, abs=1e-6)
    assert [near[id] for id in found.ids] == pytest.approx(best, abs=1e-6)


def test_of_equals_who_became_known_first_is_found(shop: Any) -> None:
    """So that the same is found on any machine; who is nearer is found wherever they come."""
    people(shop, me={"category": "design", "brand": "acme"})
    people(shop, **{f"u{number}": {"category": "design"} for number in range(2 * MOST)})
    first = [f"user:u{number}" for number in range(MOST)]
    assert search(shop, "me").ids == first
    assert search(shop, "me", None, "user:u3", "user:u7").ids == [
        f"user:u{number}" for number in range(MOST + 2) if number not in (3, 7)
    ]
    people(shop, last={"category": "design", "brand": "acme"})
    assert search(shop, "me").ids == ["user:last", *first[:-1]]


def test_one_nearer_in_a_later_step_is_found() -> None:
    """Also where nobody else of that step is, and enough were found before."""
    columns = Columns(marketplace.plan)
    alike: dict[str, Any] = {"category": "design"}
    told: list[dict[str, Any]] = [{**alike, "brand": "acme"}, *[alike] * (MOST + 1), *[{}] * 40_000]
    for number, attributes in enumerate([*told, {**alike, "brand": "acme"}]):
        columns.apply_catalogue("user", f"u{number}", CatalogueRow(number, 1, 1, None, attributes))
    looking = ProfileSearch("user:u0", columns, None, frozenset())
    for _ in looking:
        pass
    assert looking.found().ids[0] == f"user:u{len(told)}"


def test_of_many_as_near_those_the_viewer_likes_are_found(shop: Any) -> None:
    """Of more than are looked for, those of the brand that the viewer turned to."""
    shop.tell("item", item="i", attributes={"brand": "acme"})
    shop.tell("view", visitor="v", item="i")
    people(shop, me={"category": "design"})
    for number in range(3 * MOST):
        told = {"category": "design", "brand": "acme" if number % 5 == 0 else "other"}
        people(shop, **{f"u{number}": told})
    acme = {f"user:u{number}" for number in range(0, 3 * MOST, 5)}
    assert not acme <= set(search(shop, "me").ids)
    assert acme <= set(search(shop, "me", "v").ids)


def test_whom_people_came_from_is_near(shop: Any) -> None:
    """Also where nothing is shared; and looks at people teach what a viewer likes."""
    people(shop, a={"category": "design"}, b={"category": "law"}, c={"category": "design"})
    shop.tell("view", visitor="v", item="user:a")
    shop.tell("view", visitor="v", item="user:b")
    near = search(shop, "b")
    assert (near.ids, near.sources) == (["user:a"], [["covisited"]])
    row = Codec(VisitorRow).decode(shop.visitor("v")[1])
    index = marketplace.plan.affinity_index["category", False]
    assert row.affinities[index].entries.keys() == {"design", "law"}


def test_users_are_not_on_pages_of_items(shop: Any) -> None:
    """However many look at them."""
    people(shop, a={"category": "design"})
    shop.tell("item", item="i", attributes={"category": "design"})
    for visitor in range(3):
        shop.tell("view", visitor=f"v{visitor}", item="user:a")
        shop.tell("view", visitor=f"v{visitor}", item="i")
    given = Inputs(shop.columns, shop.index(), None, shop.now)
    assert [shop.columns.item_id(s) for s in Trending().draw(given, 9).tolist()] == ["i"]
    found = shop.rank(index=True, visitor="v0", surface=default_surface()).candidates
    assert found == ["i"]


def test_the_record_says_how_near_they_were(shop: Any) -> None:
    """As if the caller had brought them with that score."""
    people(shop, me={"category": "design"}, a={"category": "design"})
    near = search(shop, "me")
    decision = shop.rank(similar_to="user:me", near=near)
    assert decision.candidates == ["user:a"]
    assert decision.sources == [["category"]]
    [recorded] = decision.request.candidates or []
    assert not isinstance(recorded, str)
    assert recorded.features == {"score": RESEMBLANCE}
