"""What every family of features is."""

import hashlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from personalization.features.view import F32, F64, View
from personalization.plan import AffinityPlan

if TYPE_CHECKING:
    from personalization.spec import Spec


class Feature(msgspec.Struct, frozen=True):
    """A declaration: its parameters are its fields. One or more columns of the matrix."""

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        """The columns' names. Raises ``KeyError`` or ``ValueError`` where the spec lacks what
        the feature needs."""
        raise NotImplementedError

    def affinities(self) -> tuple[AffinityPlan, ...]:
        """The top-K maps that visitor rows must keep for it."""
        return ()

    def declaration(self) -> Any:
        """What is hashed into the feature set's id, beside the type's name."""
        return msgspec.to_builtins(self)

    def compute(self, view: View, out: F32) -> None:
        """Fill ``out`` [n, columns]; it comes filled with zeros."""
        raise NotImplementedError


class UserFeature(Feature, frozen=True):
    """A function of columns, declared with ``@spec.feature``: one column."""

    name: str
    parameters: tuple[str, ...]
    source: str
    function: Callable[..., F64]

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

    def declaration(self) -> Any:
        digest = hashlib.blake2b(self.source.encode(), digest_size=8).hexdigest()
        return [self.name, list(self.parameters), digest]

    def compute_from(self, inputs: dict[str, F64], out: F32) -> None:
        """Fill ``out`` [n, 1] from the named columns, each float64[n]."""
        result = self.function(*(inputs[name] for name in self.parameters))
        out[:, 0] = np.asarray(result, dtype=np.float64)
