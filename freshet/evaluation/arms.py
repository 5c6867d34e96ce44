"""The arms and the protocol of an evaluation, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from freshet.evaluation.survey import ProtocolName, Survey
from personalization.evaluation.arm import Arm
from personalization.evaluation.basket import Basket
from personalization.evaluation.exposures import (
    Additive,
    ExposureArm,
    ItemRate,
    LikeMinded,
    Probable,
)
from personalization.evaluation.history import History
from personalization.evaluation.lists import Lists
from personalization.evaluation.neighbours import Neighbours
from personalization.evaluation.next_item import NextItem
from personalization.evaluation.pipeline import Frozen, Nightly, Realtime
from personalization.evaluation.pointwise import Pointwise
from personalization.evaluation.popular import Frequent, Popularity, Recent
from personalization.evaluation.protocol import EvaluationProtocol
from personalization.evaluation.split import DAY
from personalization.evaluation.stage import Stage
from personalization.replaying.visitor_rows import Rest
from personalization.replaying.world import World

_RANKED: dict[str, type[NextItem] | type[Basket] | type[Lists]] = {
    "next_item": NextItem,
    "basket": Basket,
    "list": Lists,
}


@dataclass(frozen=True, slots=True)
class Chance:
    """What is drawn, and how often."""

    seed: int
    resamples: int


def protocol_with_arms(
    name: ProtocolName,
    world: World,
    frozen: Frozen,
    realtime: Realtime,
    found: Survey,
    positives: Sequence[str],
    mine: Rest,
    chance: Chance,
    answered: bool,
) -> EvaluationProtocol:
    """The protocol called ``name``, with all its arms; ``realtime`` is the last."""
    history, knn = History(mine), Neighbours()
    nightly, nightly_live = Nightly(frozen, live=False), Nightly(frozen, live=True)
    if name == "pointwise":
        items = ItemRate("popularity")
        exposed: list[ExposureArm] = [
            items,
            ItemRate("recent", 7 * DAY),
            Additive(items),
            LikeMinded(items),
            Probable(nightly),
            Probable(nightly_live),
            Probable(realtime),
        ]
        return Pointwise(
            Stage(world, [], realtime, knn, history),
            exposed,
            positives,
            seed=chance.seed,
            accounts=found.accounts,
            answered=answered,
            resamples=chance.resamples,
        )
    recent = Recent(DAY if name == "next_item" else 14 * DAY)
    popularity = Popularity(30 if name == "basket" else 7)
    arms: list[Arm] = [popularity, recent, Frequent(recent), knn, nightly, nightly_live, realtime]
    return _RANKED[name](
        Stage(world, arms, realtime, knn, history),
        positives,
        seed=chance.seed,
        accounts=found.accounts,
        resamples=chance.resamples,
    )
