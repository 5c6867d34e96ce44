"""The record of one ranking: enough to run it again to the same bits, and to check it."""

import zlib
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np

from personalization.codec import Codec
from personalization.features.view import F32, F64, I64
from personalization.ranking.hydrate import RowRead
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.ranking.values import RecordedValues

_PACKING = 1  # zlib's fastest: float32 vectors gain little from more


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

    Of n candidates, int64 little-endian: ``catalogue`` [n], ``sellers_catalogue`` [n] and
    ``counters`` [L, n], one layer for each of ``levels`` (item, seller, the plan's segments).
    ``last_items``: the item rows of the visitor's last items.
    """

    levels: list[str]
    catalogue: bytes
    sellers_catalogue: bytes
    counters: bytes
    last_items: dict[str, int]


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """One ranking that was served.

    ``at`` in ms; ``process`` and ``sequence`` show whether one is missing. ``rows`` are the
    visitors' and users' rows as read, ``seen`` and ``disliked`` what the surface took from them;
    ``values`` what filters, rules, caps and diversity read. ``candidates``, ``sources`` and
    ``scores`` (float64 little-endian) have n entries. ``vectors`` are float32 little-endian
    [m, k], zlib-compressed if ``packed``, of the candidates ``scored`` (``None``: all of them);
    ``digest`` is BLAKE2b of the plain bytes. ``shown`` is the page, ``dropped`` the reason of
    what could not be on it.
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


DECISIONS = Codec(Decision)


def digest_of(vectors: bytes) -> bytes:
    """BLAKE2b, 16 bytes, of plain vectors."""
    return blake2b(vectors, digest_size=16).digest()


def pack(decision: Decision) -> Decision:
    """The same with its vectors compressed: for the writer, off the serving path."""
    if decision.packed:
        return decision
    packed = zlib.compress(decision.vectors, _PACKING)
    return msgspec.structs.replace(decision, vectors=packed, packed=True)


def vector_bytes(decision: Decision) -> bytes:
    """The plain bytes of the vectors. Raises ``zlib.error`` where they are damaged."""
    return zlib.decompress(decision.vectors) if decision.packed else decision.vectors


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
    """The offsets of catalogue rows [n], sellers' catalogue rows [n] and counters [L, n]."""
    offsets, n = decision.offsets, len(decision.candidates)
    return (
        np.frombuffer(offsets.catalogue, "<i8"),
        np.frombuffer(offsets.sellers_catalogue, "<i8"),
        np.frombuffer(offsets.counters, "<i8").reshape(len(offsets.levels), n),
    )
