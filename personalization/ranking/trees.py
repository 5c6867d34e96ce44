"""LightGBM's models scored by V-QuickScorer, to the bits of ``Booster.predict(raw_score=True)``.

Tree by tree over blocks of rows, as in Lucchese et al., Exploiting CPU SIMD extensions to speed up
document scoring with tree ensembles, SIGIR 2016: no branch depends on a row, so the loops over a
block compile to vector instructions. ``tree_arrays`` says what the masks are.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from personalization.decay import kernel
from personalization.features.view import F32, F64, I64
from personalization.ranking.lifts import strongest_lifts
from personalization.ranking.tree_arrays import (
    NAN_IS_ZERO,
    NAN_LEFT,
    U32,
    ZERO_LEFT,
    ZERO_RIGHT,
    Masks,
    Trees,
)

_BLOCK = 64
_LANES = 8
_ZERO = np.float32(1e-35)  # LightGBM's kZeroThreshold: what is not further from 0 is 0
# Not above any threshold, and not at or below any.
_ALWAYS_LEFT, _ALWAYS_RIGHT = np.float32(-np.inf), np.float32(np.nan)
_CATEGORIES = 2.0**31  # LightGBM's are int32

I32 = npt.NDArray[np.int32]


class TreeScorer:
    """Scores rows of ``feature_set``, whose columns are ``columns``, with ``trees``."""

    def __init__(self, name: str, feature_set: str, columns: Sequence[str], trees: Trees) -> None:
        self.name = name
        self.feature_set = feature_set
        self._columns = list(columns)
        self._trees = trees

    def score(self, matrix: F32) -> F64:
        """Logits, float64[n], for ``matrix`` float32[n, k]. Raises ``ValueError`` for another k."""
        scores = np.zeros(len(matrix))
        leaf_sums(self._leaves(matrix), self._trees.leaf_value, scores)
        return scores

    def reasons(self, matrix: F32, rows: Sequence[int], most: int) -> list[list[str]]:
        """For each of ``rows`` the columns that lift it most above the mean of all.

        What a column lifts is the sum of what its splits add to a row's output on the row's way
        to its leaves (Saabas, Interpreting random forests, 2014).
        """
        if not rows:
            return []
        parts = np.zeros((len(matrix), len(self._columns)))
        trees = self._trees
        path_sums(self._leaves(matrix), trees.path_from, trees.path_column, trees.path_gain, parts)
        return strongest_lifts(parts, rows, most, self._columns)

    def _leaves(self, matrix: F32) -> I32:
        """The leaf that each row reaches in each tree, int32[T, n]."""
        if matrix.shape[1] != len(self._columns):
            raise ValueError(f"{matrix.shape[1]} columns, not {len(self._columns)}")
        trees = self._trees
        leaves = np.empty((trees.group_tree[-1] + 1, len(matrix)), np.int32)
        exit_leaves(
            matrix,
            trees.group_tree,
            trees.group_leaf,
            trees.plane_column,
            trees.plane_kind,
            trees.node_from,
            trees.node_plane,
            trees.node_threshold,
            trees.node_mask,
            trees.set_from,
            trees.set_column,
            trees.set_mask,
            trees.set_bits_from,
            trees.set_bits,
            leaves,
        )
        return leaves


@kernel("void(float32[:, :], int64, int64, int64, int64[::1], int64[::1], float32[:, ::1])")
def fill_planes(
    matrix: F32, first: int, rows: int, width: int, columns: I64, kinds: I64, planes: F32
) -> None:
    """The planes of ``rows`` rows from ``first`` on; zeros up to ``width``."""
    for p in range(len(columns)):
        column, kind = columns[p], kinds[p]
        for r in range(rows):
            x = matrix[first + r, column]
            missing = np.isnan(x)
            if abs(x) <= _ZERO or (missing and kind == NAN_IS_ZERO):
                x = np.float32(0.0)
                missing = kind in (ZERO_LEFT, ZERO_RIGHT)
            if missing:
                left = kind in (NAN_LEFT, ZERO_LEFT)
                x = _ALWAYS_LEFT if left else _ALWAYS_RIGHT
            planes[p, r] = x
        for r in range(rows, width):
            planes[p, r] = np.float32(0.0)


@kernel("boolean(float32, uint32[:])")
def is_among(x: float, bits: U32) -> bool:
    """Whether the category ``x`` is in a set; one that is missing, below 0 or unknown is not."""
    if not -1.0 < x < _CATEGORIES:
        return False
    category = np.int64(x)
    word = category >> 5
    return bool(word < len(bits) and (np.int64(bits[word]) >> (category & 31)) & 1)


@kernel(
    *(
        "void(float32[:, :], int64[::1], int64[::1], int64[::1], int64[::1],"
        f" int64[::1], int64[::1], float32[::1], {word}[::1],"
        f" int64[::1], int64[::1], {word}[::1], int64[::1], uint32[::1],"
        " int32[:, ::1])"
        for word in ("uint32", "uint64")
    )
)
def exit_leaves(
    matrix: F32,
    group_tree: I64,
    group_leaf: I64,
    plane_column: I64,
    plane_kind: I64,
    node_from: I64,
    node_plane: I64,
    node_threshold: F32,
    node_mask: Masks,
    set_from: I64,
    set_column: I64,
    set_mask: Masks,
    set_bits_from: I64,
    set_bits: U32,
    leaves: I32,
) -> None:
    """Write the leaf of each row in each tree into ``leaves`` int32[T, n]; for the rest, ``Trees``.

    Blocks are filled up to whole vectors; what is computed of the filling is not written.
    """
    one = node_mask.dtype.type(1)
    every = ~node_mask.dtype.type(0)
    planes = np.empty((len(plane_column), _BLOCK), np.float32)
    left = np.empty(_BLOCK, node_mask.dtype)
    for first in range(0, len(matrix), _BLOCK):
        rows = min(_BLOCK, len(matrix) - first)
        width = (rows + _LANES - 1) // _LANES * _LANES
        fill_planes(matrix, first, rows, width, plane_column, plane_kind, planes)
        for group in range(len(group_tree)):
            for r in range(width):
                left[r] = every
            for node in range(node_from[group], node_from[group + 1]):
                threshold, mask = node_threshold[node], node_mask[node]
                plane = planes[node_plane[node]]
                for r in range(width):
                    left[r] &= every if plane[r] <= threshold else mask
            for node in range(set_from[group], set_from[group + 1]):
                bits = set_bits[set_bits_from[node] : set_bits_from[node + 1]]
                for r in range(rows):
                    if not is_among(matrix[first + r, set_column[node]], bits):
                        left[r] &= set_mask[node]
            tree, lowest_leaf = group_tree[group], np.int32(group_leaf[group])
            follows = group > 0 and group_tree[group - 1] == tree
            if not follows and (group + 1 == len(group_tree) or group_tree[group + 1] != tree):
                for r in range(rows):
                    # A power of two is exact in a float, and its exponent is the bit's number.
                    lowest = np.float32(left[r] & (~left[r] + one))
                    leaves[tree, first + r] = lowest_leaf + (lowest.view(np.int32) >> 23) - 127
                continue
            for r in range(rows):
                if not follows:
                    leaves[tree, first + r] = -1
                if left[r] != 0 and leaves[tree, first + r] < 0:
                    lowest = np.float32(left[r] & (~left[r] + one))
                    leaves[tree, first + r] = lowest_leaf + (lowest.view(np.int32) >> 23) - 127


@kernel("void(int32[:, ::1], float64[::1], float64[::1])")
def leaf_sums(leaves: I32, values: F64, scores: F64) -> None:
    """Add the values of ``leaves`` [T, n] to ``scores`` [n], tree by tree, as LightGBM does."""
    for tree in range(len(leaves)):
        for r in range(len(scores)):
            scores[r] += values[np.uint64(leaves[tree, r])]


@kernel("void(int32[:, ::1], int64[::1], int64[::1], float64[::1], float64[:, ::1])")
def path_sums(leaves: I32, path_from: I64, column: I64, gain: F64, parts: F64) -> None:
    """Add what the paths to ``leaves`` [T, n] gain by column to ``parts`` [n, k]."""
    for tree in range(len(leaves)):
        for r in range(len(parts)):
            leaf = leaves[tree, r]
            for step in range(path_from[leaf], path_from[leaf + 1]):
                parts[r, column[step]] += gain[step]
