"""LightGBM's model text, read tree by tree.

The format is what ``Booster.model_to_string`` writes: a head of ``key=value`` lines, then a block
of such lines for each tree, up to ``end of trees``. What follows does not score.
"""

from itertools import pairwise
from math import isfinite, isnan
from typing import NamedTuple

_VERSION = "v4"
_END = "\nend of trees"

MOST_LEAVES = 512


class UnreadableModel(ValueError):
    """Text that is not a model of LightGBM's, or is not all of it."""


class Tree(NamedTuple):
    """A tree of n nodes and n + 1 leaves; node 0 is its root.

    Per node: its column, threshold (of a categorical one: which of ``sets``), LightGBM's
    ``decision_type`` bits, children (below 0: the leaf ``~child``) and mean output. Per leaf: its
    value. ``sets`` are categories as bits of uint32 words.
    """

    columns: list[int]
    thresholds: list[float]
    decisions: list[int]
    left: list[int]
    right: list[int]
    outputs: list[float]
    leaves: list[float]
    sets: list[list[int]]


class ModelText(NamedTuple):
    """A model's column names, and the text of each of its trees."""

    columns: list[str]
    trees: list[str]


def split_model(text: str) -> ModelText:
    """The parts of a model's text. Raises ``UnreadableModel``."""
    end = text.find(_END)
    if not text.startswith("tree\n") or end < 0:
        raise UnreadableModel("this is not the whole text of a LightGBM model")
    head, *trees = text[:end].split("\nTree=")
    said = dict(line.partition("=")[::2] for line in head.splitlines())
    if said.get("version") != _VERSION:
        raise UnreadableModel(f"model text of version {said.get('version')!r}, not {_VERSION!r}")
    if said.get("num_tree_per_iteration") != "1":
        raise UnreadableModel(f"{said.get('num_tree_per_iteration')} scores per row, not 1")
    names = said.get("feature_names", "").split()
    if said.get("max_feature_idx") != str(len(names) - 1):
        raise UnreadableModel("the column names are not as many as the columns")
    return ModelText(names, trees)


def read_tree(text: str, columns: int) -> Tree:
    """One of the trees of a model that has so many columns.

    Raises ``UnreadableModel``.
    """
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    if said.get("is_linear", "0") != "0":
        raise UnreadableModel("linear trees are not scored here")
    try:
        tree = _tree(said)
        leaves = int(said["num_leaves"])
    except (KeyError, ValueError) as error:
        raise UnreadableModel(f"a tree that cannot be read: {error!r}") from error
    nodes = leaves - 1
    if {len(each) for each in tree[:6]} != {nodes} or len(tree.leaves) != leaves:
        raise UnreadableModel(f"a tree that has not {nodes} nodes and {leaves} leaves")
    if sorted(tree.left + tree.right) != _children(nodes):
        raise UnreadableModel("a tree whose nodes and leaves have not one parent each")
    if not set(tree.columns) <= set(range(columns)):
        raise UnreadableModel(f"a tree with a column that is none of {columns}")
    if not all(map(isfinite, tree.leaves)):
        raise UnreadableModel("a leaf whose value is not a finite number")
    if leaves > MOST_LEAVES:
        raise UnreadableModel(f"a tree with {leaves} leaves, more than {MOST_LEAVES}")
    if any(map(isnan, tree.thresholds)):
        raise UnreadableModel("a threshold that is not a number")
    if not all(0 <= word < 1 << 32 for words in tree.sets for word in words):
        raise UnreadableModel("a set of categories that is not in words of 32 bits")
    return tree


def _children(nodes: int) -> list[int]:
    """What the children of so many nodes are, sorted: every leaf, and every node but the root."""
    return [*range(-nodes - 1, 0), *range(1, nodes)] if nodes else []


def _tree(said: dict[str, str]) -> Tree:
    bounds = _ints(said.get("cat_boundaries", ""))
    words = _ints(said.get("cat_threshold", ""))
    return Tree(
        _ints(said.get("split_feature", "")),
        _floats(said.get("threshold", "")),
        _ints(said.get("decision_type", "")),
        _ints(said.get("left_child", "")),
        _ints(said.get("right_child", "")),
        _floats(said.get("internal_value", "")),
        _floats(said["leaf_value"]),
        [words[start:end] for start, end in pairwise(bounds)],
    )


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def _floats(text: str) -> list[float]:
    return [float(word) for word in text.split()]
