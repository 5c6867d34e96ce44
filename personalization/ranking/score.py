"""Probabilities for pairs of a visitor and an item: scored as in a ranking, and not ranked."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from personalization.decisions import Freshness
from personalization.ranking.request import (
    CandidateIn,
    ContextValue,
    Id,
    RankRequest,
    moment_of,
)
from personalization.ranking.surface import SCORES, Surface
from personalization.state.keys import USER_VISITOR
from personalization.wire import FieldError, Rejected, id_error

MAX_PAIRS = 500
_TOGETHER = 100  # pairs of one decision: more would hold the loop for longer than a millisecond

Context = Annotated[dict[str, ContextValue], msgspec.Meta(max_length=64)]


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody and an item. ``features`` are the caller's own, finite numbers by name; ``context``
    is added to that of the request."""

    item: Id
    visitor: Id | None = None
    user: Id | None = None
    features: Annotated[dict[str, float], msgspec.Meta(max_length=64)] = {}
    context: Context = {}


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be scored; ``token`` and ``wait`` as in ``RankRequest``."""

    pairs: Annotated[list[Pair], msgspec.Meta(min_length=1, max_length=MAX_PAIRS)]
    context: Context = {}
    token: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    wait: Literal["own", "all"] = "own"


class PairScore(msgspec.Struct, frozen=True):
    """A pair's probability, and the decision that has all that it was made of."""

    visitor: str | None
    user: str | None
    item: str
    probability: float
    decision: str


class ScoreAnswer(msgspec.Struct, frozen=True):
    """Scores in the order of the pairs. ``calibrated`` says that the model was fitted to give
    probabilities; else they are in the right order at best."""

    scores: list[PairScore]
    freshness: Freshness
    model: str
    calibrated: bool
    feature_set: str


def score_surface() -> Surface:
    """The surface of scores: it has no rules, and nothing is shown on it."""
    return Surface(SCORES)


def rankings_of(request: ScoreRequest, now: int) -> Iterator[tuple[list[int], RankRequest]]:
    """One request for each decision, with the places of its pairs: pairs of one visitor in one
    context are together, up to 100 of different items.

    Raises ``Rejected``, before any of them, for what cannot be.
    """
    errors = [error for place, pair in enumerate(request.pairs) for error in _wrong(place, pair)]
    if errors:
        raise Rejected(errors)
    together: dict[tuple[str | None, str | None, bytes], list[list[int]]] = {}
    for place, pair in enumerate(request.pairs):
        key = (pair.visitor, pair.user, msgspec.json.encode(pair.context, order="sorted"))
        parts = together.setdefault(key, [])
        items = set() if not parts else {request.pairs[other].item for other in parts[-1]}
        if not parts or pair.item in items or len(items) == _TOGETHER:
            parts.append([])
        parts[-1].append(place)
    asked = [(places, _ranking(request, places)) for parts in together.values() for places in parts]
    for _, ranking in asked:
        moment_of(ranking, now)
    return iter(asked)


def probability(score: float) -> float:
    """The logistic function of a logit.

    >>> probability(0.0), round(probability(-2.0), 4)
    (0.5, 0.1192)
    """
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    return math.exp(score) / (1.0 + math.exp(score))


def _ranking(request: ScoreRequest, places: list[int]) -> RankRequest:
    pairs = [request.pairs[place] for place in places]
    return RankRequest(
        visitor=pairs[0].visitor,
        user=pairs[0].user,
        surface=SCORES,
        candidates=[CandidateIn(pair.item, pair.features) for pair in pairs],
        limit=len(pairs),
        context={**request.context, **pairs[0].context},
        token=request.token,
        wait=request.wait,
    )


def _wrong(place: int, pair: Pair) -> Iterator[FieldError]:
    for field in ("item", "visitor", "user"):
        value = getattr(pair, field)
        reason = None if value is None else id_error(value)
        if field == "visitor" and value is not None and value.startswith(USER_VISITOR):
            reason = f"may not start with {USER_VISITOR!r}: give user instead"
        if reason is not None:
            yield FieldError(f"pairs[{place}].{field}", reason)
