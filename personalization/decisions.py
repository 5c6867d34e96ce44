"""The record of one ranking: enough to run it again to the same bits, and to check it."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np

from personalization.codec import Codec
from personalization.features.view import F32, F64, I64
from personalization.packing import U32, pack_words, unpack_words
from personalization.ranking.hydrate import RowRead
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.ranking.values import RecordedValues

VERSION = b"\x02"


class Freshness(msgspec.Struct, frozen=True):
    """How new what was known was: the age of the newest event (ms), how many records each replica
    is behind, how long ago that was measured (ms; more than about 100 where the log does not
    answer), and whether the token's writes were known (``None``: no token)."""

    newest_event_ms: int | None = None
    behind: dict[str, int] = {}
    measured_ms_ago: int | None = None
    caught_up: bool | None = None


class Shown(msgspec.Struct, array_like=True, frozen=True):
    """An item on the page: its candidate, and the probability with which it was drawn there."""

    candidate: int
    propensity: float
    reasons: list[str]


class Offsets(msgspec.Struct, array_like=True, frozen=True):
    """The offset of every row that was read (-1: there was none).

    ``candidates`` are those of n candidates, int64 little-endian [2 + L, n]: catalogue, sellers'
    catalogue, and counters, one layer for each of ``levels`` (item, seller, the plan's segments).
    ``last_items``: the item rows of the visitor's last items; ``last_listed``: their catalogue
    rows, where the spec declares vectors.
    """

    levels: list[str]
    candidates: bytes
    last_items: dict[str, int]
    last_listed: dict[str, int] = {}


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """One ranking that was served.

    ``at`` in ms; ``process`` and ``sequence`` show whether one is missing. ``rows`` are the
    visitors' and users' rows as read, ``seen`` and ``disliked`` what the surface took from them;
    ``values`` what filters, rules, caps and diversity read. ``candidates``, ``sources`` and
    ``scores`` (float64 little-endian) have n entries. ``vectors`` are float32 little-endian
    [m, k] of the candidates ``scored`` (``None``: all of them); ``digest`` is BLAKE2b of the plain
    bytes. If ``packed``, they and the candidates' offsets are as ``pack_words`` leaves them.
    ``shown`` is the page, ``dropped`` the reason of what could not be on it.
    """

    id: str
    at: int
    process: str
    sequence: int
    visitor: str | None
    user: str | None
    request: RankRequest
    surface: Surface
    shown_before: list[str]
    arms: dict[str, str]
    seed: int
    model: str
    feature_set: str
    state_id: str
    freshness: Freshness
    rows: list[RowRead]
    seen: list[str]
    disliked: list[str]
    candidates: list[str]
    sources: list[list[str]]
    values: RecordedValues
    offsets: Offsets
    scores: bytes
    scored: list[int] | None
    columns: int
    vectors: bytes
    packed: bool
    digest: bytes
    dropped: dict[str, str]
    shown: list[Shown]


class DecisionHead(msgspec.Struct, array_like=True, frozen=True):
    """What a decision begins with, read without decoding the rest."""

    id: str
    at: int
    process: str
    sequence: int
    visitor: str | None
    user: str | None
    request: msgspec.Raw
    surface: msgspec.Raw
    shown_before: msgspec.Raw
    arms: msgspec.Raw
    seed: int
    model: str
    feature_set: str
    state_id: str


DECISIONS = Codec(Decision, VERSION)
DECISION_HEAD = Codec(DecisionHead, VERSION)


def digest_of(vectors: bytes) -> bytes:
    """BLAKE2b, 16 bytes, of plain vectors."""
    return blake2b(vectors, digest_size=16).digest()


def pack(decision: Decision) -> Decision:
    """The same in fewer bytes: for the writer, off the serving path."""
    if decision.packed:
        return decision
    return msgspec.structs.replace(
        decision,
        vectors=pack_words(vectors_of(decision).view(np.uint32)),
        offsets=msgspec.structs.replace(
            decision.offsets, candidates=pack_words(_as_words(_candidate_offsets(decision)))
        ),
        packed=True,
    )


def vector_bytes(decision: Decision) -> bytes:
    """The plain bytes of the vectors. Raises ``Damaged`` where they cannot be unpacked."""
    if not decision.packed:
        return decision.vectors
    return unpack_words(decision.vectors, len(scored_of(decision)), decision.columns).tobytes()


def vectors_of(decision: Decision) -> F32:
    """The vectors, float32[m, columns]."""
    plain = np.frombuffer(bytearray(vector_bytes(decision)), "<f4")
    return plain.reshape(-1, decision.columns)


def scored_of(decision: Decision) -> Sequence[int]:
    """The candidate of each vector."""
    if decision.scored is None:
        return range(len(decision.candidates))
    return decision.scored


def scores_of(decision: Decision) -> F64:
    """The scores, float64[n]."""
    return np.frombuffer(bytearray(decision.scores), "<f8")


def offsets_of(decision: Decision) -> tuple[I64, I64, I64]:
    """The offsets of catalogue rows [n], sellers' catalogue rows [n] and counters [L, n].

    Raises ``Damaged`` where they cannot be unpacked.
    """
    if decision.packed:
        rows = 2 * (2 + len(decision.offsets.levels))
        words = unpack_words(decision.offsets.candidates, len(decision.candidates), rows)
        offsets = np.ascontiguousarray(words).view("<i8").T
    else:
        offsets = _candidate_offsets(decision)
    return offsets[0], offsets[1], offsets[2:]


def _candidate_offsets(decision: Decision) -> I64:
    plain = np.frombuffer(decision.offsets.candidates, "<i8")
    return plain.reshape(2 + len(decision.offsets.levels), len(decision.candidates))


def _as_words(offsets: I64) -> U32:
    """Two words for each offset: uint32[n, 2 * rows] of ``offsets`` int64[rows, n]."""
    return np.array(offsets.T, order="C").view("<u4")
