"""From examples to a model that was judged: fits on ever more of the past, each reported on what
came after it, then one fit on all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from personalization.ranking.scorer import Scorer
from personalization.spec import Spec
from personalization.training.card import card
from personalization.training.examples import Examples, Split, forward
from personalization.training.fit import SEED, THREADS, Fitted, fit
from personalization.training.gate import Verdict, judge
from personalization.training.labels import Objective
from personalization.training.off_policy import Places

CANDIDATE = "candidate"
_CATEGORICAL = ("weekday",)


@dataclass(frozen=True, slots=True)
class Learned:
    """The model to serve, fitted on all of ``splits[-1]``; and of every other split the scorer
    that was fitted on it, in ``judged``."""

    fitted: Fitted
    splits: Sequence[Split]
    judged: Sequence[Scorer]

    @property
    def last_report(self) -> int:
        """When the newest report begins (ms): the last of ``judged`` knows nothing from then on."""
        return int(self.splits[-2].report.at[0])


@dataclass(frozen=True, slots=True)
class Trained:
    """A model, what the gate says of it, its ``card``, and the time of its examples (ms)."""

    fitted: Fitted
    verdict: Verdict
    card: dict[str, Any]
    window: tuple[int, int]


def learn(
    examples: Examples,
    spec: Spec,
    in_service: Scorer,
    *,
    objective: Objective,
    progress: Callable[[int, int], None],
    shuffle: bool = False,
    seed: int = SEED,
    threads: int = THREADS,
) -> Learned:
    """Fit; with ``shuffle`` labels that say nothing, while reports keep theirs.

    Raises ``ValueError`` where examples are too few, or all alike.
    """
    splits = forward(examples)
    if shuffle:
        splits = [
            replace(one, train=one.train.shuffled(seed), stop=one.stop.shuffled(seed))
            for one in splits
        ]
    fits: list[Fitted] = []
    for split in splits:
        progress(len(fits), len(splits))
        fits.append(
            fit(
                split.train,
                split.stop,
                spec.columns,
                objective=objective,
                categorical=_CATEGORICAL,
                like=in_service,
                seed=seed,
                threads=threads,
            )
        )
    progress(len(fits), len(splits))
    judged = [fitted.scorer(CANDIDATE, spec.feature_set_id) for fitted in fits[:-1]]
    return Learned(fits[-1], splits, judged)


def finish(
    learned: Learned,
    spec: Spec,
    in_service: Scorer,
    places: Places,
    *,
    objective: Objective,
    labels: Mapping[str, float],
    sources: Mapping[str, int],
    seed: int = SEED,
) -> Trained:
    """Judge against ``in_service``, and describe. ``sources`` says where rows come from."""
    reports = [
        (split.report, scorer)
        for split, scorer in zip(learned.splits, learned.judged, strict=False)
    ]
    verdict = judge(reports, in_service, places, seed=seed)
    described = card(
        feature_set=spec.feature_set_id,
        objective=objective,
        labels=labels,
        splits=learned.splits,
        fitted=learned.fitted,
        verdict=verdict,
        in_service=in_service.name,
        sources=sources,
        seed=seed,
    )
    last = learned.splits[-1]
    return Trained(
        learned.fitted, verdict, described, (int(last.train.at[0]), int(last.stop.at[-1]))
    )
