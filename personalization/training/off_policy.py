"""What another scorer would have earned on pages that were drawn: self-normalised importance
sampling (SNIPS: Swaminathan & Joachims, The self-normalized estimator for counterfactual
learning, NeurIPS 2015).

Only the first place of a page is weighed: nothing above it has to be drawn alike, so weights stay
small. Both scorers are taken to serve on the same surface, with its temperature.
"""

from typing import Protocol

import numpy as np

from personalization.decisions import Decision, scores_of, vectors_of
from personalization.evaluation.bootstrap import Interval, Means
from personalization.features.view import F64, I64
from personalization.ranking.choose import CAPPED
from personalization.ranking.scorer import Scorer

_SAME = 1e-6
_ADDING = ("boost", "bury", "pin")


class Rewards(Protocol):
    """The outcome of what a decision showed first (``None``: it was not seen), and its visitor's
    number."""

    def __call__(self, decision: Decision) -> tuple[float, int] | None: ...


class Places:
    """First places, and what each scorer would have made of them."""

    def __init__(self, candidate: Scorer, in_service: Scorer, rewards: Rewards) -> None:
        self.drawn = 0
        """How many were drawn with a probability that the record explains."""
        self._scorers = (candidate, in_service)
        self._rewards = rewards
        self._weights: list[tuple[float, float]] = []
        self._gains: list[float] = []
        self._visitors: list[int] = []

    def take(self, decision: Decision) -> None:
        """The next decision; what was not drawn, or not seen, is left out."""
        if decision.surface.temperature <= 0.0 or not decision.shown:
            return
        told = self._rewards(decision)
        eligible = first_eligible(decision)
        if told is None or len(eligible) == 0 or decision.scored is not None:
            return
        first = decision.shown[0]
        temperature = decision.surface.temperature
        logged = _probability(scores_of(decision), eligible, first.candidate, temperature)
        if abs(logged - first.propensity) > _SAME:
            return
        matrix = vectors_of(decision)
        probabilities = [
            _probability(scorer.score(matrix), eligible, first.candidate, temperature)
            for scorer in self._scorers
        ]
        self.drawn += 1
        self._weights.append((probabilities[0] / logged, probabilities[1] / logged))
        self._gains.append(told[0])
        self._visitors.append(told[1])

    def effective(self) -> float:
        """How many draws of its own the candidate's are worth (Kish)."""
        weights = np.array([weight for weight, _ in self._weights])
        total = float((weights**2).sum()) if len(weights) else 0.0
        return float(weights.sum()) ** 2 / total if total > 0.0 else 0.0

    def compared(self, seed: int) -> dict[str, Interval]:
        """Outcomes per first place of ``candidate`` and ``in_service``, and their ``difference``,
        each with a 95 % interval, bootstrapped by visitor."""
        weights = np.array(self._weights)
        gains = np.array(self._gains)
        earned = weights * gains[:, None] / weights.mean(axis=0)
        means = Means(1, 2, seed)
        for visitor, row in zip(self._visitors, earned, strict=True):
            means.add(visitor, 1, row)
        return {
            "candidate": means.mean(0, 0),
            "in_service": means.mean(0, 1),
            "difference": means.difference(0, 0, 1),
        }


def first_eligible(decision: Decision) -> I64:
    """The candidates that the first place was drawn from, where the record alone says so: none
    where rules add to logits or set places aside."""
    if any(rule.action in _ADDING for rule in decision.surface.rules):
        return np.empty(0, np.int64)
    dropped = {item for item, reason in decision.dropped.items() if reason != CAPPED}
    left = [c for c, item in enumerate(decision.candidates) if item not in dropped]
    known = [c for c in left if decision.values.known[c]]
    return np.array(known or left, np.int64)


def _probability(scores: F64, eligible: I64, chosen: int, temperature: float) -> float:
    logits = scores[eligible] / temperature
    weights = np.exp(logits - logits.max())
    return float(weights[eligible == chosen].sum() / weights.sum())
