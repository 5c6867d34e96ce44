"""Trees as QuickScorer's arrays.

The leaves of a tree are numbered from left to right. Each node has a mask with the bits of the
leaves under its left child unset. A row begins with all bits set, and each node that sends it to
the right clears its own; the lowest bit that is left is the row's leaf (Lucchese et al.,
QuickScorer, SIGIR 2015). A tree of more leaves than a mask has bits is several groups of leaves,
each with the nodes that matter to it: the row's leaf is in the first group that has a bit left.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from personalization.features.view import F32, F64, I64
from personalization.ranking.tree_text import Tree, UnreadableModel

_NARROW, _WIDE = 32, 64  # bits of a mask

# LightGBM's decision_type: bits 0, 1, and 2 and 3 (what counts as missing).
_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_NONE, _ZERO, _NAN = 0, 4, 8
_MISSING = _ZERO | _NAN

# What a plane does with the values of a column.
NAN_IS_ZERO, NAN_LEFT, NAN_RIGHT, ZERO_LEFT, ZERO_RIGHT = range(5)
_PLANES = {
    _NONE: NAN_IS_ZERO,
    _NONE | _DEFAULT_LEFT: NAN_IS_ZERO,
    _NAN: NAN_RIGHT,
    _NAN | _DEFAULT_LEFT: NAN_LEFT,
    _ZERO: ZERO_RIGHT,
    _ZERO | _DEFAULT_LEFT: ZERO_LEFT,
}

Masks = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


class Trees(NamedTuple):
    """T trees in G groups. ``…_from`` are int64[m + 1]: where each one's entries begin, and where
    the last one's end.

    Groups: the tree, and the leaf that the lowest bit stands for. Of each group the numeric nodes:
    the plane they compare, the threshold above which a row goes right, the mask. A plane is a
    column with its missing values replaced by what sends them the default way (``NAN_LEFT`` and so
    on). Categorical nodes: column, mask, and the set of the categories that go left as bits.
    Leaves, tree by tree: values; and of each its path, what each split on the way there added to
    the output.
    """

    group_tree: I64
    group_leaf: I64

    plane_column: I64
    plane_kind: I64
    node_from: I64
    node_plane: I64
    node_threshold: F32
    node_mask: Masks
    set_from: I64
    set_column: I64
    set_mask: Masks
    set_bits_from: I64
    set_bits: U32
    leaf_value: F64
    path_from: I64
    path_column: I64
    path_gain: F64


class TreesBuilder:
    """Takes trees one at a time, so that whoever gives them can pause in between."""

    def __init__(self) -> None:
        self._planes: dict[tuple[int, int], int] = {}
        self._trees: list[_Arrays] = []
        self._groups: list[_Group] = []
        self._leaves = 0

    def add(self, tree: Tree) -> None:
        """The next tree. Raises ``UnreadableModel``."""
        walk = _Walk(tree, self._planes)
        walk.visit(0 if tree.columns else ~0, [])
        if len(walk.leaves) != len(tree.leaves):
            raise UnreadableModel("a tree with nodes that its root does not lead to")
        for first in range(0, len(walk.leaves), _WIDE):
            self._groups.append(walk.group(len(self._trees), self._leaves, first))
        self._trees.append(walk.arrays())
        self._leaves += len(walk.leaves)

    def build(self) -> Trees:
        """All trees. Raises ``UnreadableModel`` where there is none."""
        if not self._trees:
            raise UnreadableModel("a model without trees")
        trees, groups = self._trees, self._groups
        wide = max(len(each.leaves) for each in trees) > _NARROW
        planes = list(self._planes)
        return Trees(
            group_tree=np.array([each.tree for each in groups], np.int64),
            group_leaf=np.array([each.leaf for each in groups], np.int64),
            plane_column=np.array([column for column, _ in planes], np.int64),
            plane_kind=np.array([kind for _, kind in planes], np.int64),
            node_from=_starts([len(each.planes) for each in groups]),
            node_plane=np.concatenate([each.planes for each in groups]),
            node_threshold=np.concatenate([each.thresholds for each in groups]),
            node_mask=_masks([each.under_left for each in groups], wide),
            set_from=_starts([len(each.set_columns) for each in groups]),
            set_column=np.concatenate([each.set_columns for each in groups]),
            set_mask=_masks([each.set_under_left for each in groups], wide),
            set_bits_from=_starts([size for each in groups for size in each.set_sizes]),
            set_bits=np.concatenate([each.set_bits for each in groups]),
            leaf_value=np.concatenate([each.leaves for each in trees]),
            path_from=_starts([size for each in trees for size in each.path_sizes]),
            path_column=np.concatenate([each.path_columns for each in trees]),
            path_gain=np.concatenate([each.path_gains for each in trees]),
        )


class _Group(NamedTuple):
    """Up to 64 leaves, as ``Trees`` keeps them; ``under_left`` are the bits that masks lack."""

    tree: int
    leaf: int
    planes: I64
    thresholds: F32
    under_left: U64
    set_columns: I64
    set_under_left: U64
    set_sizes: list[int]
    set_bits: U32


class _Arrays(NamedTuple):
    """One tree's leaves and paths, as ``Trees`` keeps them."""

    leaves: F64
    path_sizes: list[int]
    path_columns: I64
    path_gains: F64


class _Walk:
    """A tree's leaves, splits and paths, noted from left to right."""

    def __init__(self, tree: Tree, planes: dict[tuple[int, int], int]) -> None:
        self.leaves: list[float] = []
        self._tree = tree
        self._planes = planes
        self._nodes: list[tuple[int, float, int]] = []
        self._sets: list[tuple[int, int, list[int]]] = []
        self._path_sizes: list[int] = []
        self._paths: list[tuple[int, float]] = []

    def visit(self, node: int, path: list[tuple[int, float]]) -> None:
        """Note what is under ``node``; ``path`` led there."""
        tree = self._tree
        if node < 0:
            self.leaves.append(tree.leaves[~node])
            self._path_sizes.append(len(path))
            self._paths += path
            return
        before = len(self.leaves)
        self.visit(tree.left[node], self._longer(path, node, tree.left[node]))
        self._note(node, (1 << len(self.leaves)) - (1 << before))
        self.visit(tree.right[node], self._longer(path, node, tree.right[node]))

    def group(self, tree: int, leaves_before: int, first: int) -> _Group:
        """The group of the leaves from ``first`` on, of a tree that comes after so many leaves."""

        def bits(under_left: int) -> int:
            return under_left >> first & (1 << _WIDE) - 1

        nodes = [
            (plane, threshold, bits(left)) for plane, threshold, left in self._nodes if bits(left)
        ]
        sets = [(column, bits(left), words) for column, left, words in self._sets if bits(left)]
        return _Group(
            tree,
            leaves_before + first,
            planes=np.array([plane for plane, _, _ in nodes], np.int64),
            thresholds=_not_above([threshold for _, threshold, _ in nodes]),
            under_left=np.array([left for _, _, left in nodes], np.uint64),
            set_columns=np.array([column for column, _, _ in sets], np.int64),
            set_under_left=np.array([left for _, left, _ in sets], np.uint64),
            set_sizes=[len(words) for _, _, words in sets],
            set_bits=np.array([word for *_, words in sets for word in words], np.uint32),
        )

    def arrays(self) -> _Arrays:
        """The leaves and their paths."""
        return _Arrays(
            leaves=np.array(self.leaves, np.float64),
            path_sizes=self._path_sizes,
            path_columns=np.array([column for column, _ in self._paths], np.int64),
            path_gains=np.array([gain for _, gain in self._paths], np.float64),
        )

    def _longer(
        self, path: list[tuple[int, float]], node: int, child: int
    ) -> list[tuple[int, float]]:
        tree = self._tree
        output = tree.leaves[~child] if child < 0 else tree.outputs[child]
        return [*path, (tree.columns[node], output - tree.outputs[node])]

    def _note(self, node: int, left: int) -> None:
        """Note the split of ``node``, which has the leaves ``left``, as bits, on its left."""
        tree, decision = self._tree, self._tree.decisions[node]
        column, threshold = tree.columns[node], tree.thresholds[node]
        if decision & _CATEGORICAL:
            if threshold not in range(len(tree.sets)):
                raise UnreadableModel("a categorical split without its categories")
            self._sets.append((column, left, tree.sets[int(threshold)]))
            return
        kind = _PLANES.get(decision & (_MISSING | _DEFAULT_LEFT))
        if kind is None:
            raise UnreadableModel(f"a split of the unknown kind {decision}")
        plane = self._planes.setdefault((column, kind), len(self._planes))
        self._nodes.append((plane, threshold, left))


def _masks(under_left: list[U64], wide: bool) -> Masks:
    masks: U64 = ~np.concatenate(under_left)
    return masks if wide else masks.astype(np.uint32)


def _starts(sizes: list[int]) -> I64:
    """Where each of consecutive stretches begins, and where the last one ends."""
    return np.cumsum([0, *sizes], dtype=np.int64)


def _not_above(thresholds: list[float]) -> F32:
    """The largest float32 that is not above each, so that no comparison with a float32 changes."""
    exact = np.array(thresholds, np.float64)
    with np.errstate(over="ignore"):
        nearest = exact.astype(np.float32)
    return np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
