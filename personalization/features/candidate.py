"""What the caller knows of the candidates."""

from typing import TYPE_CHECKING

from personalization.features.family import Feature, finite
from personalization.features.view import F32, View

if TYPE_CHECKING:
    from personalization.spec import Spec


class Candidate(Feature, frozen=True):
    """The caller's own feature ``name``, sent with each candidate of a request.

    float32[n], in the caller's unit, cut to the range of float32; 0 where it was not sent.
    """

    name: str

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        return (f"candidate_{self.name}",)

    def compute(self, view: View, out: F32) -> None:
        values = view.candidates.caller.get(self.name)
        if values is not None:
            out[:, 0] = finite(values)
