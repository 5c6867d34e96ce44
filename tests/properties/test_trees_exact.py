"""Trees scored here and by LightGBM: the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.ranking.model_scorer import scorer_of
from tests.boosters import Made, made, record


def same_bits(given: Made) -> None:
    """Fails where a score has another bit than LightGBM's."""
    ours, theirs = scorer_of(record(given)).score(given.matrix), given.oracle()
    differs = np.flatnonzero(ours.view(np.uint64) != theirs.view(np.uint64))
    assert len(differs) == 0, (given.matrix[differs[0]], ours[differs[0]], theirs[differs[0]])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31 - 1),
    num_leaves=st.sampled_from([2, 3, 7, 31, 32, 33, 63, 64, 65, 200]),
    objective=st.sampled_from(["regression", "binary", "lambdarank"]),
    boosting=st.sampled_from(["gbdt", "dart", "rf"]),
    missing=st.sampled_from(["nan", "zero", "none"]),
    max_cat_to_onehot=st.sampled_from([1, 4, 64]),
    extra_trees=st.booleans(),
)
def test_every_score_is_lightgbms(
    seed: int,
    num_leaves: int,
    objective: str,
    boosting: str,
    missing: str,
    max_cat_to_onehot: int,
    extra_trees: bool,
) -> None:
    """Whatever a booster was trained with, and whatever it scores: missing values, zeros,
    infinities, thresholds and what is next to them, categories known, unknown and impossible."""
    same_bits(
        made(
            seed,
            num_leaves=num_leaves,
            objective=objective,
            boosting=boosting,
            bagging_freq=1,
            bagging_fraction=0.7,
            min_data_in_leaf=1,
            use_missing=missing != "none",
            zero_as_missing=missing == "zero",
            max_cat_to_onehot=max_cat_to_onehot,
            extra_trees=extra_trees,
        )
    )


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 63, 64, 65, 130])
def test_a_score_is_the_same_whatever_stands_beside_it(rows: int) -> None:
    """Blocks of rows are filled up; what they are filled with is nobody's score."""
    given = made(3, rows=rows, trees=3)
    same_bits(given)
    scorer = scorer_of(record(given))
    alone = [scorer.score(given.matrix[row : row + 1])[0] for row in range(rows)]
    assert scorer.score(given.matrix).tolist() == alone
