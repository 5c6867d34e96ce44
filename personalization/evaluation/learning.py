"""Learning to rank within the pass: examples taken when queries are asked, and a model of them."""

from collections.abc import Sequence

import numpy as np

from personalization.features.view import F32, I64, Bool
from personalization.ranking.scorer import Scorer
from personalization.ranking.tree_arrays import TreesBuilder
from personalization.ranking.tree_text import read_tree, split_model
from personalization.ranking.trees import TreeScorer
from personalization.training.examples import Examples
from personalization.training.fit import fit as fit_examples
from personalization.training.labels import Objective

HELD_OUT = 0.15
FEWEST = 100

_MANY = {"learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 100, "lambda_l2": 1.0}
# Of some hundred candidates one is wanted: what counts is whether it comes among the first, in a
# long list as much as in a short one. What differs by chance evens out over many small trees.
_LONG_LISTS = {
    **_MANY,
    "learning_rate": 0.05,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.4,
    "max_bin": 63,
    "lambdarank_truncation_level": 20,
    "lambdarank_norm": False,
}


class Collected:
    """Examples as they come. Only the last ``most`` lists are kept; ``missed`` counts those that
    no source had found what they were about for."""

    def __init__(self, most: int = 20_000) -> None:
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

    def examples(self, since: int = 0) -> Examples | None:
        """All lists from ``since`` (ms) on, if there are any."""
        lists = [one for one in self._lists if one[0] >= since]
        if not lists:
            return None
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
    examples: Examples | None,
    feature_set: str,
    columns: Sequence[str],
    objective: Objective = "lambdarank",
) -> Scorer | None:
    """A model as ``freshet train`` fits it, scored as a server scores; the newest lists stop it.

    ``None`` where there are few, or all outcomes are the same.
    """
    if examples is None or len(examples) < FEWEST:
        return None
    lists = len(examples)
    split = lists - max(1, int(lists * HELD_OUT))
    train, stop = examples.part(0, split), examples.part(split, lists)
    if any(len(np.unique(part.labels)) < 2 for part in (train, stop)):
        return None
    fitted = fit_examples(
        train,
        stop,
        columns,
        objective=objective,
        parameters=_LONG_LISTS if objective == "lambdarank" else _MANY,
    )
    parts = split_model(fitted.text)
    builder = TreesBuilder()
    for tree in parts.trees:
        builder.add(read_tree(tree, len(parts.columns)))
    return TreeScorer("model", feature_set, columns, builder.build())
