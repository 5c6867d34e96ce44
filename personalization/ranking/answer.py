"""The answer to a ranking request, made from its decision alone."""

import msgspec
import numpy as np

from personalization.decisions import Decision, Freshness


class RankedItem(msgspec.Struct, frozen=True):
    """An item shown: the score is the model's logit, before rules and diversity."""

    item: str
    score: float
    propensity: float
    sources: list[str]
    reasons: list[str]


class RankAnswer(msgspec.Struct, frozen=True):
    """What was decided. ``dropped`` says why an item cannot be shown."""

    decision: str
    items: list[RankedItem]
    dropped: dict[str, str]
    freshness: Freshness
    arms: dict[str, str]
    model: str
    feature_set: str


def answer(decision: Decision) -> RankAnswer:
    """The answer that was, or will be, given for ``decision``."""
    scores = np.frombuffer(decision.scores, "<f8")[[s.candidate for s in decision.shown]].tolist()
    items = [
        RankedItem(
            decision.candidates[shown.candidate],
            score,
            shown.propensity,
            decision.sources[shown.candidate],
            shown.reasons,
        )
        for shown, score in zip(decision.shown, scores, strict=True)
    ]
    return RankAnswer(
        decision.id,
        items,
        decision.dropped,
        decision.freshness,
        decision.arms,
        decision.model,
        decision.feature_set,
    )
