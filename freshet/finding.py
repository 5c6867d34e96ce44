"""What a look at a deployment finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at: whether it is ``fine``, and what it is, in words."""

    fine: bool
    text: str
