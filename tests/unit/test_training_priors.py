"""Priors that are known are learned, and nothing is learned from what it is scored on."""

import numpy as np
import pytest
from scipy.special import betaln

from personalization.events import Stamp, StampedEvent
from personalization.features.rate import Rate
from personalization.spec import Category, Event, Spec
from personalization.training.priors import (
    TooLittle,
    Values,
    compare,
    learn,
    likeliest,
    losses,
    split,
)
from personalization.training.trials import NEVER, Trials, Tried

AT = 1_795_000_000_000
RATE = Rate("item", "click", per="impression", backoff=("category", "global"))
SPEC = Spec(
    events=[Event("impression"), Event("click", weight=1.0)],
    item=[Category("category")],
    half_lives=["1h", "30d"],
    features=[RATE],
)


def flat(rates: list[float], exposures: list[int], seed: int = 1) -> Trials:
    """Entities with these rates and so many exposures each, in random order, with no parent."""
    rng = np.random.default_rng(seed)
    entities = rng.permutation(np.repeat(np.arange(len(rates)), exposures))
    followed = rng.random(len(entities)) < np.array(rates)[entities]
    counts = np.zeros((len(rates), 2))
    known = np.empty((len(entities), 1, 2))
    for place, (entity, outcome) in enumerate(zip(entities, followed, strict=True)):
        known[place, 0] = counts[entity]
        counts[entity] += outcome, 1.0
    outcomes = np.where(followed, np.arange(len(entities)), NEVER)
    before = known[:, 0, 1].astype(np.int64)
    return Trials(known, entities, before, np.arange(len(entities)), outcomes)


def drawn(strength: float, mean: float, entities: int = 800, seed: int = 1) -> Trials:
    """Rates from a beta distribution; half of the entities are hardly exposed."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(strength * mean, strength * (1.0 - mean), entities)
    return flat(rates.tolist(), rng.choice([2, 5, 20, 80], entities).tolist(), seed)


@pytest.mark.parametrize("strength", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("mean", [0.05, 0.4])
def test_known_values_are_recovered(strength: float, mean: float) -> None:
    """Whether entities differ much or little."""
    found = learn(drawn(strength, mean))
    assert strength / 1.6 < found.strength < strength * 1.6
    assert mean / 1.15 < found.prior < mean * 1.15


def test_the_more_alike_entities_are_the_stronger_is_the_prior() -> None:
    """Up to a strength that no counts can move, which is told as nothing learned."""
    found = [likeliest(drawn(strength, 0.2)).strength for strength in (1.0, 5.0, 25.0, 125.0)]
    assert found == sorted(found)
    alike = flat([0.2] * 400, [30] * 400)
    assert likeliest(alike).strength > 1_000
    with pytest.raises(TooLittle, match="no more than by chance"):
        learn(alike)


def test_the_loss_of_a_sequence_is_its_beta_binomial_likelihood() -> None:
    """Whatever the order: the chain rule of the Pólya urn against the closed form."""
    trials, values = drawn(5.0, 0.3, entities=50), Values(7.0, 0.2)
    alpha, beta = values.strength * values.prior, values.strength * (1.0 - values.prior)
    exposures = np.bincount(trials.entities)
    events = np.bincount(trials.entities, trials.outcomes != NEVER)
    exact = betaln(alpha + events, beta + exposures - events) - betaln(alpha, beta)
    assert losses(trials, values).sum() == pytest.approx(-exact.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (flat([0.1, 0.9], [200, 200]), "only 2 entities"),
        (flat([0.0] * 50, [10] * 50), "500 exposures 0 led"),
        (flat([1.0] * 50, [10] * 50), "500 exposures 500 led"),
        (flat([], []), "only 0 entities"),
    ],
)
def test_too_little_is_said(trials: Trials, message: str) -> None:
    """And why."""
    with pytest.raises(TooLittle, match=message):
        learn(trials)


def test_nothing_is_halved_into_nothing() -> None:
    """A log without exposures has two empty halves."""
    assert [len(half.places) for half in split(flat([], []))] == [0, 0]


def test_the_root_s_prior_stays_at_the_rate_of_all_where_nothing_tells_it() -> None:
    """When the first exposures of everything are not kept any more."""
    trials = drawn(10.0, 0.3)
    root = np.broadcast_to(np.array([[[3e5, 1e6]]]), trials.known.shape)
    found = learn(trials._replace(known=np.concatenate([root, trials.known], axis=1)))
    assert found.prior == pytest.approx((trials.outcomes != NEVER).mean(), rel=0.2)
    assert 10.0 / 1.6 < found.strength < 10.0 * 1.6


def shop(seed: int, later: int | None = None) -> Tried:
    """Pages of three items, clicked at each item's own rate; from the middle on by seed ``later``,
    if one is given: other items, other clicks, at other rates."""
    tried, rng = Tried(SPEC), np.random.default_rng(seed)
    for page in range(600):
        if page == 300 and later is not None:
            rng = np.random.default_rng(later)
        items = rng.choice(40, 3, replace=False)
        stamps = [Stamp(f"i{item}", None, {"category": f"c{item % 4}"}) for item in items]
        at = AT + 60_000 * page
        tried.take(StampedEvent("impression", f"v{page}", at, stamps))
        for item, stamp in zip(items, stamps, strict=True):
            rate = (item % 8) / 10 if page < 300 else 0.9 - (item % 8) / 10
            if rng.random() < rate:
                tried.take(StampedEvent("click", f"v{page}", at + 1, [stamp]))
    return tried


@pytest.mark.parametrize("later", [2, 3])
def test_what_comes_later_changes_nothing_that_was_learned(later: int) -> None:
    """The values are those of the first half, whatever the second half turns out to be."""
    (earlier, rest), (other, changed) = (split(shop(1, then).of(RATE)) for then in (None, later))
    assert learn(earlier) == learn(other)
    assert not np.array_equal(rest.outcomes, changed.outcomes)
    assert earlier.places.max() < rest.places.min()


def test_an_outcome_that_comes_after_the_split_is_not_known_before_it() -> None:
    """It was not there to learn from."""
    trials = drawn(10.0, 0.3, entities=50)
    late = trials._replace(outcomes=np.full_like(trials.outcomes, trials.places[-1]))
    earlier, later = split(late)
    assert set(earlier.outcomes.tolist()) == {NEVER}
    assert set(later.outcomes.tolist()) == {trials.places[-1]}


def test_the_comparison_is_paired_and_by_what_was_known() -> None:
    """True values beat wrong ones on what is new most of all; equal ones gain nothing."""
    trials, true, wrong = drawn(4.0, 0.3), Values(4.0, 0.3), Values(100.0, 0.02)
    cells = compare(trials, wrong, true)
    assert list(cells) == ["all", "0", "1-9", "10-99"]
    assert cells["all"].exposures == len(trials.places)
    assert sum(cells[name].exposures for name in list(cells)[1:]) == len(trials.places)
    assert cells["0"].exposures == cells["0"].entities == cells["all"].entities == 800
    assert cells["0"].gain[0] > cells["10-99"].gain[0]
    for cell in cells.values():
        assert cell.gain[1] > 0.0
        assert cell.gain[0] == pytest.approx(cell.declared[0] - cell.learned[0])
        assert 0.2 < cell.rate < 0.4
    same = compare(trials, true, true)["all"]
    assert same.gain == (0.0, 0.0, 0.0)
    assert same.declared == same.learned
