"""``POST /v1/rank``, ``/v1/similar/items/{id}``, ``/v1/similar/users/{id}``: what to show, and in
which order. ``/v1/score``: how likely it is."""

from time import perf_counter

import msgspec
from aiohttp import web

from api.answers import answer
from api.bodies import read_as
from api.operation import Operation
from api.services import METRICS, RANKER
from personalization.ranking.answer import RankAnswer
from personalization.ranking.answer import answer as answer_of
from personalization.ranking.request import RankRequest, SimilarRequest
from personalization.ranking.score import ScoreAnswer, ScoreRequest
from personalization.state.keys import USER_VISITOR

_REQUEST = msgspec.json.Decoder(RankRequest)
_SIMILAR = msgspec.json.Decoder(SimilarRequest)
_SCORE = msgspec.json.Decoder(ScoreRequest)


async def post_rank(request: web.Request) -> web.Response:
    """Rank the candidates given, or those that the surface's sources find."""
    began = perf_counter()
    return await _decide(request, await read_as(request, _REQUEST), began)


async def post_similar_items(request: web.Request) -> web.Response:
    """Rank the neighbours of an item for who looks at it."""
    began = perf_counter()
    asked = await read_as(request, _SIMILAR)
    return await _decide(request, asked.of(request.match_info["id"]), began)


async def post_similar_users(request: web.Request) -> web.Response:
    """Rank the users like one for who looks at them."""
    began = perf_counter()
    asked = await read_as(request, _SIMILAR)
    return await _decide(request, asked.of(USER_VISITOR + request.match_info["id"]), began)


async def post_score(request: web.Request) -> web.Response:
    """The probability of each pair of somebody and an item."""
    return answer(await request.app[RANKER].score(await read_as(request, _SCORE)))


async def _decide(request: web.Request, asked: RankRequest, began: float) -> web.Response:
    stage = request.app[METRICS].rank_stage
    stage.labels("parse").observe(perf_counter() - began)
    decision = await request.app[RANKER].decide(asked)
    began = perf_counter()
    response = answer(answer_of(decision))
    stage.labels("answer").observe(perf_counter() - began)
    return response


def _near(decision: str, item: str, score: float, *sources: str) -> dict[str, object]:
    """An example of what is answered where neighbours are ranked."""
    return {
        "decision": decision,
        "items": [
            {
                "item": item,
                "score": score,
                "propensity": 1.0,
                "sources": list(sources),
                "reasons": [],
            }
        ],
        "dropped": {},
        "freshness": {
            "newest_event_ms": 12,
            "behind": {"visitors": 0, "items": 0},
            "measured_ms_ago": 40,
            "caught_up": None,
        },
        "arms": {},
        "model": "formula",
        "feature_set": "9c1f00000000",
    }


OPERATIONS = (
    Operation(
        "POST",
        "/v1/rank",
        post_rank,
        "ranking",
        "Rank candidates, given or found",
        RankAnswer,
        {
            "decision": "01M8216CSV000C000000000000",
            "items": [
                {
                    "item": "i2",
                    "score": 1.3,
                    "propensity": 1.0,
                    "sources": ["caller"],
                    "reasons": [],
                }
            ],
            "dropped": {"i7": "out_of_stock"},
            "freshness": {
                "newest_event_ms": 12,
                "behind": {"visitors": 0, "items": 0},
                "measured_ms_ago": 40,
                "caught_up": True,
            },
            "arms": {},
            "model": "formula",
            "feature_set": "9c1f00000000",
        },
        RankRequest,
        {
            "visitor": "v1",
            "candidates": ["i1", {"item": "i2", "features": {"score": 0.3}}],
            "limit": 20,
            "context": {"device": "phone", "utc_offset": 60},
            "filters": {"all": [{"price": {"lte": 80}}, {"category": {"in": ["shoes"]}}]},
        },
        problems=(400, 404, 413, 422),
    ),
    Operation(
        "POST",
        "/v1/similar/items/{id}",
        post_similar_items,
        "ranking",
        "Rank what is near an item, for the viewer",
        RankAnswer,
        _near("01M8216CSV000C000000000001", "i5", 0.8, "covisited", "category"),
        SimilarRequest,
        {"visitor": "v1", "limit": 12, "context": {"device": "phone"}},
        problems=(400, 404, 413, 422),
    ),
    Operation(
        "POST",
        "/v1/similar/users/{id}",
        post_similar_users,
        "ranking",
        "Rank who is like a user, for the viewer",
        RankAnswer,
        _near("01M8216CSV000C000000000002", "user:u5", 2.1, "category", "tags"),
        SimilarRequest,
        {"visitor": "v1", "limit": 12, "context": {"device": "phone"}},
        problems=(400, 404, 413, 422),
    ),
    Operation(
        "POST",
        "/v1/score",
        post_score,
        "ranking",
        "Say how likely each pair of somebody and an item is",
        ScoreAnswer,
        {
            "scores": [
                {
                    "visitor": "card-1",
                    "user": None,
                    "item": "shop-9",
                    "probability": 0.031,
                    "decision": "01M8216CSV000C000000000003",
                }
            ],
            "freshness": {
                "newest_event_ms": 12,
                "behind": {"visitors": 0, "items": 0},
                "measured_ms_ago": 40,
                "caught_up": None,
            },
            "model": "01M8216CSV000C000000000009",
            "calibrated": True,
            "feature_set": "9c1f00000000",
        },
        ScoreRequest,
        {
            "pairs": [{"visitor": "card-1", "item": "shop-9", "context": {"amount": 120.0}}],
            "context": {"utc_offset": 60},
        },
        problems=(400, 413, 422),
    ),
)
