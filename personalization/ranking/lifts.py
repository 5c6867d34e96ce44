"""What lifts a candidate above the others, by column."""

from collections.abc import Sequence

import numpy as np

from personalization.features.view import F64


def strongest_lifts(
    parts: F64, rows: Sequence[int], most: int, names: Sequence[str]
) -> list[list[str]]:
    """For each of ``rows`` the names of what lifts it most above the mean of all rows.

    ``parts`` float64[n, k] is what each of the k ``names`` adds to each row's score. At most
    ``most``, the strongest first; only what is above the mean.

    >>> strongest_lifts(np.array([[3.0, 1.0], [0.0, 1.0]]), [0, 1], 2, ["clicks", "age"])
    [['clicks'], []]
    """
    if not rows:
        return []
    lifts = parts[list(rows)] - parts.mean(axis=0)
    strongest = np.argsort(-lifts, axis=1, kind="stable")[:, :most]
    return [
        [names[part] for part in order if lift[part] > 0.0]
        for lift, order in zip(lifts, strongest.tolist(), strict=True)
    ]
