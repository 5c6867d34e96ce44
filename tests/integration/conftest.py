"""What integration tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api_stack import Stack, running


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A running API with all that is behind it."""
    async with running(tmp_path) as made:
        yield made


# Scripts, not modules with examples: they run as processes of their own.
collect_ignore = ["killed_freshet.py", "plain_counts.py"]
