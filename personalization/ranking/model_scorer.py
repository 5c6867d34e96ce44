"""A model's record as a scorer."""

from collections.abc import Generator, Iterator

import numpy as np

from personalization.models import Model, unpack_text
from personalization.ranking.scorer import Scorer
from personalization.ranking.tree_arrays import TreesBuilder
from personalization.ranking.tree_text import BeyondQuickScorer, read_tree, split_model
from personalization.ranking.trees import TreeScorer

_WARM_ROWS = 64


class UnusableModel(ValueError):
    """A model that cannot be served; the message says why."""


def scorer_of(model: Model) -> Scorer:
    """What scores with ``model``. Raises ``UnusableModel``."""
    preparation = Preparation(model)
    for _ in preparation:
        pass
    return preparation.scorer


class Preparation(Iterator[None]):
    """Makes a scorer in steps of a few tenths of a millisecond, so that others can run between.

    ``scorer`` is there when the steps are done. A step raises ``UnusableModel``.
    """

    scorer: Scorer

    def __init__(self, model: Model) -> None:
        self._steps = self._prepare(model)

    def __next__(self) -> None:
        return next(self._steps)

    def _prepare(self, model: Model) -> Generator[None, None, None]:
        try:
            text = unpack_text(model.text)
            yield
            try:
                scorer = yield from _quick(model, text)
            except BeyondQuickScorer:
                scorer = _slow(model, text)
            yield
            with np.errstate(over="ignore"):
                warm = scorer.score(np.zeros((_WARM_ROWS, len(model.columns)), np.float32))
        except ValueError as error:
            raise UnusableModel(f"model {model.id}: {error}") from error
        if not np.isfinite(warm).all():
            raise UnusableModel(f"model {model.id} gives scores that are not finite numbers")
        self.scorer = scorer


def _quick(model: Model, text: str) -> Generator[None, None, Scorer]:
    parts = split_model(text)
    if len(parts.columns) != len(model.columns):
        raise ValueError(f"it has {len(parts.columns)} columns, not {len(model.columns)}")
    yield
    builder = TreesBuilder()
    for tree in parts.trees:
        builder.add(read_tree(tree, len(parts.columns)))
        yield
    return TreeScorer(model.id, model.feature_set, model.columns, builder.build())


def _slow(model: Model, text: str) -> Scorer:
    from personalization.ranking.booster import BoosterScorer  # takes a second to import

    return BoosterScorer(model.id, model.feature_set, model.columns, text)
