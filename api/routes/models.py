"""``/v1/models``: what was trained, which of it ranks, and who decided so."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.answers import answer
from api.bodies import read_as
from api.operation import Operation
from api.problems import Problem
from api.services import MODEL_REPLICA, MODELS, SPEC
from personalization.models import Model, Shelved, model_id, pack_text

_MOST = 100

Said = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who promotes a model, and why: both are kept in the log."""

    by: Said
    why: Said


class PromotionMade(msgspec.Struct, frozen=True):
    """A promotion, at ``at`` (ms)."""

    model: str
    at: int
    by: str
    why: str


class ListedModel(msgspec.Struct, frozen=True):
    """A model: what it scores, when it was trained (``at``, ms) on the examples of which time
    (``window``, ms), and the figures that the gate compared."""

    id: str
    feature_set: str
    kind: str
    objective: str
    at: int
    window: tuple[int, int]
    metrics: dict[str, float]


class DescribedModel(ListedModel, frozen=True):
    """A model with its columns and its card."""

    columns: list[str]
    card: dict[str, Any]


class Models(msgspec.Struct, frozen=True):
    """The newest models and promotions, the newest first.

    ``in_service`` is the model promoted last for the served ``feature_set``; ``serving`` the one
    that ranks in this process. They differ for a moment after a promotion, and where ``refused``
    says why the promoted one cannot be used. ``formula`` is what ranks without a model.
    """

    feature_set: str
    in_service: str
    serving: str
    refused: str | None
    models: list[ListedModel]
    promotions: list[PromotionMade]


async def get_models(request: web.Request) -> web.Response:
    """List models and promotions."""
    return answer(_models(request))


async def get_model(request: web.Request) -> web.Response:
    """Describe a model."""
    id = request.match_info["id"]
    try:
        model = request.app[MODEL_REPLICA].registry.shelved(id).model
    except KeyError as error:
        raise Problem(404, f"there is no model {id!r}") from error
    return answer(msgspec.convert(model, DescribedModel, from_attributes=True))


async def post_model(request: web.Request) -> web.Response:
    """Register a model."""
    await request.app[MODELS].register(await read_as(request, _MODEL))
    return answer(_models(request))


async def promote(request: web.Request) -> web.Response:
    """Promote a model."""
    said = await read_as(request, _PROMOTION)
    await request.app[MODELS].promote(request.match_info["id"], said.by, said.why)
    return answer(_models(request))


def _models(request: web.Request) -> Models:
    replica, feature_set = request.app[MODEL_REPLICA], request.app[SPEC].feature_set_id
    registry = replica.registry
    return Models(
        feature_set=feature_set,
        in_service=registry.in_service(feature_set),
        serving=replica.scorer.name,
        refused=None if replica.refused is None else str(replica.refused),
        models=[_listed(each) for each in registry.models()[: -_MOST - 1 : -1]],
        promotions=[
            PromotionMade(each.model, each.at, each.by, each.why)
            for each in registry.promotions(feature_set)[: -_MOST - 1 : -1]
        ],
    )


def _listed(shelved: Shelved) -> ListedModel:
    return msgspec.convert(shelved.model, ListedModel, from_attributes=True)


_MODEL = msgspec.json.Decoder(Model)
_PROMOTION = msgspec.json.Decoder(Promotion)

_TEXT = pack_text("tree\nversion=v4\n")
_AT = 1_795_428_000_000
_EXAMPLE = Model(
    id=model_id(_AT, _TEXT),
    feature_set="9c1f00000000",
    columns=["item_age", "popularity_1d"],
    kind="lightgbm",
    objective="lambdarank",
    at=_AT,
    window=(_AT - 8_000_000, _AT),
    metrics={"ndcg": 0.412, "ndcg_in_service": 0.391},
    card={},
    text=_TEXT,
)
_ID = _EXAMPLE.id
_DESCRIBED = {
    key: value
    for key, value in msgspec.to_builtins(_EXAMPLE).items()
    if key in DescribedModel.__struct_fields__
}
_LISTED = {key: _DESCRIBED[key] for key in ListedModel.__struct_fields__}
_MODELS = {
    "feature_set": "9c1f00000000",
    "in_service": _ID,
    "serving": _ID,
    "refused": None,
    "models": [_LISTED],
    "promotions": [
        {"model": _ID, "at": 1795428000100, "by": "freshet train", "why": "+0.021 NDCG"}
    ],
}

OPERATIONS = (
    Operation(
        "GET",
        "/v1/models",
        get_models,
        "models",
        "The models, which of them ranks, and who promoted it",
        Models,
        _MODELS,
    ),
    Operation(
        "GET",
        "/v1/models/{id}",
        get_model,
        "models",
        "A model's card",
        DescribedModel,
        _DESCRIBED,
        problems=(404,),
    ),
    Operation(
        "POST",
        "/v1/models",
        post_model,
        "models",
        "Register a model, as freshet train does; it does not rank yet",
        Models,
        _MODELS,
        Model,
        msgspec.json.decode(msgspec.json.encode(_EXAMPLE)),
        problems=(400, 413, 422),
    ),
    Operation(
        "POST",
        "/v1/models/{id}/promote",
        promote,
        "models",
        "Have a model rank from now on; an earlier one, or formula, to roll back",
        Models,
        _MODELS,
        Promotion,
        {"by": "ada", "why": "its click rate is higher in the experiment"},
        problems=(400, 404, 413, 422),
    ),
)
