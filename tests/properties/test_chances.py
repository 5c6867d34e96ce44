"""Every place of a page is drawn from known chances: they can be computed from the record."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.features.view import F64, I64
from personalization.guarantee import Guarantee
from personalization.ranking import choose as choosing
from personalization.ranking.choose import CAPPED, Choice, Terms, choose
from personalization.ranking.select import Ballot, select
from personalization.ranking.surface import Surface
from personalization.ranking.values import RecordedValues, recall
from tests.chances import chances

SELLERS, CATEGORIES = ["s1", "s2", None], ["c1", "c2", "c3", None]
LATE = st.floats(-0.3, 2.0)


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordedValues, list[float], Surface, int]:
    """What a decision keeps of its candidates, their scores, a surface, and how long a page is."""
    n = draw(st.integers(1, 12))
    each = st.integers(0, n - 1)
    values = RecordedValues(
        draw(st.lists(st.sampled_from([True, True, True, False]), min_size=n, max_size=n)),
        draw(st.lists(st.sampled_from([False, False, False, True]), min_size=n, max_size=n)),
        {
            "category": draw(st.lists(st.sampled_from(CATEGORIES), min_size=n, max_size=n)),
            "seller": draw(st.lists(st.sampled_from(SELLERS), min_size=n, max_size=n)),
        },
        {},
        {},
        {},
        (draw(st.dictionaries(each, LATE)), draw(st.dictionaries(each, LATE))),
    )
    scores = draw(st.lists(st.integers(-3, 3).map(float), min_size=n, max_size=n))
    surface = Surface(
        caps=draw(st.sampled_from([{}, {"seller": 1}, {"seller": 2, "category": 1}])),
        diversity=draw(st.sampled_from([{}, {"category": 0.5}])),
        temperature=draw(st.sampled_from([0.0, 0.7, 2.0])),
        guarantee=draw(st.sampled_from([None, Guarantee(every=2), Guarantee(every=3)])),
    )
    return values, scores, surface, draw(st.integers(1, 9))


def chosen(
    values: RecordedValues, scores: list[float], surface: Surface, limit: int, seed: int
) -> tuple[Choice, set[int]]:
    """The page, and the candidates that cannot be on any."""
    ids = [f"i{n}" for n in range(len(scores))]
    nothing = frozenset[str]()
    terms = Terms(surface, [], None, nothing, nothing, nothing, limit, seed)
    choice = choose(recall(values, ids), np.array(scores), terms)
    return choice, {ids.index(i) for i, why in choice.dropped.items() if why != CAPPED}


@pytest.mark.kernel
@given(records(), st.integers(0, 2**64 - 1))
def test_chances_sum_to_one_and_are_those_logged(
    record: tuple[RecordedValues, list[float], Surface, int], seed: int
) -> None:
    """At each place: over all who may have it, with caps, mixing, unknown ones and what is owed
    to new ones. What was drawn had the chance that was logged, and a page ends where nobody may
    come."""
    values, scores, surface, limit = record
    choice, dropped = chosen(values, scores, surface, limit, seed)
    page = choice.order.tolist()
    for place, candidate in enumerate(page):
        found = chances(values, scores, surface, dropped, page[:place])
        assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
        assert found[candidate] == pytest.approx(float(choice.propensities[place]), rel=1e-9)
        reasons = [reason for reason in choice.reasons[place] if reason.startswith("guarantee:")]
        if reasons:
            assert surface.guarantee is not None
            assert (place + 1) % surface.guarantee.every == 0
    if len(page) < limit:
        assert chances(values, scores, surface, dropped, page) == {}


@pytest.mark.parametrize("draws", [5_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_chances_are_the_frequencies(monkeypatch: pytest.MonkeyPatch, draws: int) -> None:
    """How often each candidate came to each place, against the sum of its chances there."""
    values = RecordedValues(
        [True] * 8,
        [False] * 8,
        {"category": ["c1", "c1", "c2", "c2", "c3", "c3", "c1", "c2"], "seller": ["s1"] * 8},
        {},
        {},
        {},
        ({1: 0.9, 4: 0.85, 6: 0.88, 7: 0.3}, {5: 0.95}),
    )
    scores = [2.0, -1.0, 1.5, 1.0, 0.0, 0.5, -0.5, -2.0]
    surface = Surface(
        caps={"category": 2},
        diversity={"category": 0.4},
        temperature=0.8,
        guarantee=Guarantee(every=2),
    )
    limit = 5
    ballots: list[Ballot] = []

    def keep(ballot: Ballot, temperature: float, seed: int) -> tuple[I64, F64]:
        ballots.append(ballot)
        return select(ballot, temperature, seed)

    monkeypatch.setattr(choosing, "select", keep)
    chosen(values, scores, surface, limit, 0)
    pages = Counter(
        tuple(select(ballots[0], surface.temperature, seed)[0].tolist()) for seed in range(draws)
    )
    drawn = np.zeros((limit, len(scores)))
    expected = np.zeros((limit, len(scores)))
    for page, times in pages.items():
        for place, candidate in enumerate(page):
            drawn[place, candidate] += times
            for one, chance in chances(values, scores, surface, set(), page[:place]).items():
                expected[place, one] += times * chance
    # Five standard deviations: of 40 counts none in 40,000 runs is further out by chance.
    bound = 5.0 * np.sqrt(expected * (1.0 - expected / draws)) + 1e-6
    assert (np.abs(drawn - expected) <= bound).all()
    assert set(drawn[1].nonzero()[0].tolist()) == {1, 4, 5, 6}
