"""How those who answered like the visitor answered the candidate."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel, log1p
from personalization.features.family import Feature
from personalization.features.levels import check_level
from personalization.features.rate import MARGIN
from personalization.features.view import F32, F64, I64, Bool, View

if TYPE_CHECKING:
    from personalization.spec import Spec

EXPOSURES = 5.0  # that the rate of the prior is worth
SHARED = 10.0  # exposures, that the item's rate is worth among those of one opinion


class Agreement(Feature, frozen=True):
    """What others with the visitor's opinions of their last items did with the candidate.

    Nine float32[n], in log-odds of ``event`` per ``per`` but for the evidence. For each of the m
    last items j that the visitor liked or disliked, e(j) is how much the candidate's log-odds rise
    among those who thought the same of j: their rate is smoothed with ``SHARED`` exposures at the
    candidate's own rate, which is smoothed with ``EXPOSURES`` at that of ``prior``. Who met j
    first and who met the candidate first both count. ``agreement_<event>`` is the sum of e(j) over
    sqrt(m + 1), as opinions overlap; then the same of what the visitor liked and disliked, the
    ``mean`` weighted by the evidence w(j) = exposures / (exposures + ``SHARED``), the ``evidence``
    (sum of w), the ``most`` and the ``least`` e(j). ``generosity`` is by how much the visitor's
    own rate, over all they saw, is above that of ``prior``, and ``logit`` adds it up with the
    candidate's rate and ``agreement``: a prediction of its own. Without a visitor, that rate alone.

    Item rows count their events by ``keep`` opinions of their visitors. Item-based collaborative
    filtering (Sarwar et al., WWW 2001) of both likes and dislikes, combined as in naive Bayes
    (Miyahara & Pazzani, PRICAI 2000).
    """

    event: str
    per: str
    against: str
    prior: str = "global"
    keep: int = 256

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        for name in (self.event, self.per, self.against):
            spec.plan.event_index[name]
        check_level(self.prior, spec.plan)
        if not 1 <= self.keep <= 4096:
            raise ValueError(f"keep={self.keep} is not from 1 to 4096")
        name = f"agreement_{self.event}"
        parts = ("liked", "disliked", "mean", "evidence", "most", "least", "generosity", "logit")
        return (name, *(f"{name}_{part}" for part in parts))

    def opinions(self) -> int:
        return self.keep

    def compute(self, view: View, out: F32) -> None:
        n, events = len(out), len(view.plan.events)
        shared = view.opinions
        if shared is None:
            liked = np.zeros(0, np.bool_)
            before, after = np.zeros((n, 0, events)), np.zeros((2, n, 0, events))
        else:
            liked, before, after = shared.liked, shared.before, shared.after
        agreements(
            np.ascontiguousarray(view.candidates.items.counts),
            np.ascontiguousarray(view.candidates.at_level(self.prior).counts),
            np.array([0] * events if view.visitor is None else view.visitor.counts, np.int64),
            liked,
            before,
            after,
            view.plan.event_index[self.event],
            view.plan.event_index[self.per],
            view.plan.event_index[self.against],
            out,
        )


@kernel("float64(float64, float64)")
def log_odds(happened: float, not_happened: float) -> float:
    """The logarithm of the ratio of two numbers above 0."""
    return log1p((happened - not_happened) / not_happened)


@kernel(
    "void(int64[:, ::1], int64[:, ::1], int64[::1], boolean[:], float64[:, :, :],"
    " float64[:, :, :, :], int64, int64, int64, float32[:, :])"
)
def agreements(
    counts: I64,
    parents: I64,
    visitor: I64,
    liked: Bool,
    before: F64,
    after: F64,
    event: int,
    per: int,
    against: int,
    out: F32,
) -> None:
    """The nine columns into ``out`` [n, 9], from ``counts`` and ``parents`` [n, E], ``visitor`` [E]
    and the ``Opinions`` of a view; ``event``, ``per`` and ``against`` are places of events."""
    m = len(liked)
    root = np.sqrt(m + 1.0)
    own = float(visitor[event])
    seen = max(float(visitor[per]), own)
    for i in range(len(out)):
        likes = float(counts[i, event])
        shown = max(float(counts[i, per]), likes)
        prior = (parents[i, event] + 1.0) / (
            max(float(parents[i, per]), float(parents[i, event])) + 2.0
        )
        prior = min(max(prior, MARGIN), 1.0 - MARGIN)
        rate = (likes + EXPOSURES * prior) / (shown + EXPOSURES)
        rate = min(max(rate, MARGIN), 1.0 - MARGIN)
        odds = log_odds(rate, 1.0 - rate)
        mine = (own + EXPOSURES * prior) / (seen + EXPOSURES)
        mine = min(max(mine, MARGIN), 1.0 - MARGIN)
        generosity = log_odds(mine, 1.0 - mine) - log_odds(prior, 1.0 - prior)
        answering = min((likes + counts[i, against] + 4.0) / (shown + 4.0), 1.0)
        ups = 0.0
        downs = 0.0
        evidence = 0.0
        most = 0.0
        least = 0.0
        for j in range(m):
            theirs = event if liked[j] else against
            same = after[1, i, j, theirs]
            happened = before[i, j, event] + same
            exposed = before[i, j, per] + (same + after[0, i, j, theirs]) / answering
            exposed = max(exposed, happened)
            raised = log_odds(happened + SHARED * rate, exposed - happened + SHARED * (1.0 - rate))
            raised -= odds
            if liked[j]:
                ups += raised
            else:
                downs += raised
            evidence += exposed / (exposed + SHARED)
            most = max(most, raised)
            least = min(least, raised)
        agreement = (ups + downs) / root
        out[i, 0] = agreement
        out[i, 1] = ups / root
        out[i, 2] = downs / root
        out[i, 3] = (ups + downs) / (evidence + 1.0)
        out[i, 4] = evidence
        out[i, 5] = most
        out[i, 6] = least
        out[i, 7] = generosity
        out[i, 8] = odds + generosity + agreement
