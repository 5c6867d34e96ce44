"""What a vector of an item is: a list of numbers, of which only the direction counts."""

import numpy as np

from personalization.decay import kernel
from personalization.features.view import F32, F64

MAX_SIZE = 384
"""So many numbers, and a few other attributes, fit into what attributes may take."""


def vector_error(value: object, size: int) -> str | None:
    """Why ``value`` is not a vector of ``size`` finite numbers, or ``None``.

    >>> vector_error([1.0, 2.0], 3)
    'has 2 numbers, and 3 are declared'
    """
    if not isinstance(value, list):
        return f"is not a list of {size} numbers"
    for place, number in enumerate(value):
        if not isinstance(number, float):
            return f"has no number at [{place}]"
        if not -np.inf < number < np.inf:
            return f"has a number that is not finite at [{place}]"
    return None if len(value) == size else f"has {len(value)} numbers, and {size} are declared"


def unit_of(value: object, size: int) -> F32:
    """``value`` at length 1, float32[size]; zeros where it is no vector, or has no direction."""
    unit = np.zeros(size, np.float32)
    if vector_error(value, size) is None:
        scale_to_unit(np.array(value, np.float64), unit)
    return unit


@kernel("void(float64[:], float32[:])")
def scale_to_unit(vector: F64, out: F32) -> None:
    """``vector`` [size] at length 1 into ``out``, which stays as it is if all are zeros.

    The largest is made 1 first, so that no square overflows or vanishes.
    """
    largest = 0.0
    for d in range(len(vector)):
        largest = max(largest, abs(vector[d]))
    if largest == 0.0:
        return
    total = 0.0
    for d in range(len(vector)):
        part = vector[d] / largest
        total += part * part
    length = np.sqrt(total)
    for d in range(len(vector)):
        out[d] = vector[d] / largest / length
