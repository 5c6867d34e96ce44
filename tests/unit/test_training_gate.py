"""What is better is promoted; what is not, is refused in words."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from personalization.features.view import F32, F64
from personalization.training.card import markdown
from personalization.training.course import Trained, finish, learn
from personalization.training.examples import Examples
from personalization.training.fit import fit, position_offsets, spread
from personalization.training.gate import ndcg
from personalization.training.labels import Objective, outcomes
from personalization.training.off_policy import Places
from tests.training_shop import FORMULA, PAGE, SPEC, traffic

LISTS, SIZE = 500, 8
COLUMNS = len(SPEC.columns)


class ByColumn:
    """Scores by one column, or nothing (-1)."""

    name = "by column"
    feature_set = SPEC.feature_set_id

    def __init__(self, column: int, times: float = 1.0) -> None:
        self._column = column
        self._times = times

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByColumn) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[int, float]:
        return self._column, self._times

    def score(self, matrix: F32) -> F64:
        if self._column < 0:
            return np.zeros(len(matrix))
        return self._times * matrix[:, self._column].astype(np.float64)

    def reasons(self, matrix: F32, rows: Sequence[int], most: int) -> list[list[str]]:
        return [[] for _ in rows]


def examples(seed: int = 1) -> Examples:
    """Pages on which what is clicked depends on the first column, and on its place."""
    random = np.random.default_rng(seed)
    rows = LISTS * SIZE
    # One column after another, so that the first does not depend on how many the spec has.
    matrix = np.stack([random.normal(size=rows).astype(np.float32) for _ in range(COLUMNS)], axis=1)
    positions = np.tile(np.arange(SIZE, dtype=np.int32), LISTS)
    logits = 1.5 * matrix[:, 0] - 1.5 - 0.3 * positions
    happens = np.random.default_rng(seed + 1).random(rows)
    labels = (happens < 1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    return Examples(
        matrix,
        labels,
        np.full(LISTS, SIZE, np.int32),
        np.arange(LISTS, dtype=np.int64) * 1_000,
        np.ones(rows, np.float32),
        positions,
        np.full(rows, np.nan, np.float32),
        np.arange(LISTS, dtype=np.int64) % 300,
        np.ones(LISTS, np.int64),
    )


@cache
def trained(in_service: ByColumn, objective: Objective = "pointwise", **more: Any) -> Trained:
    """Learned from ``examples``."""

    def quiet(done: int, total: int) -> None:
        assert done <= total

    learned = learn(
        examples(), SPEC, in_service, objective=objective, progress=quiet, threads=1, **more
    )
    places = Places(learned.judged[-1], in_service, lambda decision: None)
    return finish(
        learned,
        SPEC,
        in_service,
        places,
        objective=objective,
        labels=outcomes(SPEC, objective),
        sources={"decisions": LISTS * SIZE},
    )


@pytest.mark.parametrize("objective", ["pointwise", "lambdarank", "binary"])
def test_what_learned_something_is_promoted(objective: Objective) -> None:
    """Against a scorer that looks at the wrong column."""
    made = trained(ByColumn(1), objective)
    assert made.verdict.promote, made.verdict.why
    assert next(iter(made.fitted.importance)) == SPEC.columns[0]


def test_noise_is_refused_in_words() -> None:
    """A model of shuffled labels is worse than the right column, and no better than nothing."""
    for in_service in (ByColumn(0), ByColumn(-1)):
        made = trained(in_service, shuffle=True)
        assert not made.verdict.promote
        assert "not better, or it may be worse" in made.verdict.why


def test_what_is_as_good_as_what_serves_is_refused() -> None:
    """The column that says it all cannot be beaten."""
    assert not trained(ByColumn(0)).verdict.promote


def test_the_card_is_complete() -> None:
    """Window, pages and outcomes of every part, sources, figures by cohort, importance, and why."""
    made = trained(ByColumn(1))
    card = made.card
    assert card["parts"]["train"]["pages"] + card["parts"]["stop"]["pages"] == LISTS
    assert [each["reported"]["pages"] for each in card["judged"]] == [125, 125]
    assert card["sources"] == {"decisions": LISTS * SIZE}
    assert set(card["ndcg"]["all"]) == {"candidate", "in_service", "difference"}
    assert sum(card["importance"].values()) == pytest.approx(1.0, abs=0.01)
    assert made.window == (0, (LISTS - 1) * 1_000)
    text = markdown("m1", card)
    for said in ("m1", "by column", "promote", "NDCG@10", SPEC.columns[0], "outcome"):
        assert said in text


def test_the_same_seed_gives_the_same_model() -> None:
    """To the byte."""
    again = trained.__wrapped__(ByColumn(1))
    assert trained(ByColumn(1)).fitted.text == again.fitted.text


def test_a_model_has_the_units_of_what_serves() -> None:
    """Its scores spread as widely within a page."""
    whole = examples()
    train, stop = whole.part(0, 375), whole.part(375, LISTS)
    like = ByColumn(0, times=7.0)
    scorer = fit(train, stop, SPEC.columns, objective="pointwise", like=like, threads=1).scorer(
        "m", SPEC.feature_set_id
    )
    wanted = spread(stop, like.score(stop.matrix))
    assert spread(stop, scorer.score(stop.matrix)) == pytest.approx(wanted, rel=0.01)


def test_probabilities_are_calibrated() -> None:
    """Binary: what is given 30 % happens in 30 %, at an average place."""
    whole = examples()
    train, stop = whole.part(0, 375), whole.part(375, LISTS)
    fitted = fit(train, stop, SPEC.columns, objective="binary", threads=1)
    logits = fitted.scorer("m", SPEC.feature_set_id).score(stop.matrix)
    expected = 1.0 / (1.0 + np.exp(-logits))
    assert expected.mean() == pytest.approx(stop.labels.mean(), abs=0.03)


def test_what_positions_do_is_found() -> None:
    """From a pilot that knows all but positions: 0.3 of a logit for each place."""
    some = examples()
    rate = np.log(some.labels.mean() / (1 - some.labels.mean()))
    offsets = position_offsets(some, 1.5 * some.matrix[:, 0].astype(np.float64) + rate)
    slope = np.polyfit(np.arange(SIZE), offsets[:SIZE], 1)[0]
    assert slope == pytest.approx(-0.3, abs=0.1)


def test_ndcg_by_hand() -> None:
    """One page: the clicked item in the second of three places; ties are shared."""
    one = Examples(
        np.zeros((3, 1), np.float32),
        np.array([0, 1, 0], np.float32),
        np.array([3], np.int32),
        np.array([0], np.int64),
        np.ones(3, np.float32),
    )
    assert ndcg(one, np.array([3.0, 2.0, 1.0]))[0] == pytest.approx(1.0 / np.log2(3))
    tied = ndcg(one, np.zeros(3))[0]
    assert tied == pytest.approx((1.0 + 1.0 / np.log2(3) + 0.5) / 3)


def test_too_few_pages_are_said_to_be_too_few() -> None:
    """Nothing is promoted on a handful of pages."""
    with pytest.raises(ValueError, match="too few"):
        learn(
            examples().part(0, 3),
            SPEC,
            ByColumn(1),
            objective="pointwise",
            progress=lambda *_: None,
        )


def test_draws_tell_what_another_scorer_would_have_earned() -> None:
    """Where it is the one that drew, its weights are 1, and another is told apart from it."""
    told = traffic(3, 400, temperature=1.0, served=1.0)

    def reward(decision: Any) -> tuple[float, int]:
        first = decision.candidates[decision.shown[0].candidate]
        return float(int(first[1:]) % 4 == 0), int(decision.visitor[1:])

    other = ByColumn(SPEC.columns.index("item_click_per_impression"), times=30.0)
    places = Places(other, FORMULA, reward)
    for decision in told.decisions:
        assert len(decision.shown) == PAGE
        places.take(decision)
    assert places.drawn == len(told.decisions)
    assert places.effective() < places.drawn
    compared = places.compared(1)
    rewards = np.mean([reward(decision)[0] for decision in told.decisions])
    assert compared["in_service"][0] == pytest.approx(rewards)
    low, high = compared["difference"][1:]
    assert low <= compared["difference"][0] <= high
