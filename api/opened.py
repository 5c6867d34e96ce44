"""A decision opened: its record with names for columns, values and offsets, as JSON."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from personalization.decisions import (
    Decision,
    Freshness,
    offsets_of,
    scored_of,
    scores_of,
    vectors_of,
)
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.ranking.values import RecordedValues
from tables.row_head import ROW_HEAD

_SLICE = 16  # candidates encoded in about half a millisecond


class ReadRow(msgspec.Struct, frozen=True):
    """A visitor's or user's row that was read: where it was, and whether it was merged."""

    kind: str
    id: str
    partition: int
    offset: int
    merged: bool


class OpenedCandidate(msgspec.Struct, frozen=True):
    """A candidate: ``position`` from 1 where it was shown, ``dropped`` why it could not be.

    ``features`` are the columns that were scored (``None``: not recorded), ``values`` what
    filters, rules, caps and diversity read, ``offsets`` the rows behind both (-1: no row).
    """

    item: str
    sources: list[str]
    score: float
    position: int | None
    propensity: float | None
    reasons: list[str]
    dropped: str | None
    features: dict[str, float] | None
    values: dict[str, Any]
    offsets: dict[str, int]


class OpenedDecision(msgspec.Struct, frozen=True):
    """The whole record of a ranking; ``at`` in ms."""

    id: str
    at: int
    process: str
    sequence: int
    visitor: str | None
    user: str | None
    request: RankRequest
    surface: Surface
    shown_before: list[str]
    shown: list[str]
    arms: dict[str, str]
    seed: str
    model: str
    feature_set: str
    state_id: str
    freshness: Freshness
    rows: list[ReadRow]
    seen: list[str]
    disliked: list[str]
    last_items: dict[str, int]
    last_listed: dict[str, int]
    vectors_digest: str
    candidates: list[OpenedCandidate]


async def opened(decision: Decision, columns: Sequence[str]) -> bytes:
    """``decision`` as JSON. ``columns`` name its vectors' columns."""
    head = msgspec.json.encode(_without_candidates(decision))
    tables = _Tables(decision, columns)
    pieces = []
    for start in range(0, len(decision.candidates), _SLICE):
        end = min(start + _SLICE, len(decision.candidates))
        piece = msgspec.json.encode([tables.candidate(index) for index in range(start, end)])
        pieces.append(piece[1:-1])
        await asyncio.sleep(0)
    # The candidates are the last field, and empty so far.
    return head.removesuffix(b"]}") + b",".join(pieces) + b"]}"


def _without_candidates(decision: Decision) -> OpenedDecision:
    return OpenedDecision(
        id=decision.id,
        at=decision.at,
        process=decision.process,
        sequence=decision.sequence,
        visitor=decision.visitor,
        user=decision.user,
        request=decision.request,
        surface=decision.surface,
        shown_before=decision.shown_before,
        shown=[decision.candidates[shown.candidate] for shown in decision.shown],
        arms=decision.arms,
        seed=str(decision.seed),
        model=decision.model,
        feature_set=decision.feature_set,
        state_id=decision.state_id,
        freshness=decision.freshness,
        rows=[
            ReadRow(
                read.kind, read.id, read.partition, ROW_HEAD.decode(read.row).offset, read.merged
            )
            for read in decision.rows
        ],
        seen=decision.seen,
        disliked=decision.disliked,
        last_items=decision.offsets.last_items,
        last_listed=decision.offsets.last_listed,
        vectors_digest=decision.digest.hex(),
        candidates=[],
    )


class _Tables:
    """What a decision keeps by column, read by candidate."""

    def __init__(self, decision: Decision, columns: Sequence[str]) -> None:
        self._decision = decision
        self._columns = columns
        self._scores = scores_of(decision).tolist()
        self._vectors = vectors_of(decision)
        self._vector_of = {candidate: row for row, candidate in enumerate(scored_of(decision))}
        self._place = {shown.candidate: place for place, shown in enumerate(decision.shown)}
        self._offsets = offsets_of(decision)

    def candidate(self, index: int) -> OpenedCandidate:
        """The candidate at ``index``."""
        decision = self._decision
        item, place = decision.candidates[index], self._place.get(index)
        shown = None if place is None else decision.shown[place]
        return OpenedCandidate(
            item=item,
            sources=decision.sources[index],
            score=self._scores[index],
            position=None if place is None else place + 1,
            propensity=None if shown is None else shown.propensity,
            reasons=[] if shown is None else shown.reasons,
            dropped=decision.dropped.get(item),
            features=self._features(index),
            values=_values(decision.values, index),
            offsets=self._offsets_at(index),
        )

    def _features(self, index: int) -> dict[str, float] | None:
        row = self._vector_of.get(index)
        if row is None:
            return None
        return dict(zip(self._columns, self._vectors[row].tolist(), strict=True))

    def _offsets_at(self, index: int) -> dict[str, int]:
        catalogue, sellers_catalogue, counters = self._offsets
        offsets = {
            "catalogue": int(catalogue[index]),
            "seller_catalogue": int(sellers_catalogue[index]),
        }
        levels = self._decision.offsets.levels
        return offsets | dict(zip(levels, counters[:, index].tolist(), strict=True))


def _values(recorded: RecordedValues, index: int) -> dict[str, Any]:
    values: dict[str, Any] = {"known": recorded.known[index], "deleted": recorded.deleted[index]}
    for columns in (recorded.texts, recorded.tags, recorded.numbers):
        values |= {name: column[index] for name, column in columns.items()}
    flags = {name: column[index] for name, column in recorded.flags.items()}
    return values | {name: None if flag < 0 else flag > 0 for name, flag in flags.items()}
