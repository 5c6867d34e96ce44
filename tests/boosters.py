"""Boosters of LightGBM for tests: random, and trained on what has every kind of split."""

import re
from typing import Any, NamedTuple

import lightgbm
import msgspec
import numpy as np
import numpy.typing as npt

from personalization.models import Model, model_id, pack_text
from personalization.spec import Spec

NOW = 1_795_428_000_000
F32 = npt.NDArray[np.float32]
_EDGES = (
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-35, -1e-35, 1.1e-35, -1.1e-35, 1e-36, 1e-44, 3e38),
    *(-1.0, -0.5, -0.99, 0.5, 1.0, 31.0, 31.5, 32.0, 63.0, 64.0, 1e9, 2.0**31, -(2.0**31), 2.0**40),
)


class Made(NamedTuple):
    """A booster's text, and rows that are worth scoring with it: float32[n, k]."""

    text: str
    matrix: F32

    def oracle(self) -> npt.NDArray[np.float64]:
        """What LightGBM itself says, from the text alone."""
        if not len(self.matrix):
            return np.zeros(0)
        booster = lightgbm.Booster(model_str=self.text)
        return np.asarray(booster.predict(self.matrix, raw_score=True, num_threads=1))


def made(
    seed: int, *, trees: int = 5, rows: int = 150, data_rows: int = 400, **params: Any
) -> Made:
    """Numbers, one with many zeros, one that is often missing, and three categories."""
    drawn = np.random.default_rng(seed)
    columns = 7
    data = drawn.normal(size=(data_rows, columns))
    data[:, 1] = np.where(drawn.random(data_rows) < 0.6, 0.0, data[:, 1])
    data[:, 2] = np.where(drawn.random(data_rows) < 0.4, np.nan, data[:, 2])
    data[:, 3] = np.round(data[:, 3], 1)
    for column, categories in ((4, 3), (5, 40), (6, 300)):
        data[:, column] = drawn.integers(0, categories, data_rows)
    data[drawn.random(data.shape) < 0.03] = np.nan
    data = data.astype(np.float32).astype(np.float64)
    tables = drawn.normal(size=300)
    labels = (
        np.nan_to_num(data[:, 0])
        + np.isnan(data[:, 2])
        + (data[:, 1] == 0.0)
        + tables[np.nan_to_num(data[:, 5]).astype(int)]
        + tables[np.nan_to_num(data[:, 6]).astype(int)]
    )
    options: dict[str, Any] = {
        "objective": "regression",
        "num_leaves": 31,
        "min_data_in_leaf": 2,
        "min_data_per_group": 2,
        "cat_smooth": 1.0,
        "verbose": -1,
        "num_threads": 1,
        "seed": seed,
        **params,
    }
    groups = None
    if options["objective"] == "binary":
        labels = (labels > 0).astype(float)
    if options["objective"] == "lambdarank":
        labels, groups = np.clip(np.round(labels), 0, 4), [20] * 20
    dataset = lightgbm.Dataset(data, labels, group=groups, categorical_feature=[4, 5, 6])
    booster = lightgbm.train(options, dataset, trees)
    text = booster.model_to_string()
    return Made(text, _worth_scoring(text, data, rows, drawn))


def record(given: Made, feature_set: str = "f1") -> Model:
    """A booster's record, for a feature set whose columns are its own."""
    text = pack_text(given.text)
    return Model(
        id=model_id(NOW, text),
        feature_set=feature_set,
        columns=[f"column_{number}" for number in range(given.matrix.shape[1])],
        kind="lightgbm",
        objective="regression",
        at=NOW,
        window=(NOW - 1000, NOW),
        metrics={"ndcg": 0.5},
        card={},
        text=text,
    )


def model_for(spec: Spec, seed: int, trees: int = 200) -> Model:
    """A model of random trees that scores the columns of ``spec``."""
    drawn = np.random.default_rng(seed)
    data = drawn.normal(size=(2000, len(spec.columns)))
    labels = data @ drawn.normal(size=data.shape[1])
    params = {"num_leaves": 31, "verbose": -1, "num_threads": 1, "seed": seed}
    booster = lightgbm.train(params, lightgbm.Dataset(data, labels), trees)
    model = record(Made(booster.model_to_string(), data.astype(np.float32)), spec.feature_set_id)
    return msgspec.structs.replace(model, columns=list(spec.columns))


def _worth_scoring(
    text: str, data: npt.NDArray[np.float64], rows: int, drawn: np.random.Generator
) -> F32:
    """Rows of the data with other values put in: edges, thresholds and what is next to them."""
    matrix = data[drawn.integers(0, len(data), rows)].astype(np.float32)
    found = re.findall(r"^threshold=(.*)$", text, re.MULTILINE)
    near = np.array(" ".join(found).split(), np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    edges = np.array(_EDGES, np.float32)
    values = np.concatenate([edges, near, np.nextafter(near, up), np.nextafter(near, down)])
    chosen = drawn.random(matrix.shape) < 0.3
    matrix[chosen] = drawn.choice(values, int(chosen.sum()))
    return matrix
