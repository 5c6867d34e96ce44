"""Columns computed from columns, by a function of the spec's author."""

import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from personalization.features.family import Feature, finite
from personalization.features.gap import mean_log
from personalization.features.view import F32, F64, View
from personalization.plan import StatePlan

if TYPE_CHECKING:
    from personalization.spec import Spec

_ITEM = "item_"
_VISITOR_MEAN = "visitor_mean_"
_VALUES: F64 = np.array([0.0, 0.25, 0.75, 1.0, 10.0, 1000.0])


class UserFeature(Feature, frozen=True):
    """A function of columns, declared with ``@spec.feature``: one column.

    Each parameter names a float64[n] that it reads: a column declared before it,
    ``item_<number>`` (NaN where unknown) or ``visitor_mean_<number>`` (the visitor's own mean,
    weighted by interest and geometric, NaN where unknown). What it returns is cut to the range
    of float32, with 0 for NaN. It must treat every candidate by itself, as the families do.
    """

    name: str
    parameters: tuple[str, ...]
    source: str
    function: Callable[..., Any]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "UserFeature":
        """Declare ``function``; its parameters name the columns it reads."""
        return cls(
            name=function.__name__,
            parameters=tuple(inspect.signature(function).parameters),
            source=inspect.getsource(function),
            function=function,
        )

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        return (self.name,)

    def check(self, plan: StatePlan, before: Sequence[str]) -> None:
        """Raises ``ValueError`` for a function without a name, or with a parameter that is
        neither one of the columns ``before`` it nor about a declared number."""
        if not self.name.isidentifier():
            raise ValueError("the function needs a name")
        about = {prefix + name for name in plan.numbers for prefix in (_ITEM, _VISITOR_MEAN)}
        for name in self.parameters:
            if name not in about and name not in before:
                raise ValueError(f"parameter {name!r} names no column declared before it")

    def try_out(self) -> None:
        """Call the function with made-up values, and with nothing known (NaN).

        Raises ``ValueError`` where it fails, does not return one float for each candidate, or
        has no finite value for any of the made-up ones.
        """
        for values in (_VALUES, np.full(len(_VALUES), np.nan)):
            try:
                with np.errstate(all="ignore"):
                    found = self.function(*(values.copy() for _ in self.parameters))
                    column = np.asarray(found, dtype=np.float64)
            except Exception as error:  # whatever its author's code raises
                raise ValueError(f"{type(error).__name__}: {error}") from error
            if column.shape != values.shape:
                raise ValueError(
                    f"returned the shape {column.shape} for {len(values)} candidates, "
                    f"not {values.shape}"
                )
            if values is _VALUES and not np.isfinite(column).any():
                raise ValueError("returned no finite value")

    def declaration(self) -> Any:
        digest = hashlib.blake2b(self.source.encode(), digest_size=8).hexdigest()
        return [self.name, list(self.parameters), digest]

    def compute_from(self, view: View, columns: Sequence[str], matrix: F32, out: F32) -> None:
        """Fill ``out`` [n, 1]; ``columns`` are the names of ``matrix`` [n, k]."""
        with np.errstate(all="ignore"):
            inputs = [_input(name, view, columns, matrix) for name in self.parameters]
            out[:, 0] = finite(np.asarray(self.function(*inputs), dtype=np.float64))


def _input(name: str, view: View, columns: Sequence[str], matrix: F32) -> F64:
    if name in columns:
        return matrix[:, columns.index(name)].astype(np.float64)
    number = name.removeprefix(_ITEM)
    if number in view.candidates.numbers:
        return view.candidates.numbers[number]
    mean = mean_log(view.visitor, name.removeprefix(_VISITOR_MEAN), view.plan)
    value = math.nan if mean is None else math.expm1(min(mean, 709.0))
    return np.full(len(view.candidates.ids), value)
