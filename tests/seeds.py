"""Seeds of tests that end processes at moments that chance picks."""

from typing import Any

import pytest

FEW = 3


def seeds(count: int) -> list[Any]:
    """Seeds 0 to ``count`` for ``parametrize``: a few always, all with ``make test-long``."""
    return [pytest.param(n, marks=[pytest.mark.long] if n >= FEW else []) for n in range(count)]
