"""``POST /v1/rank``: what to show, and in which order."""

from time import perf_counter

import msgspec
from aiohttp import web

from api.answers import answer
from api.bodies import read_as
from api.operation import Operation
from api.services import METRICS, RANKER
from personalization.ranking.answer import RankAnswer
from personalization.ranking.answer import answer as answer_of
from personalization.ranking.request import RankRequest

_REQUEST = msgspec.json.Decoder(RankRequest)


async def post_rank(request: web.Request) -> web.Response:
    """Rank the candidates given, or those that the surface's sources find."""
    stage = request.app[METRICS].rank_stage
    began = perf_counter()
    asked = await read_as(request, _REQUEST)
    stage.labels("parse").observe(perf_counter() - began)
    decision = await request.app[RANKER].decide(asked)
    began = perf_counter()
    response = answer(answer_of(decision))
    stage.labels("answer").observe(perf_counter() - began)
    return response


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
)
