"""A model's record as a scorer."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

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
    with usable(model):
        text = unpack_text(model.text)
        try:
            quick = QuickPreparation(model, text)
            for _ in quick:
                pass
            return quick.scorer
        except BeyondQuickScorer:
            return slow_scorer(model, text)


@contextmanager
def usable(model: Model) -> Iterator[None]:
    """Whatever is wrong with ``model`` becomes ``UnusableModel``."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnusableModel(f"model {model.id}: its text is not UTF-8") from error
    except ValueError as error:
        raise UnusableModel(f"model {model.id}: {error}") from error


class QuickPreparation(Iterator[None]):
    """Makes a ``TreeScorer`` of a model's text in steps of about 0.1 ms: others run between them.

    ``scorer`` is there when the steps are done. A step raises ``ValueError``, among them
    ``BeyondQuickScorer``.
    """

    scorer: TreeScorer

    def __init__(self, model: Model, text: str) -> None:
        self._steps = self._prepare(model, text)

    def __next__(self) -> None:
        return next(self._steps)

    def _prepare(self, model: Model, text: str) -> Generator[None, None, None]:
        parts = split_model(text)
        if len(parts.columns) != len(model.columns):
            raise ValueError(f"it has {len(parts.columns)} columns, not {len(model.columns)}")
        yield
        builder = TreesBuilder()
        for tree in parts.trees:
            builder.add(read_tree(tree, len(parts.columns)))
            yield
        scorer = TreeScorer(model.id, model.feature_set, model.columns, builder.build())
        yield
        _warm(scorer, len(model.columns))
        self.scorer = scorer


def slow_scorer(model: Model, text: str) -> Scorer:
    """LightGBM's own. Takes a second the first time. Raises ``ValueError``."""
    from personalization.ranking.booster import BoosterScorer  # imports a great deal

    scorer = BoosterScorer(model.id, model.feature_set, model.columns, text)
    _warm(scorer, len(model.columns))
    return scorer


def _warm(scorer: Scorer, columns: int) -> None:
    with np.errstate(over="ignore"):
        scores = scorer.score(np.zeros((_WARM_ROWS, columns), np.float32))
    if not np.isfinite(scores).all():
        raise ValueError("it gives scores that are not finite numbers")
