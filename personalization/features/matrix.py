"""The feature matrix: every declared column, for every candidate."""

import numpy as np

from personalization.features.user import UserFeature
from personalization.features.view import F32, View
from personalization.spec import Spec


def feature_matrix(spec: Spec, view: View) -> F32:
    """float32[n, len(spec.columns)], C-contiguous, all finite.

    A candidate's row depends on the view and on that candidate alone.
    """
    columns = spec.columns
    matrix = np.zeros((len(view.candidates.ids), len(columns)), np.float32)
    for feature, first, end in spec.layout:
        out = matrix[:, first:end]
        if isinstance(feature, UserFeature):
            feature.compute_from(view, columns[:first], matrix, out)
        else:
            feature.compute(view, out)
    return matrix
