"""Examples: lists of what was seen together, with the features as they were then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from personalization.features.view import F32, F64, I32, I64


@dataclass(frozen=True, slots=True)
class Examples:
    """Lists in the order of time, n rows in all.

    ``matrix`` float32[n, columns], ``labels`` and ``weights`` float32[n], ``groups`` int32[lists]
    their lengths, ``at`` int64[lists] in ms. Where it is known: ``positions`` int32[n] from 0,
    ``propensities`` float32[n] of the draw (NaN: none), ``visitors`` int64[lists] (a number for
    each), ``cohorts`` int64[lists] (bits).
    """

    matrix: F32
    labels: F32
    groups: I32
    at: I64
    weights: F32
    positions: I32 | None = None
    propensities: F32 | None = None
    visitors: I64 | None = None
    cohorts: I64 | None = None

    def __len__(self) -> int:
        """How many lists."""
        return len(self.groups)

    @property
    def starts(self) -> I64:
        """Where each list begins, and where the last one ends: int64[lists + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.groups, dtype=np.int64)])

    def part(self, first: int, end: int) -> "Examples":
        """The lists from ``first`` up to ``end``."""
        starts = self.starts
        rows = slice(int(starts[first]), int(starts[end]))
        lists = slice(first, end)
        return Examples(
            self.matrix[rows],
            self.labels[rows],
            self.groups[lists],
            self.at[lists],
            self.weights[rows],
            None if self.positions is None else self.positions[rows],
            None if self.propensities is None else self.propensities[rows],
            None if self.visitors is None else self.visitors[lists],
            None if self.cohorts is None else self.cohorts[lists],
        )

    def shuffled(self, seed: int) -> "Examples":
        """The same with labels that say nothing: those of each list in a random order."""
        random = np.random.default_rng(seed)
        labels = self.labels.copy()
        starts = self.starts.tolist()
        for first, end in pairwise(starts):
            random.shuffle(labels[first:end])
        return replace(self, labels=labels)


@dataclass(frozen=True, slots=True)
class Split:
    """In time: what is trained on, what stops that early, and what is reported on (of the model
    to serve: nothing). No list of one part is as old as any of the next."""

    train: Examples
    stop: Examples
    report: Examples


def forward(
    examples: Examples, *, first: float = 0.5, folds: int = 2, stop: float = 0.15
) -> list[Split]:
    """Reports on the newest lists in ``folds`` equal parts, the first after the share ``first`` of
    all: each part by a model of what came before it (forward chaining: Tashman, Out-of-sample
    tests of forecasting accuracy, 2000). The last split has all lists and reports on none.

    ``stop`` is the share of what comes before that stops early. Lists of one millisecond stay
    together. Raises ``ValueError`` where a part would be empty.
    """
    lists = len(examples)
    share = (1.0 - first) / folds
    ends = [_boundary(examples.at, round(lists * (first + share * fold))) for fold in range(folds)]
    splits = []
    for end, until in pairwise([*ends, lists, lists]):
        cut = _boundary(examples.at, round(end * (1.0 - stop)))
        if not 0 < cut < end or (until == end and end < lists):
            raise ValueError(f"{lists} pages are too few to be split in time")
        splits.append(
            Split(examples.part(0, cut), examples.part(cut, end), examples.part(end, until))
        )
    return splits


def _boundary(at: I64, place: int) -> int:
    """The first list at or after the time of the one at ``place``."""
    return int(np.searchsorted(at, at[min(max(place, 0), len(at) - 1)])) if len(at) else 0


def graded(labels: F32) -> tuple[I32, Sequence[float]]:
    """``labels`` as grades 0, 1, …, and the gain of each: LightGBM takes whole numbers.

    >>> graded(np.array([0, 3, 1, 3], np.float32))[0].tolist()
    [0, 2, 1, 2]
    """
    gains: F64
    gains, grades = np.unique(np.append(labels, 0.0), return_inverse=True)
    return grades[:-1].astype(np.int32), gains.tolist()


def joined(parts: Sequence[Examples]) -> Examples:
    """The lists of several, in the order of time; of one time those of the first part first.

    Only what all lists have is kept: matrix, labels, weights and time.
    """
    at = np.concatenate([part.at for part in parts])
    order = np.argsort(at, kind="stable")
    groups = np.concatenate([part.groups for part in parts])
    ends = np.cumsum(groups, dtype=np.int64)
    rows = np.concatenate(
        [np.arange(ends[place] - groups[place], ends[place]) for place in order.tolist()]
    )
    return Examples(
        np.concatenate([part.matrix for part in parts])[rows],
        np.concatenate([part.labels for part in parts])[rows],
        groups[order],
        at[order],
        np.concatenate([part.weights for part in parts])[rows],
    )
