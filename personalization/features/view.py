"""What a feature may look at: candidates in columns, the visitor's row, the request.

Built by ``personalization.columns.view_of`` from whatever holds the rows, so that a replica, the
bulk fold and an audit give a feature the same bits.
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
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
U32 = npt.NDArray[np.uint32]
Bool = npt.NDArray[np.bool_]

ITEM = "item"
SELLER = "seller"

# The columns of ``CandidateColumns.stats``; the plain counts follow.
OFFSET, AT, FIRST_AT, COUNTS = 0, 1, 2, 3


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
    """Co-visited items of m items, K each: item codes [m, K] (-1: none, at the end), ``weights``
    [m, K] decayed to ``at`` [m]."""

    codes: I32
    weights: F64
    at: I64


@dataclass(frozen=True, slots=True)
class Opinions:
    """Plain counts of events (E), of n candidates and m items the visitor has an opinion of.

    ``liked`` [m] is that opinion. ``before`` [n, m, E] are the candidates' events by visitors who
    had had the same opinion of the item before; ``after`` [2, n, m, E] the item's events by those
    who had disliked (0) or liked (1) the candidate before.
    """

    liked: Bool
    before: F64
    after: F64


@dataclass(frozen=True, slots=True)
class CandidateColumns:
    """n candidates, in columns. Codes mean nothing outside the ``Columns`` that gave them.

    ``codes`` are those of items, as in ``Neighbours`` (-1: never heard of); ``seller``,
    ``categories`` and ``tags`` [n, 8] are those of texts (-1: none). ``numbers`` are NaN and
    ``flags`` -1 where unknown. ``known`` says that the catalogue has the item or that it has
    counters; ``listed`` that the catalogue has it and it is not deleted; ``catalogue_offset`` is
    -1 and times (ms) are 0 where there is no row. ``stats`` [L, n, 3+E] and ``counters``
    [L, n, E*H] have one layer for each of ``levels``: item, seller, then the plan's segments.
    ``caller`` holds the features the caller sent, NaN where missing. ``vectors`` float32[n, size]
    have length 1; zeros where unknown.
    """

    ids: list[str]
    codes: I64
    known: Bool
    listed: Bool
    catalogue_offset: I64
    created_at: I64
    seller: I64
    seller_created_at: I64
    seller_catalogue_offset: I64
    categories: dict[str, I64]
    tags: dict[str, I64]
    numbers: dict[str, F64]
    flags: dict[str, I8]
    levels: tuple[str, ...]
    stats: I64
    counters: F64
    covisited: Neighbours
    caller: dict[str, F64] = field(default_factory=dict)
    vectors: dict[str, F32] = field(default_factory=dict)

    def at_level(self, level: str) -> CounterColumns:
        """The counters of every candidate's ``level``. Raises ``ValueError`` if unknown."""
        layer = self.levels.index(level)
        stats = self.stats[layer]
        return CounterColumns(
            offset=stats[:, OFFSET],
            at=stats[:, AT],
            first_at=stats[:, FIRST_AT],
            counters=self.counters[layer],
            counts=stats[:, COUNTS:],
        )

    @property
    def items(self) -> CounterColumns:
        """The candidates' own counters."""
        return self.at_level(ITEM)

    @property
    def sellers(self) -> CounterColumns:
        """The counters of the candidates' sellers."""
        return self.at_level(SELLER)

    @property
    def segments(self) -> dict[str, CounterColumns]:
        """The counters of the candidates' segments, by level of the plan."""
        return {level: self.at_level(level) for level in self.levels[2:]}


@dataclass(frozen=True, slots=True)
class Moment:
    """The request: ``now`` in ms, ``utc_offset`` in minutes, its session and context."""

    now: int
    utc_offset: int = 0
    session: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """All that a feature reads.

    ``visitor`` is the merged row of a visitor and those linked with it, ``None`` for context
    only. ``decayed`` [L, n, E*H] are the candidates' counters and ``visitor_decayed`` [E*H] the
    visitor's, decayed to ``moment.now``. ``last_codes`` [m] are the item codes (-1: never heard
    of) of the visitor's last distinct items of interest, newest first (see
    ``columns.views.last_items``). ``together`` [n, m] is the weight, decayed to ``moment.now``, of
    candidate and last item met by one visitor, in either order; ``degrees`` [n] and
    ``last_degrees`` [m] the sum of the weights that an item keeps; ``last_decayed``
    [m, E*H] the counters of the last items.
    ``sessions`` [n, R] and ``last_sessions`` [m, R] are the sessions that candidates and last items
    were wanted in (see ``state.sessions``; 0, at the end: none).
    ``code`` gives a text's code (not there: no candidate has it). ``opinions`` are there if the
    plan keeps them and there is a visitor. ``last_vectors`` float32[m, size] are the last items'.
    """

    plan: StatePlan
    moment: Moment
    candidates: CandidateColumns
    visitor: VisitorRow | None
    last_codes: I64
    last_decayed: F64
    together: F64
    degrees: F64
    last_degrees: F64
    sessions: U32
    last_sessions: U32
    code: Mapping[str, int]
    decayed: F64
    visitor_decayed: F64
    opinions: Opinions | None = None
    last_vectors: dict[str, F32] = field(default_factory=dict)

    def at_level(self, level: str) -> F64:
        """The decayed counters [n, E*H] of every candidate's ``level``."""
        decayed: F64 = self.decayed[self.candidates.levels.index(level)]
        return decayed
