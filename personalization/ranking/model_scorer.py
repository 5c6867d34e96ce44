"""A model's record as a scorer."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import numpy as np

from personalization.models import Model, unpack_text
from personalization.ranking.tree_arrays import TreesBuilder
from personalization.ranking.tree_text import read_tree, split_model
from personalization.ranking.trees import TreeScorer

_WARM_ROWS = 64


class UnusableModel(ValueError):
    """A model that cannot be served; the message says why."""


def scorer_of(model: Model) -> TreeScorer:
    """What scores with ``model``. Raises ``UnusableModel``."""
    with usable(model):
        preparation = Preparation(model, unpack_text(model.text))
        for _ in preparation:
            pass
        return preparation.scorer


@contextmanager
def usable(model: Model) -> Iterator[None]:
    """Whatever is wrong with ``model`` becomes ``UnusableModel``."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnusableModel(f"model {model.id}: its text is not UTF-8") from error
    except ValueError as error:
        raise UnusableModel(f"model {model.id}: {error}") from error


class Preparation(Iterator[None]):
    """Makes the scorer of a model, whose text is unpacked, in steps: others run between them.

    A step takes about 0.1 ms where trees have 31 leaves. ``scorer`` is there when they are done.
    A step raises ``ValueError``.
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
        with np.errstate(over="ignore"):
            scores = scorer.score(np.zeros((_WARM_ROWS, len(model.columns)), np.float32))
        if not np.isfinite(scores).all():
            raise ValueError("it gives scores that are not finite numbers")
        self.scorer = scorer
