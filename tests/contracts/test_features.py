"""What every family of features promises, checked for each that there is."""

import importlib
import math
import pkgutil
import random
from collections.abc import Iterator

import numpy as np
import pytest

import personalization.features
from personalization.events import Attribute
from personalization.features.family import Feature
from personalization.features.matrix import feature_matrix
from personalization.features.user import UserFeature
from personalization.features.view import F32, Moment, View
from personalization.presets import marketplace
from personalization.state.rows import (
    CatalogueRow,
    Interaction,
    ItemRow,
    SegmentRow,
    Session,
    TopK,
    VisitorRow,
)
from tests.feature_shop import NOW, Shop, random_shop, wide_spec

for module in pkgutil.iter_modules(personalization.features.__path__):
    importlib.import_module(f"personalization.features.{module.name}")

SPEC = wide_spec()
IDS = [f"i{i}" for i in range(12)]
MOMENT = Moment(NOW, utc_offset=270, session="now", context={"device": "desktop", "amount": 30.0})
FEATURES = list(SPEC.layout)


def families(of: type[Feature] = Feature) -> Iterator[type[Feature]]:
    """Every family that there is, found by itself."""
    for family in of.__subclasses__():
        yield family
        yield from families(family)


def columns_of(view: View, first: int, end: int) -> F32:
    return feature_matrix(SPEC, view)[:, first:end]


def test_every_family_is_checked() -> None:
    """A family that the tests' spec does not declare would escape this suite."""
    assert {type(feature) for feature in SPEC.features} == set(families())


@pytest.mark.parametrize("family", [*families()], ids=lambda family: family.__name__)
def test_says_what_it_returns(family: type[Feature]) -> None:
    """Its docstring gives the type and the shape."""
    doc = family.__doc__ or ""
    assert "float32[n]" in doc or family is UserFeature


@pytest.mark.parametrize(("feature", "first", "end"), FEATURES, ids=lambda x: str(x)[:60])
class TestEachFeature:
    def test_fills_as_many_columns_as_it_declares(
        self, feature: Feature, first: int, end: int
    ) -> None:
        """A column, or one short, would be another feature's."""
        view = random_shop(1, SPEC.plan).view(IDS, MOMENT)
        if not isinstance(feature, UserFeature):
            wider = np.full((len(IDS), end - first + 2), 7.0, np.float32)
            wider[:, 1:-1] = 0.0
            feature.compute(view, wider[:, 1:-1])
            assert (wider[:, 0] == 7.0).all()
            assert (wider[:, -1] == 7.0).all()
            np.testing.assert_array_equal(wider[:, 1:-1], columns_of(view, first, end))
        assert len(set(feature.columns(SPEC))) == end - first

    def test_is_the_same_every_time(self, feature: Feature, first: int, end: int) -> None:
        """Built again from the same rows, the same bits."""
        shop = random_shop(2, SPEC.plan)
        once, again = (columns_of(shop.view(IDS, MOMENT), first, end) for _ in range(2))
        assert once.tobytes() == again.tobytes()

    @pytest.mark.parametrize("seed", range(3))
    def test_treats_each_candidate_by_itself(
        self, feature: Feature, first: int, end: int, seed: int
    ) -> None:
        """Some of the candidates, in another order, get the same bits."""
        shop = random_shop(seed, SPEC.plan)
        everything = columns_of(shop.view(IDS, MOMENT), first, end)
        some = random.Random(seed).sample(range(len(IDS)), 5)
        for chosen in (some, some[:1]):
            alone = columns_of(shop.view([IDS[i] for i in chosen], MOMENT), first, end)
            assert alone.tobytes() == everything[chosen].tobytes()

    def test_needs_no_visitor(self, feature: Feature, first: int, end: int) -> None:
        """Context alone gives finite values."""
        shop = random_shop(3, SPEC.plan)
        shop.visitor = None
        assert np.isfinite(columns_of(shop.view(IDS, Moment(NOW)), first, end)).all()

    def test_needs_no_rows(self, feature: Feature, first: int, end: int) -> None:
        """An empty shop gives finite values, equal for all unknown items."""
        values = columns_of(Shop(SPEC.plan).view(IDS, Moment(NOW)), first, end)
        assert np.isfinite(values).all()
        assert (values == values[0]).all()

    def test_needs_no_candidates(self, feature: Feature, first: int, end: int) -> None:
        """No candidates, no rows, no error."""
        values = columns_of(random_shop(4, SPEC.plan).view([], MOMENT), first, end)
        assert values.shape == (0, end - first)

    @pytest.mark.parametrize("now", [0, NOW - 10**10, NOW, 2**53])
    @pytest.mark.parametrize("size", [0.0, 1e-300, 1.0, 1e308])
    def test_is_finite_whatever_comes(
        self, feature: Feature, first: int, end: int, now: int, size: float
    ) -> None:
        """Extreme counters, weights, prices, scores and times, and rows from the future."""
        shop = extreme_shop(size)
        scores = {"i1": size, "i2": -size, "i3": math.inf}
        view = shop.view(IDS, Moment(now, utc_offset=-720, session=None), scores)
        assert np.isfinite(columns_of(view, first, end)).all()


def extreme_shop(size: float) -> Shop:
    """Rows with prices of ``size``, and counts and weights as near to it as events can bring."""
    plan = SPEC.plan
    shop = Shop(plan)
    many = min(size, 1e18)
    counters = [many] * (len(plan.events) * len(plan.half_lives))
    counts = [int(many)] * len(plan.events)
    met = TopK(NOW, 0.0, dict.fromkeys(IDS, (many, 1)))
    for id in IDS:
        attributes: dict[str, Attribute] = {"category": "shoes", "brand": "", "price": size}
        attributes |= {
            "tags": ["red", ""],
            "in_stock": True,
            "embedding": [size, -size, size, -size, 0.0],
        }
        shop.catalogue[id] = CatalogueRow(0, 1, NOW, "s1", attributes)
        opinions = {sign + other: counts for sign in "+-" for other in IDS[:4]}
        row = ItemRow(0, NOW, NOW, counters, counts, met, opinions=opinions)
        row.sessions = b"\xff\x02\x00\x00"
        shop.items[id] = row
    for key in ("global", "category:shoes", "seller*category:s1|shoes"):
        shop.segments[key] = SegmentRow(0, NOW, NOW, [0.0] * len(counters), counts)
    signs = TopK(NOW, 0.0, {"shoes": (-many, 1), "2|shoes": (many, 1), "red": (many, 1)})
    shop.visitor = VisitorRow(
        offset=0,
        at=NOW,
        first_at=NOW,
        last_at=NOW,
        counters=counters,
        counts=counts,
        affinities=[signs for _ in plan.affinities],
        numbers=[(many, 700.0 * many)],
        last=[Interaction(NOW, 0, n, 1, id) for n, id in enumerate(IDS)],
        session=Session(
            "x",
            0,
            NOW,
            1,
            counts,
            [{"shoes": -many} for _ in plan.session_index],
            [{"shoes": many} for _ in plan.shown],
        ),
    )
    return shop


def test_the_marketplace_is_finite_too() -> None:
    """The shipped preset, on a shop it does not know."""
    shop = Shop(marketplace.plan)
    matrix = feature_matrix(marketplace, shop.view(IDS, Moment(NOW)))
    assert matrix.shape == (12, len(marketplace.columns))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()
