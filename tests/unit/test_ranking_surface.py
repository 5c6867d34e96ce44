"""Surfaces: what may be declared, and what is refused when it is."""

import msgspec
import pytest

from personalization.features.popularity import Popularity
from personalization.guarantee import Guarantee
from personalization.plan import VectorPlan
from personalization.presets import marketplace
from personalization.ranking.surface import (
    Rule,
    Seen,
    SourcePlan,
    Surface,
    SurfaceError,
    check_surface,
    default_surface,
)
from personalization.spec import Event, Spec

BAGS = {"category": {"eq": "bags"}}


def test_the_default_surface_fits_the_marketplace() -> None:
    """It names every source, and shows the best."""
    surface = default_surface()
    check_surface(surface, marketplace.plan)
    assert {source.name for source in surface.sources} == {
        "fresh",
        "trending",
        "popular",
        "covisited",
        "session",
        "affinity",
        "own",
    }
    assert surface.temperature == 0.0
    assert default_surface(()).diversity == {}


def test_vectors_have_a_source_by_themselves() -> None:
    """Nothing is written for it; without a vector the default surface is as it always was."""
    named = [source.name for source in default_surface((), (VectorPlan("text", 4),)).sources]
    assert [name for name in named if name != "near"] == [
        source.name for source in default_surface(()).sources
    ]
    assert "near" in named


def test_a_guarantee_needs_impressions() -> None:
    """Where the spec counts none, nobody could say what was seen."""
    silent = Spec(events=[Event("purchase", weight=1)], item=[], features=[Popularity()])
    with pytest.raises(SurfaceError, match="guarantee: counts events 'impression'"):
        check_surface(Surface(guarantee=Guarantee()), silent.plan)


def test_a_surface_comes_from_settings() -> None:
    """As plain data, checked by type and bounds."""
    text = b"""{"name": "home", "sources": [{"name": "fresh", "count": 9}],
        "rules": [{"name": "no bags", "action": "exclude", "when": {"category": {"eq": "bags"}}}],
        "caps": {"seller": 2}, "diversity": {"category": 0.5}, "seen": {"events": ["purchase"]}}"""
    surface = msgspec.json.decode(text, type=Surface)
    assert surface == Surface(
        name="home",
        sources=(SourcePlan("fresh", 9),),
        rules=(Rule("no bags", "exclude", BAGS),),
        caps={"seller": 2},
        diversity={"category": 0.5},
        seen=Seen(("purchase",)),
    )
    check_surface(surface, marketplace.plan)


@pytest.mark.parametrize(
    "text", ['{"caps": {"seller": 0}}', '{"temperature": -1}', '{"sources": [{"name": "guess"}]}']
)
def test_a_surface_out_of_bounds_does_not_parse(text: str) -> None:
    """A cap of nothing, a negative temperature, a source that is not there."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Surface)


@pytest.mark.parametrize(
    ("surface", "part"),
    [
        (Surface(rules=(Rule("x", "exclude", {"colour": {"eq": "red"}}),)), "rules.x.when.colour"),
        (Surface(rules=(Rule("x", "pin"), Rule("x", "boost"))), "one name"),
        (Surface(rules=(Rule("x", "pin"), Rule("y", "pin"))), "same position"),
        (Surface(caps={"tags": 1}), "caps.tags"),
        (Surface(diversity={"price": 1.0}), "diversity.price"),
        (Surface(seen=Seen(("bought",))), "bought"),
        (Surface(seen=Seen(("impression",))), "impression"),
        (Surface(sources=(SourcePlan("guess"),)), r"sources\[0\].name: .*'guess'"),  # type: ignore[arg-type]
        (Surface(sources=(SourcePlan("fresh", -1),)), r"sources\[0\].count: .* >= 1"),
        (Surface(rules=(Rule("x", "bost"),)), r"rules\[0\].action: .*'bost'"),  # type: ignore[arg-type]
        (Surface(rules=(Rule("x", "boost", amount=-1),)), r"rules\[0\].amount: .* >= 0"),
        (Surface(rules=(Rule("x", "pin", position=-1),)), r"rules\[0\].position: .* >= 1"),
        (Surface(rules=(Rule("x", "pin", amount=2, position=3),)), "rules.x.amount is for boost"),
        (Surface(rules=(Rule("x", "boost", amount=2, position=3),)), "position is for pin"),
        (Surface(rules=(Rule("x", "boost", {"a": object()}),)), "unsupported"),
        (Surface(guarantee=Guarantee(within="soon")), "guarantee.within: 'soon' is not a duration"),
        (Surface(guarantee=Guarantee(every=1)), r"guarantee.every: .* >= 2"),
        (Surface(name="home", temperature=-1), "'home': temperature: .* >= 0"),
    ],
)
def test_a_surface_that_the_spec_cannot_serve_is_refused(surface: Surface, part: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(SurfaceError, match=part):
        check_surface(surface, marketplace.plan)
