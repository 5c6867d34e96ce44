"""Filters: what they keep, and how they say what is wrong with them."""

from typing import Any

import numpy as np
import pytest

from personalization.ranking.filters import FilterError, compile_predicate
from personalization.ranking.values import Values, recall, record, recorded_kinds

KINDS = {
    "category": "text",
    "seller": "text",
    "price": "number",
    "in_stock": "flag",
    "tags": "tags",
    "item": "item",
}
WORDS = ["shoes", "bags", "s1", "s2", "red", "blue", "toys"]


def candidates() -> Values:
    """i0 shoes, s1, 10, in stock, red; i1 bags, s2, 50, not, red and blue; i2 nothing known."""
    tags = np.full((3, 8), -1)
    tags[0, 0] = 4
    tags[1, :2] = [4, 5]
    return Values(
        ["i0", "i1", "i2"],
        np.array([True, True, False]),
        np.zeros(3, np.bool_),
        {"category": np.array([0, 1, -1]), "seller": np.array([2, 3, -1])},
        {"tags": tags},
        {"price": np.array([10.0, 50.0, np.nan])},
        {"in_stock": np.array([1, 0, -1], np.int8)},
        np.full((2, 3), -np.inf),
        {word: code for code, word in enumerate(WORDS)},
    )


def held(tree: Any, values: Values | None = None) -> list[int]:
    mask = compile_predicate(tree, KINDS, "filters").mask(values or candidates())
    return np.flatnonzero(mask).tolist()


CASES: list[tuple[Any, list[int]]] = [
    ({}, [0, 1, 2]),
    ({"category": {"eq": "shoes"}}, [0]),
    ({"category": {"eq": "toys"}}, []),
    ({"category": {"eq": "never heard of"}}, []),
    ({"category": {"in": ["shoes", "bags"]}}, [0, 1]),
    ({"category": {"in": []}}, []),
    ({"category": {"not_in": ["shoes"]}}, [1]),
    ({"category": {"exists": True}}, [0, 1]),
    ({"category": {"exists": False}}, [2]),
    ({"seller": {"eq": "s2"}}, [1]),
    ({"item": {"eq": "i2"}}, [2]),
    ({"item": {"in": ["i0", "i2", "i9"]}}, [0, 2]),
    ({"item": {"not_in": ["i0"]}}, [1, 2]),
    ({"item": {"exists": True}}, [0, 1, 2]),
    ({"price": {"eq": 10}}, [0]),
    ({"price": {"in": [10, 50.0]}}, [0, 1]),
    ({"price": {"in": list(range(40))}}, [0]),
    ({"price": {"not_in": [10]}}, [1]),
    ({"price": {"lt": 50}}, [0]),
    ({"price": {"lte": 50}}, [0, 1]),
    ({"price": {"gt": 10}}, [1]),
    ({"price": {"gte": 10, "lt": 50}}, [0]),
    ({"price": {"exists": False}}, [2]),
    ({"in_stock": {"eq": True}}, [0]),
    ({"in_stock": {"eq": False}}, [1]),
    ({"in_stock": {"exists": True}}, [0, 1]),
    ({"tags": {"eq": "blue"}}, [1]),
    ({"tags": {"in": ["red", "toys"]}}, [0, 1]),
    ({"tags": {"not_in": ["blue"]}}, [0]),
    ({"tags": {"exists": False}}, [2]),
    ({"all": []}, [0, 1, 2]),
    ({"any": []}, []),
    ({"not": []}, [0, 1, 2]),
    ({"all": [{"price": {"lte": 80}}, {"category": {"in": ["shoes"]}}]}, [0]),
    ({"any": [{"price": {"gt": 20}}, {"item": {"eq": "i2"}}]}, [1, 2]),
    ({"not": [{"price": {"gt": 20}}]}, [0, 2]),
    ({"not": [{"price": {"gt": 20}}, {"item": {"eq": "i2"}}]}, [0]),
    ({"category": {"exists": True}, "any": [{"price": {"lt": 20}}]}, [0]),
]


@pytest.mark.parametrize(("tree", "expected"), CASES, ids=str)
def test_a_filter_keeps_what_fulfils_it(tree: Any, expected: list[int]) -> None:
    """Every operator on every kind of attribute; what is unknown fulfils none of them."""
    assert held(tree) == expected


@pytest.mark.parametrize(("tree", "expected"), CASES, ids=str)
def test_recorded_values_answer_like_live_ones(tree: Any, expected: list[int]) -> None:
    """The same predicate over what a decision recorded, whose codes are others."""
    predicate = compile_predicate(tree, KINDS, "filters")
    live = candidates()
    recorded = record(live, predicate.reads, WORDS.__getitem__)
    again = compile_predicate(tree, recorded_kinds(recorded), "filters")
    assert np.flatnonzero(again.mask(recall(recorded, live.ids))).tolist() == expected


DEEP: Any = {}
for _ in range(8):
    DEEP = {"all": [DEEP]}


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ([], "filters"),
        ({"colour": {"eq": "red"}}, "filters.colour"),
        ({"all": {}}, "filters.all"),
        ({"all": [{"any": [{}, 3]}]}, "filters.all[0].any[1]"),
        ({"category": "shoes"}, "filters.category"),
        ({"category": {}}, "filters.category"),
        ({"category": {"lt": "a"}}, "filters.category.lt"),
        ({"category": {"eq": 1}}, "filters.category.eq"),
        ({"category": {"in": "shoes"}}, "filters.category.in"),
        ({"category": {"in": ["x"] * 1001}}, "filters.category.in"),
        ({"category": {"exists": "yes"}}, "filters.category.exists"),
        ({"price": {"lte": "80"}}, "filters.price.lte"),
        ({"price": {"lte": True}}, "filters.price.lte"),
        ({"price": {"lte": 10**400}}, "filters.price.lte"),
        ({"price": {"eq": float("nan")}}, "filters.price.eq"),
        ({"in_stock": {"eq": 1}}, "filters.in_stock.eq"),
        ({"in_stock": {"in": [True]}}, "filters.in_stock.in"),
        ({"tags": {"eq": ["red"]}}, "filters.tags.eq"),
        (DEEP, "filters" + ".all[0]" * 8),
        ({"all": [{} for _ in range(250)]}, "filters.all[198]"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_a_filter_that_cannot_be_says_where(tree: Any, path: str) -> None:
    """The path leads to the part that is wrong."""
    with pytest.raises(FilterError) as caught:
        compile_predicate(tree, KINDS, "filters")
    assert caught.value.path == path
    assert [error.field for error in caught.value.errors] == [path]
    assert caught.value.reason


def test_a_predicate_says_what_it_reads() -> None:
    """What is recorded of candidates is what was looked at, also within groups."""
    tree = {"any": [{"price": {"gt": 1}}, {"not": [{"tags": {"eq": "red"}}]}]}
    assert compile_predicate(tree, KINDS, "filters").reads == {"price", "tags"}
