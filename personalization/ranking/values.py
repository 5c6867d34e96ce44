"""What filters, rules, caps and diversity read of candidates: live, and from a decision's record.

Both give the same ``Values``, so that a replay runs the very code that served.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from personalization.features.view import F64, I64, Bool, CandidateColumns
from personalization.guarantee import NOT_OWED
from personalization.plan import StatePlan

SELLER = "seller"
ITEM = "item"
IN_STOCK = "in_stock"
TAGS = 8
NO_TEXT = -1
NEVER = -2
FEW = 12  # comparing so often is still faster than what np.isin prepares


@dataclass(frozen=True, slots=True)
class Values:
    """n candidates. Texts are codes (-1: unknown), ``tags`` [n, 8] of them; ``numbers`` are NaN
    and ``flags`` -1 where unknown. ``lateness`` [2, n] is that of items and sellers behind the
    surface's guarantee (-inf: nothing is owed). ``code`` gives a text's code, if any candidate can
    have it."""

    ids: Sequence[str]
    known: Bool
    deleted: Bool
    texts: Mapping[str, I64]
    tags: Mapping[str, I64]
    numbers: Mapping[str, F64]
    flags: Mapping[str, npt.NDArray[np.int8]]
    lateness: F64
    code: Mapping[str, int]

    def code_of(self, text: str) -> int:
        """The code of ``text``; one that no candidate has, if none can."""
        return self.code.get(text, NEVER)


class RecordedValues(msgspec.Struct, array_like=True, frozen=True):
    """The values that a decision read, as texts: they mean the same anywhere.

    One entry per candidate in each list; ``None``, NaN and -1 where unknown. ``lateness`` is that
    of items and of sellers, by candidate, where something is owed.
    """

    known: list[bool]
    deleted: list[bool]
    texts: dict[str, list[str | None]]
    tags: dict[str, list[list[str]]]
    numbers: dict[str, list[float]]
    flags: dict[str, list[int]]
    lateness: tuple[dict[int, float], dict[int, float]] = ({}, {})


def among(column: npt.NDArray[Any], choices: Sequence[float]) -> Bool:
    """Which entries of ``column`` are one of ``choices``: bool of its shape."""
    if len(choices) > FEW:
        return np.isin(column, np.array(choices))
    found = np.zeros(column.shape, np.bool_)
    for choice in choices:
        found |= column == choice
    return found


def attribute_kinds(plan: StatePlan) -> dict[str, str]:
    """What can be read, and its kind: ``text``, ``number``, ``flag``, ``tags`` or ``item``."""
    return _kinds(plan.categories, plan.numbers, plan.flags, plan.tags)


def recorded_kinds(recorded: RecordedValues) -> dict[str, str]:
    """The same of what a decision read."""
    return _kinds(recorded.texts, recorded.numbers, recorded.flags, recorded.tags)


def _kinds(
    texts: Iterable[str], numbers: Iterable[str], flags: Iterable[str], tags: Iterable[str]
) -> dict[str, str]:
    kinds = dict.fromkeys(texts, "text")
    kinds.update(dict.fromkeys(numbers, "number"))
    kinds.update(dict.fromkeys(flags, "flag"))
    kinds.update(dict.fromkeys(tags, "tags"))
    kinds[SELLER] = "text"
    kinds[ITEM] = "item"
    return kinds


def values_of(
    candidates: CandidateColumns, code: Mapping[str, int], lateness: F64 | None = None
) -> Values:
    """The values of live candidates; ``lateness`` as in ``Values``, ``None``: nothing is owed."""
    return Values(
        candidates.ids,
        candidates.known,
        (candidates.catalogue_offset >= 0) & ~candidates.listed,
        {**candidates.categories, SELLER: candidates.seller},
        candidates.tags,
        candidates.numbers,
        candidates.flags,
        _nothing_owed(len(candidates.ids)) if lateness is None else lateness,
        code,
    )


def record(values: Values, reads: Iterable[str], text: Callable[[int], str]) -> RecordedValues:
    """What was read of ``values``, the attributes ``reads``, to be kept."""
    texts: dict[str, list[str | None]] = {}
    tags: dict[str, list[list[str]]] = {}
    numbers: dict[str, list[float]] = {}
    flags: dict[str, list[int]] = {}
    for name in sorted(reads):
        if name in values.texts:
            codes = values.texts[name].tolist()
            known = {code: text(code) if code >= 0 else None for code in set(codes)}
            texts[name] = [known[code] for code in codes]
        elif name in values.tags:
            rows = values.tags[name].tolist()
            words = {code: text(code) for code in set().union(*rows) if code >= 0}
            tags[name] = [[words[code] for code in row if code >= 0] for row in rows]
        elif name in values.numbers:
            numbers[name] = values.numbers[name].tolist()
        elif name in values.flags:
            flags[name] = values.flags[name].tolist()
    items, sellers = (
        dict(zip(owed.tolist(), row[owed].tolist(), strict=True))
        for row in values.lateness
        for owed in [(row > NOT_OWED).nonzero()[0]]
    )
    return RecordedValues(
        values.known.tolist(),
        values.deleted.tolist(),
        texts,
        tags,
        numbers,
        flags,
        (items, sellers),
    )


def recall(recorded: RecordedValues, ids: Sequence[str]) -> Values:
    """The values that were recorded, to be read again."""
    code: dict[str, int] = {}

    def code_of(text: str | None) -> int:
        return NO_TEXT if text is None else code.setdefault(text, len(code))

    tags = {}
    for name, rows in recorded.tags.items():
        column = np.full((len(ids), TAGS), NO_TEXT, np.int64)
        for index, row in enumerate(rows):
            column[index, : len(row)] = [code_of(tag) for tag in row]
        tags[name] = column
    texts = {
        name: np.array([code_of(text) for text in column], np.int64)
        for name, column in recorded.texts.items()
    }
    lateness = _nothing_owed(len(ids))
    for kind, late in enumerate(recorded.lateness):
        lateness[kind, list(late)] = list(late.values())
    return Values(
        ids,
        np.array(recorded.known, np.bool_),
        np.array(recorded.deleted, np.bool_),
        texts,
        tags,
        {name: np.array(column, np.float64) for name, column in recorded.numbers.items()},
        {name: np.array(column, np.int8) for name, column in recorded.flags.items()},
        lateness,
        code,
    )


def _nothing_owed(n: int) -> F64:
    return np.full((2, n), NOT_OWED)
