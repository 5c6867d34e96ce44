"""What a feature may look at: candidates in columns, the visitor's row, the request.

Built by ``personalization.columns`` from whatever holds the rows, so that a replica, the bulk
fold and an audit give a feature the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CounterColumns:
    """Counters of n entities, as stored: not decayed to now.

    ``at`` (ms) is the time ``counters`` [n, E*H] are decayed to; ``counts`` [n, E] are plain;
    ``first_at`` is 0 and ``offset`` -1 where there is no row.
    """

    offset: I64
    at: I64
    first_at: I64
    counters: F64
    counts: I64


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Co-visited items of m items, K each: ``codes`` [m, K] (-1: none), ``weights`` [m, K]
    decayed to ``at`` [m]."""

    codes: I64
    weights: F64
    at: I64


@dataclass(frozen=True, slots=True)
class CandidateColumns:
    """n candidates. Texts are codes of one ``Interner`` (-1: none); they mean nothing elsewhere.

    ``segments`` has one entry per level of the plan; ``tags`` are [n, 8] codes; ``numbers`` are
    NaN and ``flags`` -1 where unknown; ``known`` says that the catalogue has the item or that it
    has counters; ``listed`` that the catalogue has it and it is not deleted.
    """

    ids: list[str]
    codes: I64
    known: Bool
    listed: Bool
    catalogue_offset: I64
    created_at: I64
    seller: I64
    seller_created_at: I64
    categories: dict[str, I64]
    tags: dict[str, I64]
    numbers: dict[str, F64]
    flags: dict[str, npt.NDArray[np.int8]]
    items: CounterColumns
    sellers: CounterColumns
    segments: dict[str, CounterColumns]
    covisited: Neighbours
    caller: dict[str, F64] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """The request: ``now`` in ms, ``utc_offset`` in minutes, its session and context."""

    now: int
    utc_offset: int = 0
    session: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """All that a feature reads. ``visitor`` is the merged row of a visitor and those linked with
    it, ``None`` for context only; ``last_codes`` its last distinct items, newest first, and
    ``last_covisited`` their co-visited items; ``code`` gives a text's code (-1: no candidate
    can have it)."""

    plan: StatePlan
    moment: Moment
    candidates: CandidateColumns
    visitor: VisitorRow | None
    last_codes: I64
    last_covisited: Neighbours
    code: Mapping[str, int]
