"""A ranking request, as clients write it, and what is wrong with one that cannot be served."""

from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np

from personalization.features.view import F64, Moment
from personalization.plan import MAX_ID_BYTES
from personalization.state.keys import USER_VISITOR
from personalization.wire import FieldError, Rejected, id_error

MAX_CANDIDATES = 2000
MAX_LIMIT = 500
MAX_UTC_OFFSET = 14 * 60

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
ContextValue = Annotated[str, msgspec.Meta(max_length=256)] | float | bool | None


class CandidateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item to rank, with what the caller knows of it: finite numbers by name."""

    item: Id
    features: Annotated[dict[str, float], msgspec.Meta(max_length=64)] = {}


class RankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who looks, at which surface, and what may be shown.

    Without ``candidates`` the surface's sources find them. ``context`` may say ``utc_offset``
    (minutes) and ``session``; anything else is for the spec's context features. ``filters`` is a
    predicate (see ``filters.py``). ``token`` is of an earlier write that must be known first:
    ``wait`` says whether in the visitor's own rows only or in ``all``. ``after`` is a decision
    whose items are not shown again. With ``similar_to``, an item or ``user:<id>``, its neighbours
    are ranked; where it is a user, ``candidates`` of a recorded request are who was found.
    """

    visitor: Id | None = None
    user: Id | None = None
    surface: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "default"
    candidates: (
        Annotated[list[Id | CandidateIn], msgspec.Meta(max_length=MAX_CANDIDATES)] | None
    ) = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 20
    context: Annotated[dict[str, ContextValue], msgspec.Meta(max_length=64)] = {}
    filters: dict[str, Any] | None = None
    explain: bool = False
    token: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    wait: Literal["own", "all"] = "own"
    after: Id | None = None
    similar_to: Id | None = None


class SimilarRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who looks at an item or a user whose neighbours are to be ranked: as in ``RankRequest``."""

    visitor: Id | None = None
    user: Id | None = None
    surface: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "similar"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 20
    context: Annotated[dict[str, ContextValue], msgspec.Meta(max_length=64)] = {}
    filters: dict[str, Any] | None = None
    explain: bool = False
    token: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    wait: Literal["own", "all"] = "own"
    after: Id | None = None

    def of(self, item: str) -> RankRequest:
        """The same of ``item``, or ``user:<id>``."""
        return RankRequest(**msgspec.structs.asdict(self), similar_to=item)


def moment_of(request: RankRequest, now: int) -> Moment:
    """The request's moment at ``now`` (ms). Raises ``Rejected``: a context that cannot be."""
    context = request.context
    offset = context.get("utc_offset")
    if offset is None:
        offset = 0
    session = context.get("session")
    errors = []
    if isinstance(offset, bool | str) or not abs(offset) <= MAX_UTC_OFFSET:
        errors.append(FieldError("context.utc_offset", "is not minutes from -840 to 840"))
    if session is not None and not isinstance(session, str):
        errors.append(FieldError("context.session", "is not a text"))
    if errors:
        raise Rejected(errors)
    return Moment(now, int(offset), session, context)  # type: ignore[arg-type]


def check_ids(request: RankRequest) -> None:
    """Raises ``Rejected`` where ``visitor``, ``user``, ``similar_to`` or a candidate cannot be an
    id, or where there are candidates beside ``similar_to``."""
    errors = []
    for field in ("visitor", "user", "similar_to"):
        value = getattr(request, field)
        reason = None if value is None else id_error(value)
        if reason is not None:
            errors.append(FieldError(field, reason))
    candidates = request.candidates or []
    ids = [one if isinstance(one, str) else one.item for one in candidates]
    if not _all_plain(ids):
        for index, id in enumerate(ids):
            reason = id_error(id)
            if reason is not None:
                part = "" if isinstance(candidates[index], str) else ".item"
                errors.append(FieldError(f"candidates[{index}]{part}", reason))
    if request.visitor is not None and request.visitor.startswith(USER_VISITOR):
        errors.append(
            FieldError("visitor", f"may not start with {USER_VISITOR!r}: give user instead")
        )
    if request.similar_to is not None and request.candidates is not None:
        errors.append(FieldError("similar_to", "finds the candidates: give no others"))
    if errors:
        raise Rejected(errors)


def _all_plain(ids: list[str]) -> bool:
    """Whether all are ids at first sight: looking at each takes longer than all else of a request
    that is checked."""
    lengths = set(map(len, ids))
    together = "".join(ids)
    return (
        together.isascii()
        and together.isprintable()
        and min(lengths, default=1) > 0
        and max(lengths, default=1) <= MAX_ID_BYTES
    )


def callers_candidates(
    candidates: list[str | CandidateIn],
) -> tuple[list[str], dict[str, F64]]:
    """The distinct ids in order, and the caller's features: float64[n] each, NaN where missing.

    Of a candidate given twice the first counts.

    >>> callers_candidates(["a", CandidateIn("b", {"score": 0.5}), "a"])
    (['a', 'b'], {'score': array([nan, 0.5])})
    """
    if set(map(type, candidates)) <= {str}:
        return list(dict.fromkeys(cast("list[str]", candidates))), {}
    ids: dict[str, None] = {}
    features: dict[str, dict[int, float]] = {}
    for candidate in candidates:
        if isinstance(candidate, str):
            ids[candidate] = None
        elif candidate.item not in ids:
            for name, value in candidate.features.items():
                features.setdefault(name, {})[len(ids)] = value
            ids[candidate.item] = None
    columns = {}
    for name in sorted(features):
        column = np.full(len(ids), np.nan)
        given = features[name]
        column[list(given)] = list(given.values())
        columns[name] = column
    return list(ids), columns
