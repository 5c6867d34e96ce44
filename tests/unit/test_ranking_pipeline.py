"""A whole ranking, from who asks to the page, on a marketplace in memory."""

from typing import Any

import msgspec
import numpy as np
import pytest

from personalization.decisions import Decision, scores_of
from personalization.features.view import F32, F64
from personalization.ranking.answer import RankAnswer, answer
from personalization.ranking.filters import FilterError
from personalization.ranking.formula import Formula
from personalization.ranking.pipeline import UnfitScorer, rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Blocked, Rule, Seen, SourcePlan, Surface
from personalization.wire import Rejected

pytestmark = pytest.mark.kernel


def page(decision: Decision) -> list[str]:
    return [decision.candidates[one.candidate] for one in decision.shown]


def test_what_the_visitor_clicks_comes_up(shop: Any) -> None:
    """One click within the session lifts its category; more lift it more."""
    shop.stock(4, category="shoes", price=10.0)
    shop.stock(4, category="bags", price=10.0)
    for other in range(3):
        shop.tell("click", visitor=f"other{other}", item="i1")
    before = shop.rank("i1", "i5", visitor="v1")
    shop.tell("click", visitor="v1", item="i4")
    after = shop.rank("i1", "i5", visitor="v1")
    assert (page(before), page(after)) == (["i1", "i5"], ["i5", "i1"])
    assert page(shop.rank("i1", "i5", visitor="v2")) == ["i1", "i5"]


def test_no_visitor_is_ranked_by_context_alone(shop: Any) -> None:
    """Neither a visitor nor a user: no row is read."""
    shop.stock(3, category="shoes")
    decision = shop.rank("i2", "i0")
    assert decision.rows == []
    assert sorted(page(decision)) == ["i0", "i2"]


def test_unknown_candidates_come_last_with_a_reason(shop: Any) -> None:
    """They are ranked, not dropped, and say so; a candidate given twice is ranked once."""
    shop.stock(2, category="shoes", price=3.0)
    decision = shop.rank("ghost", "i0", "i1", "i0", "ghost")
    assert sorted(page(decision)[:2]) == ["i0", "i1"]
    assert page(decision)[2] == "ghost"
    assert decision.shown[2].reasons == ["unknown"]
    assert decision.dropped == {}
    assert shop.rank("ghost", explain=True).shown[0].reasons == ["unknown"]


def test_an_item_with_events_but_no_attributes_is_known(shop: Any) -> None:
    """A shop that sends events only has no catalogue."""
    shop.tell("click", visitor="v1", item="x")
    assert shop.rank("ghost", "x").shown[0].reasons == []
    assert page(shop.rank("ghost", "x")) == ["x", "ghost"]


DROPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("deleted", {}, {}),
    ("out_of_stock", {}, {}),
    ("disliked", {}, {}),
    ("seen", {"seen": Seen(("purchase",))}, {}),
    ("blocked", {"blocked": Blocked(items=("target",))}, {}),
    ("blocked", {"blocked": Blocked(sellers=("s9",))}, {}),
    ("shown_before", {}, {"before": ("target",)}),
    ("filtered", {}, {"filters": {"category": {"eq": "shoes"}}}),
    ("rule:no bags", {"rules": (Rule("no bags", "exclude", {"category": {"eq": "bags"}}),)}, {}),
]


@pytest.mark.parametrize(("reason", "surface", "request_"), DROPS, ids=str)
def test_every_drop_has_its_reason(
    shop: Any, reason: str, surface: dict[str, Any], request_: dict[str, Any]
) -> None:
    """One way each to lose the same item, for a visitor who has met it; the other stays."""
    shop.stock(1, category="shoes", in_stock=True)
    attributes = {"category": "bags", "in_stock": reason != "out_of_stock"}
    shop.tell("item", item="target", seller="s9", attributes=attributes)
    shop.tell("purchase", visitor="v1", item="target")
    if reason == "deleted":
        shop.tell("delete", item="target")
    if reason == "disliked":
        shop.tell("dislike", visitor="v1", item="target")
    decision = shop.rank("target", "i0", visitor="v1", surface=Surface(**surface), **request_)
    assert decision.dropped == {"target": reason}
    assert page(decision) == ["i0"]


def test_caps_keep_a_seller_from_filling_the_page(shop: Any) -> None:
    """What had to stay away says so; what merely came below the limit does not."""
    shop.stock(4, seller="s1")
    shop.stock(3, seller="s2")
    ids = [f"i{n}" for n in range(7)]
    decision = shop.rank(*ids, surface=Surface(caps={"seller": 2}), limit=3)
    assert page(decision) == ["i0", "i1", "i4"]
    assert decision.dropped == {"i2": "capped", "i3": "capped"}
    assert page(shop.rank(*ids, surface=Surface(caps={"seller": 1}), limit=7)) == ["i0", "i4"]


def test_diversity_mixes_categories(shop: Any) -> None:
    """Each item above with the same category costs some of the logit."""
    shop.stock(2, category="shoes")
    shop.stock(1, category="bags")
    surface = Surface(diversity={"category": 0.5})
    assert page(shop.rank("i0", "i1", "i2", surface=surface)) == ["i0", "i2", "i1"]


def test_boost_and_bury_move_items(shop: Any) -> None:
    """By their amount, as a reason on the item; the score stays the model's."""
    shop.stock(2, category="shoes")
    shop.stock(1, category="bags")
    bags, first = {"category": {"eq": "bags"}}, {"item": {"eq": "i0"}}
    surface = Surface(rules=(Rule("bags", "boost", bags), Rule("not i0", "bury", first)))
    decision = shop.rank("i0", "i1", "i2", surface=surface)
    assert page(decision) == ["i2", "i1", "i0"]
    assert [one.reasons for one in decision.shown] == [["rule:bags"], [], ["rule:not i0"]]
    assert len(set(scores_of(decision).tolist())) == 1


def test_a_pin_takes_its_place(shop: Any) -> None:
    """The best that matches, at its position; what is dropped or capped is not pinned."""
    shop.stock(5, category="shoes", seller="s1", in_stock=True)
    shop.tell("item", item="out", seller="s2", attributes={"in_stock": False})
    rules = (
        Rule("third", "pin", {"item": {"in": ["i4"]}}, position=3),
        Rule("first", "pin", {"item": {"in": ["out", "i2"]}}, position=1),
        Rule("beyond", "pin", {"item": {"eq": "i0"}}, position=9),
    )
    ids = ("i0", "i1", "i2", "i3", "i4", "out")
    decision = shop.rank(*ids, surface=Surface(rules=rules), limit=4)
    assert page(decision) == ["i2", "i0", "i4", "i1"]
    assert decision.shown[0].reasons == ["rule:first"]
    capped = Surface(rules=rules, caps={"seller": 1})
    assert page(shop.rank(*ids, surface=capped, limit=4)) == ["i2"]


def test_linked_visitors_count_as_one(shop: Any) -> None:
    """What a user did elsewhere is known after identify, from either device, and recorded."""
    shop.stock(2, category="shoes")
    shop.stock(2, category="bags")
    shop.tell("click", visitor="phone", item="i3")
    shop.tell("identify", visitor="phone", user="u1")
    shop.tell("identify", visitor="laptop", user="u1")
    for who in ({"visitor": "laptop"}, {"user": "u1"}, {"visitor": "new", "user": "u1"}):
        decision = shop.rank("i0", "i2", **who)
        assert page(decision) == ["i2", "i0"]
        assert decision.user == "u1"
    shop.tell("unlink", visitor="laptop")
    alone, nobody = (shop.rank("i0", "i2", visitor=name) for name in ("laptop", "nobody"))
    assert scores_of(alone).tolist() == scores_of(nobody).tolist()
    decision = shop.rank("i0", "i2", user="u1")
    assert {read.id: read.merged for read in decision.rows} == {"u1": False, "phone": True}


def test_a_visitor_of_another_user_is_not_merged(shop: Any) -> None:
    """The visitor's own row is the authority on whose it is, whatever a user's row still says."""
    shop.tell("click", visitor="phone", item="x")
    shop.tell("identify", visitor="phone", user="u1")
    stale = shop.user("u1")
    shop.tell("unlink", visitor="phone")
    shop._rows["u", "u1"] = stale[1]
    decision = shop.rank("x", user="u1")
    assert [(read.id, read.merged) for read in decision.rows] == [("u1", False), ("phone", False)]


def test_a_user_without_a_row_is_nobody(shop: Any) -> None:
    """As is a visitor."""
    decision = shop.rank("x", visitor="v1", user="u1")
    assert (decision.rows, decision.user) == ([], "u1")


def test_pages_do_not_repeat(shop: Any) -> None:
    """What the pages before showed is left out, and recorded."""
    shop.stock(5)
    ids = [f"i{n}" for n in range(5)]
    first = page(shop.rank(*ids, limit=2))
    second = shop.rank(*ids, limit=2, before=tuple(first), after="01M83XJ8BV001G000000000000")
    assert set(first).isdisjoint(page(second))
    assert second.shown_before == first


def test_the_same_request_gives_the_same_decision(shop: Any) -> None:
    """Bit for bit; another seed draws otherwise, above temperature 0."""
    shop.stock(9)
    ids, hot = [f"i{n}" for n in range(9)], Surface(temperature=1.0)
    assert shop.rank(*ids, surface=hot) == shop.rank(*ids, surface=hot)
    pages = {tuple(page(shop.rank(*ids, surface=hot, seed=seed))) for seed in range(5)}
    assert len(pages) > 1


def test_explanations_name_what_lifted_an_item(shop: Any) -> None:
    """At most three columns of the formula, beside rules."""
    shop.stock(1, category="shoes")
    shop.stock(2, category="bags")
    shop.tell("click", visitor="v1", item="i2")
    surface = Surface(rules=(Rule("bags", "boost", {"category": {"eq": "bags"}}),))
    reasons = shop.rank("i0", "i1", visitor="v1", explain=True, surface=surface).shown[0].reasons
    assert reasons[:2] == ["rule:bags", "session_category"]
    assert len(reasons) <= 4


def test_sources_find_candidates(shop: Any) -> None:
    """Without the caller's list; each says which sources found it."""
    shop.stock(3, category="shoes", in_stock=True)
    shop.tell("click", visitor="v2", item="i1")
    surface = Surface(sources=(SourcePlan("trending", 2), SourcePlan("fresh", 2)))
    decision = shop.rank(surface=surface, index=True, visitor="v1")
    found = dict(zip(decision.candidates, decision.sources, strict=True))
    assert found == {"i1": ["trending", "fresh"], "i0": ["trending", "fresh"]}
    assert shop.rank(surface=surface, index=False).sources == [["fresh"], ["fresh"]]


def test_no_candidates_is_an_empty_page(shop: Any) -> None:
    """Nothing is listed yet."""
    surface = Surface(
        sources=(SourcePlan("affinity"), SourcePlan("covisited"), SourcePlan("fresh"))
    )
    decision = shop.rank(surface=surface, index=True, explain=True, keep="shown")
    assert (decision.candidates, decision.shown, decision.dropped) == ([], [], {})
    assert answer(decision).items == []


def test_the_answer_is_the_decisions(shop: Any) -> None:
    """The shape of the documentation, as JSON."""
    shop.stock(2, category="shoes", in_stock=True)
    shop.tell("item", item="out", attributes={"in_stock": False})
    decision = shop.rank("i0", "out", "i1", limit=1)
    got = msgspec.to_builtins(answer(decision))
    score = got["items"][0].pop("score")
    assert score == scores_of(decision)[0]
    assert got == {
        "decision": decision.id,
        "items": [{"item": "i0", "propensity": 1.0, "sources": ["caller"], "reasons": []}],
        "dropped": {"out": "out_of_stock"},
        "freshness": {
            "newest_event_ms": None,
            "behind": {},
            "measured_ms_ago": None,
            "caught_up": None,
        },
        "arms": {},
        "model": "formula",
        "feature_set": shop.spec.feature_set_id,
    }
    assert msgspec.json.decode(msgspec.json.encode(answer(decision)), type=RankAnswer)


@pytest.mark.parametrize(
    "request_",
    [{"filters": {"colour": {"eq": 1}}}, {"context": {"utc_offset": "x"}}, {"visitor": "user:a"}],
    ids=str,
)
def test_a_request_that_cannot_be_is_rejected(shop: Any, request_: dict[str, Any]) -> None:
    """Before anything is ranked."""
    with pytest.raises(Rejected):
        shop.rank("a", **request_)


def test_a_rule_on_what_is_not_declared_is_an_error(shop: Any) -> None:
    """A surface is checked when it is declared; a ranking does not pass over it either."""
    with pytest.raises(FilterError, match=r"rules\.x\.when\.colour"):
        shop.rank("a", surface=Surface(rules=(Rule("x", "exclude", {"colour": {"eq": "a"}}),)))


class Broken(Formula):
    """Cannot count."""

    def score(self, matrix: F32) -> F64:
        return np.full(len(matrix), np.nan)


def test_a_scorer_must_fit(shop: Any) -> None:
    """Another feature set, or scores that are no numbers: never a page of nonsense."""
    spec = shop.spec
    for scorer in (Formula(spec.columns, "other"), Broken(spec.columns, spec.feature_set_id)):
        with pytest.raises(UnfitScorer):
            rank(
                RankRequest(candidates=["a"]),
                shop,
                spec,
                Surface(),
                scorer,
                None,
                now=shop.now,
                seed=1,
                decision_id="x",
            )
