"""Predicates over candidates: the caller's filters, and the ``when`` of rules.

.. code-block:: text

    {"all": [p, ...]}  {"any": [p, ...]}  {"not": [p, ...]}      all, one, none of them hold
    {"price": {"gte": 20, "lt": 80}}                             an attribute and its operators

Several keys in one object must all hold. Attributes are those the spec declares, ``seller`` and
``item``. Texts and items take ``eq``, ``in``, ``not_in``; numbers these and ``lt``, ``lte``,
``gt``, ``gte``; flags ``eq``; tags ``eq`` and ``in`` (one of the tags), ``not_in`` (none); all take
``exists``. What is not known of a candidate fulfils no operator but ``{"exists": false}``: use
``not`` to keep what is unknown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personalization.features.view import Bool
from personalization.ranking.values import Values, among
from personalization.wire import FieldError, Rejected

MAX_DEPTH = 8
MAX_NODES = 200
MAX_CHOICES = 1000
MAX_NUMBER = 1e18  # decisions record requests: integers over 64 bits could not be

Mask = Callable[[Values], Bool]

_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "lt": np.less,
    "lte": np.less_equal,
    "gt": np.greater,
    "gte": np.greater_equal,
}
_CHOICES = ("in", "not_in")
OPERATORS = {
    "text": ("eq", "in", "not_in", "exists"),
    "item": ("eq", "in", "not_in", "exists"),
    "number": ("eq", "in", "not_in", "lt", "lte", "gt", "gte", "exists"),
    "flag": ("eq", "exists"),
    "tags": ("eq", "in", "not_in", "exists"),
}


class FilterError(Rejected):
    """A predicate that cannot be: ``path`` says where, ``reason`` why."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__([FieldError(path, reason)])


@dataclass(frozen=True, slots=True)
class Predicate:
    """Compiled: ``mask`` says of each candidate whether it holds; ``reads`` what it looks at."""

    reads: frozenset[str]
    mask: Mask


def compile_predicate(tree: Any, kinds: Mapping[str, str], path: str) -> Predicate:
    """Compile ``tree``; ``kinds`` are the attributes there are, ``path`` names it in errors.

    Raises ``FilterError``: an attribute or operator that is not there, a wrong type, too deep.
    """
    compiler = _Compiler(kinds)
    mask = compiler.node(tree, path, 1)
    return Predicate(frozenset(compiler.reads), mask)


class _Compiler:
    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._nodes = 0
        self.reads: set[str] = set()

    def node(self, tree: Any, path: str, depth: int) -> Mask:
        if not isinstance(tree, dict):
            raise FilterError(path, "is not an object")
        if depth > MAX_DEPTH:
            raise FilterError(path, f"is nested deeper than {MAX_DEPTH}")
        self._nodes += 1 + len(tree)
        if self._nodes > MAX_NODES:
            raise FilterError(path, f"has more than {MAX_NODES} parts")
        parts = []
        for name, inner in tree.items():
            where = f"{path}.{name}"
            if name in ("all", "any", "not"):
                parts.append(self._group(name, inner, where, depth))
            else:
                parts.append(self._attribute(name, inner, where))
        return _every(parts)

    def _group(self, name: str, inner: Any, path: str, depth: int) -> Mask:
        if not isinstance(inner, list):
            raise FilterError(path, "is not a list")
        parts = [self.node(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(inner)]
        if name == "all":
            return _every(parts)
        return _some(parts) if name == "any" else _none(parts)

    def _attribute(self, name: str, inner: Any, path: str) -> Mask:
        kind = self._kinds.get(name)
        if kind is None:
            raise FilterError(path, f"is none of {', '.join(sorted(self._kinds))}")
        if not isinstance(inner, dict) or not inner:
            raise FilterError(path, "is not an object with an operator")
        self.reads.add(name)
        self._nodes += len(inner)
        return _every(
            [_test(name, kind, operator, v, f"{path}.{operator}") for operator, v in inner.items()]
        )


def _test(name: str, kind: str, operator: str, operand: Any, path: str) -> Mask:
    if operator not in OPERATORS[kind]:
        raise FilterError(path, f"{name} takes {', '.join(OPERATORS[kind])}")
    if operator == "exists":
        if not isinstance(operand, bool):
            raise FilterError(path, "is not true or false")
        return _exists(name, kind, operand)
    choices = operand if operator in _CHOICES else [operand]
    if not isinstance(choices, list):
        raise FilterError(path, "is not a list")
    if len(choices) > MAX_CHOICES:
        raise FilterError(path, f"has more than {MAX_CHOICES} values")
    for choice in choices:
        _check_type(kind, choice, path)
    if operator in _ORDER:
        return _compare(name, _ORDER[operator], float(operand))
    if kind == "flag":
        return _is_flag(name, operand)
    outside = operator == "not_in"
    if kind == "item":
        return _item_in(choices, outside)
    if kind == "number":
        return _number_in(name, choices, outside)
    return _text_in(name, choices, outside) if kind == "text" else _tag_in(name, choices, outside)


def _check_type(kind: str, value: Any, path: str) -> None:
    if kind == "number":
        right = not isinstance(value, bool) and isinstance(value, int | float)
        right, expected = right and abs(value) <= MAX_NUMBER, f"a number within {MAX_NUMBER}"
    elif kind == "flag":
        right, expected = isinstance(value, bool), "true or false"
    else:
        right, expected = isinstance(value, str), "a text"
    if not right:
        raise FilterError(path, f"{value!r:.40} is not {expected}")


def _every(parts: list[Mask]) -> Mask:
    if len(parts) == 1:
        return parts[0]

    def mask(values: Values) -> Bool:
        held = np.ones(len(values.ids), np.bool_)
        for part in parts:
            held &= part(values)
        return held

    return mask


def _some(parts: list[Mask]) -> Mask:
    def mask(values: Values) -> Bool:
        held = np.zeros(len(values.ids), np.bool_)
        for part in parts:
            held |= part(values)
        return held

    return mask


def _none(parts: list[Mask]) -> Mask:
    some = _some(parts)
    return lambda values: ~some(values)


def _exists(name: str, kind: str, wanted: bool) -> Mask:
    def mask(values: Values) -> Bool:
        known: npt.NDArray[Any]
        if kind == "text":
            known = values.texts[name] >= 0
        elif kind == "item":
            known = np.ones(len(values.ids), np.bool_)
        elif kind == "number":
            known = ~np.isnan(values.numbers[name])
        elif kind == "flag":
            known = values.flags[name] >= 0
        else:
            known = values.tags[name][:, 0] >= 0
        return known if wanted else ~known

    return mask


def _compare(name: str, operator: Callable[[Any, Any], Any], bound: float) -> Mask:
    return lambda values: np.asarray(operator(values.numbers[name], bound), np.bool_)


def _is_flag(name: str, wanted: bool) -> Mask:
    return lambda values: values.flags[name] == int(wanted)


def _text_in(name: str, choices: list[str], outside: bool) -> Mask:
    def mask(values: Values) -> Bool:
        codes = values.texts[name]
        inside = among(codes, [values.code_of(choice) for choice in choices])
        return ~inside & (codes >= 0) if outside else inside

    return mask


def _item_in(choices: list[str], outside: bool) -> Mask:
    wanted = frozenset(choices)

    def mask(values: Values) -> Bool:
        inside = items_in(values.ids, wanted)
        return ~inside if outside else inside

    return mask


def _number_in(name: str, choices: list[float], outside: bool) -> Mask:
    def mask(values: Values) -> Bool:
        numbers = values.numbers[name]
        inside = among(numbers, choices)
        return ~inside & ~np.isnan(numbers) if outside else inside

    return mask


def _tag_in(name: str, choices: list[str], outside: bool) -> Mask:
    def mask(values: Values) -> Bool:
        codes = values.tags[name]
        wanted = [values.code_of(choice) for choice in choices]
        found: Bool = np.asarray(among(codes, wanted).any(axis=1))
        return ~found & (codes[:, 0] >= 0) if outside else found

    return mask


def items_in(ids: Any, wanted: frozenset[str]) -> Bool:
    """Which of ``ids`` are ``wanted``: bool[n]."""
    return np.fromiter((id in wanted for id in ids), np.bool_, len(ids))
