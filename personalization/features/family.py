"""What every family of features is."""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from personalization.features.view import F32, F64, View
from personalization.plan import AffinityPlan, ShownPlan

if TYPE_CHECKING:
    from personalization.spec import Spec

_LARGEST = float(np.finfo(np.float32).max)


class Feature(msgspec.Struct, frozen=True):
    """A declaration: its parameters are its fields. One or more columns of the matrix.

    What it computes for a candidate does not depend on the other candidates, is finite, and is
    the same bits for the same view.
    """

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        """The columns' names. Raises ``KeyError`` or ``ValueError`` where the spec lacks what
        the feature needs."""
        raise NotImplementedError

    def affinities(self) -> tuple[AffinityPlan, ...]:
        """The top-K maps that visitor rows must keep for it."""
        return ()

    def opinions(self) -> int:
        """Of how many opinions of other items an item's row must count its events for it."""
        return 0

    def sessions(self) -> int:
        """How many of the last sessions it was wanted in an item's row must keep for it."""
        return 0

    def shown(self) -> tuple[ShownPlan, ...]:
        """What visitors' sessions must count for it."""
        return ()

    def declaration(self) -> Any:
        """What is hashed into the feature set's id, beside the type's name."""
        return msgspec.to_builtins(self)

    def compute(self, view: View, out: F32) -> None:
        """Fill ``out`` [n, columns]; it comes filled with zeros."""
        raise NotImplementedError


def finite(values: F64) -> F64:
    """``values`` as float32 can hold them: NaN as 0, what is too large cut.

    >>> finite(np.array([1.5, np.nan, -np.inf])).tolist()
    [1.5, 0.0, -3.4028234663852886e+38]
    """
    cut = np.minimum(np.maximum(values, -_LARGEST), _LARGEST)
    return np.where(np.isnan(cut), 0.0, cut)
