"""Models of trees: what can be read, and why something ranks high."""

import zlib
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest

from personalization.models import Model, pack_text, unpack_text
from personalization.ranking.booster import BoosterScorer
from personalization.ranking.model_scorer import Preparation, UnusableModel, scorer_of
from personalization.ranking.tree_text import UnreadableModel
from tests.boosters import Made, made, record

pytestmark = pytest.mark.kernel


def with_text(model: Model, text: str) -> Model:
    """The same model with another text."""
    return msgspec.structs.replace(model, text=pack_text(text))


@pytest.mark.parametrize(
    "params",
    [
        {"num_leaves": 65},
        {"num_leaves": 200},
        {"num_leaves": 129, "extra_trees": True, "zero_as_missing": True},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ],
    ids=str,
)
def test_larger_trees_and_forests_have_lightgbms_scores_too(params: dict[str, Any]) -> None:
    """A tree of more than 64 leaves is several groups of them; and so in tests of LightGBM as a
    scorer."""
    for seed in range(5):
        given = made(seed, min_data_in_leaf=1, **params)
        model = record(given)
        expected = given.oracle().tolist()
        assert scorer_of(model).score(given.matrix).tolist() == expected
        theirs = BoosterScorer(model.id, model.feature_set, model.columns, given.text)
        assert theirs.score(given.matrix).tolist() == expected
        assert theirs.score(given.matrix[:0]).tolist() == []


def test_a_model_without_splits_gives_every_row_its_constant() -> None:
    """Where nothing could be learned a tree is one leaf."""
    given = made(5, min_data_in_leaf=1000)
    scores = scorer_of(record(given)).score(given.matrix)
    assert scores.tolist() == given.oracle().tolist()
    assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize(
    ("find", "put", "why"),
    [
        ("tree\n", "bush\n", "not the whole text"),
        ("end of trees", "end", "not the whole text"),
        ("version=v4", "version=v9", "version 'v9'"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", "3 scores per row"),
        ("max_feature_idx=6", "max_feature_idx=5", "not as many"),
        ("num_leaves=31", "num_leaves=30", "not 29 nodes and 30 leaves"),
        ("num_leaves=31", "num_leaves=many", "cannot be read"),
        ("leaf_value=", "leaf_values=", "cannot be read"),
        ("leaf_value=", "leaf_value=nan ", "not 30 nodes"),
        ("split_feature=", "split_feature=7 ", "not 30 nodes"),
        ("\nTree=0", "\nTrees=0", "without trees"),
        ("is_linear=0", "is_linear=1", "linear trees"),
    ],
)
def test_a_damaged_model_is_refused_with_the_reason(find: str, put: str, why: str) -> None:
    """None is served half."""
    model = record(made(5, trees=1, num_leaves=31))
    text = unpack_text(model.text)
    assert find in text
    with pytest.raises(UnusableModel, match=why):
        scorer_of(with_text(model, text.replace(find, put, 1)))


@pytest.mark.parametrize(
    ("key", "change", "why"),
    [
        ("left_child", lambda words: [words[1], *words[1:]], "one parent each"),
        ("left_child", lambda words: ["99", *words[1:]], "one parent each"),
        ("split_feature", lambda words: ["7", *words[1:]], "none of 7"),
        ("split_feature", lambda words: ["-1", *words[1:]], "none of 7"),
        ("leaf_value", lambda words: ["inf", *words[1:]], "not a finite number"),
        ("leaf_value", lambda words: ["1e308"] * len(words), "not finite numbers"),
        ("decision_type", lambda words: ["14"] * len(words), "unknown kind"),
        ("decision_type", lambda words: ["1"] * len(words), "without its categories"),
        ("threshold", lambda words: ["nan"] * len(words), "threshold that is not a number"),
        ("cat_threshold", lambda words: ["-1", *words[1:]], "words of 32 bits"),
    ],
)
def test_a_tree_that_is_none_is_refused(key: str, change: Any, why: str) -> None:
    """Children, columns, values and categories are looked at before anything is scored."""
    model = record(made(5, trees=2, num_leaves=31))
    lines = unpack_text(model.text).splitlines()
    for number, line in enumerate(lines):
        if line.startswith(f"{key}="):
            lines[number] = f"{key}=" + " ".join(change(line.partition("=")[2].split()))
    with pytest.raises(UnusableModel, match=why):
        scorer_of(with_text(model, "\n".join(lines)))


def test_nodes_that_the_root_does_not_lead_to_are_refused() -> None:
    """A circle has one parent for each of its nodes too."""
    model = record(made(5, trees=1, num_leaves=4))
    text = unpack_text(model.text)
    lines = [
        {"left_child": "left_child=-1 2 1", "right_child": "right_child=-2 -3 -4"}.get(
            line.partition("=")[0], line
        )
        for line in text.splitlines()
    ]
    with pytest.raises(UnusableModel, match="its root does not lead to"):
        scorer_of(with_text(model, "\n".join(lines)))


def test_a_model_for_other_columns_is_refused() -> None:
    """Whichever way it would be scored."""
    model = msgspec.structs.replace(record(made(5)), columns=["one", "two"])
    with pytest.raises(UnusableModel, match="7 columns, not 2"):
        scorer_of(model)
    with pytest.raises(UnreadableModel, match="7 columns, not 2"):
        BoosterScorer("m1", "f1", ["one", "two"], made(5).text)
    with pytest.raises(UnusableModel, match="more than 512"):
        scorer_of(record(made(5, num_leaves=600, min_data_in_leaf=1, rows=10, data_rows=2000)))
    with pytest.raises(UnusableModel, match="not the whole text"):
        scorer_of(with_text(record(made(5)), "hello"))
    with pytest.raises(ValueError, match="columns"):
        scorer_of(record(made(5))).score(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    "packed", [b"", b"nonsense", zlib.compress(b"tree")[:-1], zlib.compress(b"\xff")]
)
def test_a_damaged_text_is_refused(packed: bytes) -> None:
    """What zlib or UTF-8 cannot read is no model."""
    with pytest.raises(UnusableModel):
        scorer_of(msgspec.structs.replace(record(made(5)), text=packed))


def test_a_scorer_is_prepared_in_small_steps() -> None:
    """One step for each tree at least, so that requests are served in between."""
    model = record(made(5, trees=40))
    preparation = Preparation(model, unpack_text(model.text))
    assert sum(1 for _ in preparation) > 40
    assert preparation.scorer.name == model.id


def test_reasons_are_the_columns_that_lift_a_candidate() -> None:
    """Where the score is made of two columns, what is high in one has that one as its reason."""
    drawn = np.random.default_rng(1)
    data = drawn.uniform(size=(2000, 3))
    params = {"num_leaves": 16, "verbose": -1, "num_threads": 1}
    labels = 3 * data[:, 1] + data[:, 2]
    booster = lightgbm.train(params, lightgbm.Dataset(data, labels), 30)
    matrix = np.array([[0.9, 0.9, 0.1], [0.9, 0.1, 0.9], [0.1, 0.1, 0.1]], np.float32)
    given = Made(booster.model_to_string(), matrix)
    model = record(given)
    theirs = BoosterScorer(model.id, model.feature_set, model.columns, given.text)
    for scorer in (scorer_of(model), theirs):
        assert scorer.reasons(matrix, [0, 1, 2], 1) == [["column_1"], ["column_2"], []]
        assert scorer.reasons(matrix, [], 1) == []
