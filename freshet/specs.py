"""The spec of a deployment."""

import numpy as np

from freshet.settings import SettingsError, import_attribute
from personalization.columns import Columns, view_of
from personalization.features.matrix import feature_matrix
from personalization.features.user import UserFeature
from personalization.features.view import Moment
from personalization.ranking.formula import Formula
from personalization.spec import Spec
from personalization.state.visitor import new_visitor

_UNKNOWN = ("a", "b", "c")


def load_spec(path: str) -> Spec:
    """The spec that ``module:attribute`` names, each feature tried once.

    Raises ``SettingsError``, in one line, whatever is wrong with the module or the spec.
    """
    try:
        spec: Spec = import_attribute(path, Spec, "spec")
        _try_out(spec)
        Formula(spec.columns, spec.feature_set_id)
    except SettingsError:
        raise
    except Exception as error:  # the module is its author's code: it may raise anything
        raise SettingsError(f"spec: {path!r}: {in_one_line(error)}") from error
    return spec


def in_one_line(error: Exception) -> str:
    """What is wrong, with the type of all but plain refusals."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def _try_out(spec: Spec) -> None:
    """Compute every column of a few unknown items, with and without a visitor."""
    for feature in spec.features:
        if isinstance(feature, UserFeature):
            try:
                feature.try_out()
            except ValueError as error:
                raise ValueError(f"feature {feature.name}: {error}") from error
    columns = Columns(spec.plan, items=8, groups=8)
    for visitor in (None, new_visitor(spec.plan)):
        matrix = feature_matrix(spec, view_of(columns, Moment(0), _UNKNOWN, visitor))
        for name, column in zip(spec.columns, matrix.T, strict=True):
            if not np.isfinite(column).all():
                raise ValueError(f"column {name}: not finite for an unknown item")
