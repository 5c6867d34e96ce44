"""What an outcome is worth, as the spec says."""

from collections.abc import Sequence
from typing import Literal

from personalization.spec import Spec

Objective = Literal["pointwise", "lambdarank", "binary"]
"""``pointwise`` ranks by how probable an outcome is, ``lambdarank`` by lists and by what outcomes
weigh; both in the units of what serves. ``binary`` gives the probabilities themselves."""

IMPRESSION = "impression"


def outcomes(
    spec: Spec, objective: Objective, names: Sequence[str] | None = None
) -> dict[str, float]:
    """The label of what led to each of the spec's events; every other label is 0.

    Events count that are named, or else those with a positive weight and those marked ``label``:
    1 each, and for ``lambdarank`` their weight where it is positive. Raises ``ValueError`` for a
    spec in which nothing counts, and for a name that it does not have.
    """
    by_name = {event.name: event for event in spec.events}
    unknown = [name for name in names or () if name not in by_name]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: none of the spec's events {', '.join(by_name)}")
    counted = [
        event
        for event in spec.events
        if (event.weight > 0.0 or event.label if names is None else event.name in names)
        and event.name != IMPRESSION
    ]
    if not counted:
        raise ValueError("the spec has no event with label=True or a positive weight")
    weighed = objective == "lambdarank"
    return {e.name: e.weight if weighed and e.weight > 0.0 else 1.0 for e in counted}
