"""A LightGBM model of examples.

Positions. Some of what is clicked is clicked because it stood first. How much is read off a pilot
model that does not know positions: what each has more or less than the pilot expects there
(regression-based, as Wang et al., Position bias estimation for unbiased learning to rank in
personal search, WSDM 2018). A probability gets it as an offset while fitting, 0 when serving; a
list's positive rows are weighted by its inverse (Joachims et al., Unbiased learning-to-rank with
biased feedback, WSDM 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np

from personalization.features.view import F64, I32
from personalization.ranking.booster import BoosterScorer
from personalization.ranking.scorer import Scorer
from personalization.training.examples import Examples, graded
from personalization.training.labels import Objective

SEED = 7
THREADS = 2
PATIENCE = 50
MOST_TREES = 600
PILOT_TREES = 100
POSITIONS = 50
"""Positions further down are taken for one."""

_LARGEST_OFFSET = 1.5
_STEPS = 4
_SHRINKAGE = 5.0
_SHARED = {
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "lambda_l2": 20.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
_RANKING = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "lambdarank_truncation_level": 20,
}
_BINARY = {"objective": "binary", "metric": "binary_logloss"}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model: LightGBM's ``text``, ``trees`` how many it has, ``importance`` the gain of its
    columns' splits, the largest first."""

    text: str
    trees: int
    importance: dict[str, float]
    columns: Sequence[str]

    def scorer(self, name: str, feature_set: str) -> Scorer:
        """Scores with LightGBM itself."""
        return BoosterScorer(name, feature_set, self.columns, self.text)


def fit(
    train: Examples,
    stop: Examples,
    columns: Sequence[str],
    *,
    objective: Objective = "lambdarank",
    categorical: Sequence[str] = (),
    like: Scorer | None = None,
    seed: int = SEED,
    threads: int = THREADS,
    parameters: Mapping[str, Any] | None = None,
) -> Fitted:
    """A model of ``train``, which stops when ``stop`` has not got better for ``PATIENCE`` trees.

    A surface's temperature, boosts and diversity are in logits. So a model that ranks gets the
    units of what it replaces: the same mean spread within a list as ``like`` on ``stop``. Equal
    examples, seed and threads give equal bits. ``parameters`` replace LightGBM's as chosen here.
    Raises ``ValueError`` where all labels are the same.
    """
    for part in (train, stop):
        if not len(part.labels) or not (part.labels != part.labels[0]).any():
            raise ValueError("all labels are the same: there is nothing to learn")
    lists = objective == "lambdarank"
    chosen = {
        **_SHARED,
        **(_RANKING if lists else _BINARY),
        "seed": seed,
        "num_threads": threads,
        **(parameters or {}),
    }
    trees = int(chosen.pop("num_iterations", MOST_TREES))
    places = [columns.index(name) for name in categorical if name in columns]

    def booster(first: Examples, second: Examples, offsets: F64 | None = None) -> lightgbm.Booster:
        several = _ranked(first, second) if lists else _binary(first, second, offsets)
        sets: list[lightgbm.Dataset] = []
        for data in several:
            reference = sets[0] if sets else None
            sets.append(
                lightgbm.Dataset(
                    **data,
                    feature_name=list(columns),
                    categorical_feature=places,
                    reference=reference,
                    params={"verbose": -1},
                )
            )
        gains = {"label_gain": _gains(train, stop)} if lists else {}
        return lightgbm.train(
            {**chosen, **gains},
            sets[0],
            trees,
            valid_sets=sets[1:],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )

    pilot = _pilot(train, {**_SHARED, **_BINARY, "num_threads": threads, "seed": seed})
    if pilot is None:
        fitted = booster(train, stop)
    elif lists:
        fitted = booster(_unbiased(train, pilot), _unbiased(stop, pilot))
    else:
        fitted = booster(train, stop, pilot)
    best = max(1, fitted.best_iteration)
    if pilot is not None and not lists:
        _change_leaves(fitted, 1, add=_log_odds(train))
    if like is not None and objective != "binary":
        own = np.asarray(fitted.predict(stop.matrix, raw_score=True, num_iteration=best))
        if (spread_now := spread(stop, own)) > 0.0:
            _change_leaves(fitted, best, times=spread(stop, like.score(stop.matrix)) / spread_now)
    gains = fitted.feature_importance("gain", iteration=best)
    order = np.argsort(-gains, kind="stable")
    return Fitted(
        fitted.model_to_string(num_iteration=best),
        best,
        {columns[c]: float(gains[c]) for c in order if gains[c] > 0.0},
        list(columns),
    )


def position_offsets(examples: Examples, logits: F64) -> F64:
    """What each position adds to the logit of an outcome, float64[POSITIONS + 2] (the last:
    position unknown): a few Newton steps from ``logits`` [n], shrunk where there is little data; 0
    on average over rows."""
    positions = _positions(examples)
    weights = examples.weights.astype(np.float64)
    happened = examples.labels > 0.0
    offsets = np.zeros(POSITIONS + 2)

    def total(values: F64) -> F64:
        return np.asarray(np.bincount(positions, weights * values, POSITIONS + 2), np.float64)

    for _ in range(_STEPS):
        expected = 1.0 / (1.0 + np.exp(-logits - offsets[positions]))
        slope = total(happened - expected) - _SHRINKAGE * offsets
        offsets += slope / (total(expected * (1.0 - expected)) + _SHRINKAGE)
    there = total(np.ones(len(positions)))
    centred = offsets - (offsets * there).sum() / there.sum()
    return np.asarray(np.clip(centred, -_LARGEST_OFFSET, _LARGEST_OFFSET), np.float64)


def _pilot(train: Examples, parameters: dict[str, Any]) -> F64 | None:
    """What positions do to outcomes; ``None`` where they are not known."""
    if train.positions is None or (train.positions <= 0).all():
        return None
    pilot = lightgbm.train(
        parameters,
        lightgbm.Dataset(train.matrix, train.labels > 0.0, params={"verbose": -1}),
        PILOT_TREES,
    )
    return position_offsets(train, np.asarray(pilot.predict(train.matrix, raw_score=True)))


def _unbiased(part: Examples, offsets: F64) -> Examples:
    more = np.exp(-offsets[_positions(part)])
    weights = part.weights * np.where(part.labels > 0.0, more, 1.0)
    return replace(part, weights=np.asarray(weights / weights.mean(), np.float32))


def _ranked(train: Examples, stop: Examples) -> list[dict[str, Any]]:
    grades, _ = graded(np.concatenate([train.labels, stop.labels]))
    cut = len(train.labels)
    return [
        {"data": part.matrix, "label": label, "group": part.groups, "weight": part.weights}
        for part, label in ((train, grades[:cut]), (stop, grades[cut:]))
    ]


def _gains(train: Examples, stop: Examples) -> Sequence[float]:
    return graded(np.concatenate([train.labels, stop.labels]))[1]


def _binary(train: Examples, stop: Examples, offsets: F64 | None) -> list[dict[str, Any]]:
    return [
        {
            "data": part.matrix,
            "label": part.labels > 0.0,
            "weight": part.weights,
            "init_score": None if offsets is None else offsets[_positions(part)] + _log_odds(train),
        }
        for part in (train, stop)
    ]


def _log_odds(train: Examples) -> float:
    """Of an outcome: where LightGBM is given offsets it starts from them alone."""
    rate = float(np.average(train.labels > 0.0, weights=train.weights))
    return float(np.log(rate / (1.0 - rate)))


def _change_leaves(
    booster: lightgbm.Booster, trees: int, *, times: float = 1.0, add: float = 0.0
) -> None:
    for tree, described in enumerate(booster.dump_model(num_iteration=trees)["tree_info"]):
        for leaf in range(described["num_leaves"]):
            value = booster.get_leaf_output(tree, leaf)
            booster.set_leaf_output(tree, leaf, value * times + add)


def spread(examples: Examples, scores: F64) -> float:
    """The mean over lists of the standard deviation of ``scores`` [n]."""
    starts = examples.starts[:-1]
    means = np.add.reduceat(scores, starts) / examples.groups
    squares = np.add.reduceat((scores - np.repeat(means, examples.groups)) ** 2, starts)
    return float(np.sqrt(squares / examples.groups).mean())


def _positions(part: Examples) -> I32:
    assert part.positions is not None
    known = np.minimum(part.positions, POSITIONS)
    return np.where(known < 0, POSITIONS + 1, known).astype(np.int32)
