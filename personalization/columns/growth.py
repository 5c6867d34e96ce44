"""Arrays that grow: twice as long whenever they are full."""

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

S = TypeVar("S", bound=np.generic)


def grown(array: npt.NDArray[S], size: int) -> npt.NDArray[S]:
    """``array`` with at least ``size`` rows, new ones zero; itself if it is long enough.

    Zeros that nobody wrote cost no memory (the system gives pages when they are touched), so
    starting with a large array is cheap, and better than growing on a serving path. It stays laid
    out by rows or, if it was, by columns.
    """
    if size <= len(array):
        return array
    shape = (max(size, 2 * len(array)), *array.shape[1:])
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    longer = np.zeros(shape, dtype=array.dtype, order=order)
    longer[: len(array)] = array
    return longer
