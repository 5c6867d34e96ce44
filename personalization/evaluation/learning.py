"""Learning to rank within the pass: examples taken when queries are asked, and a model of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from personalization.features.view import F32, I32, I64, Bool
from personalization.ranking.scorer import Scorer
from personalization.ranking.tree_arrays import TreesBuilder
from personalization.ranking.tree_text import read_tree, split_model
from personalization.ranking.trees import TreeScorer

SEED = 7
HELD_OUT = 0.15


@dataclass(frozen=True, slots=True)
class Examples:
    """Lists in the order of time. ``matrix`` float32[n, columns], ``labels`` and ``weights``
    float32[n], ``groups`` int32[lists] their lengths, ``at`` int64[lists] in ms."""

    matrix: F32
    labels: F32
    groups: I32
    at: I64
    weights: F32


class Collected:
    """Examples as they come. Only the last ``most`` lists are kept; ``missed`` counts those that
    no source had found what they were about for."""

    def __init__(self, most: int = 8_000) -> None:
        self.missed = 0
        self._most = most
        self._lists: list[tuple[int, F32, F32]] = []

    def add(self, at: int, matrix: F32, labels: F32) -> None:
        """One list, asked at ``at`` ms."""
        self._lists.append((at, matrix, labels))
        if len(self._lists) > self._most:
            del self._lists[: self._most // 10]

    def __len__(self) -> int:
        return len(self._lists)

    def examples(self, since: int = 0) -> Examples:
        """All lists from ``since`` (ms) on."""
        lists = [one for one in self._lists if one[0] >= since]
        labels = np.concatenate([one[2] for one in lists])
        return Examples(
            np.concatenate([one[1] for one in lists]),
            labels,
            np.array([len(one[2]) for one in lists], np.int32),
            np.array([one[0] for one in lists], np.int64),
            np.ones(len(labels), np.float32),
        )


def some_of(labels: F32, allowed: Bool, negatives: int, random: np.random.Generator) -> I64:
    """Places in a list to learn from: all that are labelled, and up to ``negatives`` others, both
    only where ``allowed``."""
    wanted = np.flatnonzero(allowed & (labels > 0.0))
    others = np.flatnonzero(allowed & (labels == 0.0))
    if len(others) > negatives:
        others = random.choice(others, negatives, replace=False)
    return np.sort(np.concatenate([wanted, others]))


def fit(
    examples: Examples, feature_set: str, columns: Sequence[str], objective: str = "lambdarank"
) -> Scorer:
    """A LightGBM model; early stopping on the newest lists."""
    lists = len(examples.groups)
    split = lists - max(1, int(lists * HELD_OUT))
    rows = int(examples.groups[:split].sum())
    ranked = objective == "lambdarank"

    def dataset(first: slice, groups: I32, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            examples.matrix[first],
            examples.labels[first],
            group=groups if ranked else None,
            feature_name=list(columns),
            reference=reference,
            params={"verbose": -1},
        )

    train = dataset(slice(0, rows), examples.groups[:split], None)
    valid = dataset(slice(rows, None), examples.groups[split:], train)
    parameters = {
        "objective": objective,
        "metric": "ndcg" if ranked else "binary_logloss",
        "eval_at": [10],
        "learning_rate": 0.08,
        "num_leaves": 31,
        "min_data_in_leaf": min(500, 20 + rows // 1000),
        "lambda_l2": 1.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        # Of some hundred candidates one is wanted: all pairs with it count, and as much as in a
        # short list.
        "lambdarank_truncation_level": 150,
        "lambdarank_norm": False,
        "num_threads": 2,
        "deterministic": True,
        "seed": SEED,
        "verbose": -1,
    }
    model = lightgbm.train(
        parameters,
        train,
        400,
        valid_sets=[valid],
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
    )
    return _scorer(model, feature_set, columns)


def _scorer(model: lightgbm.Booster, feature_set: str, columns: Sequence[str]) -> Scorer:
    """The model as a server scores with it."""
    parts = split_model(model.model_to_string())
    builder = TreesBuilder()
    for tree in parts.trees:
        builder.add(read_tree(tree, len(parts.columns)))
    return TreeScorer("model", feature_set, columns, builder.build())
