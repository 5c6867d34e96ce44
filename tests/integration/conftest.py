"""What integration tests share."""

from collections.abc import AsyncIterator

import pytest

from tests.api_stack import Stack, running
from tests.logs import Home


@pytest.fixture
async def stack(home: Home) -> AsyncIterator[Stack]:
    """A running API with all that is behind it."""
    async with running(home) as made:
        yield made


# Scripts, not modules with examples: they run as processes of their own.
collect_ignore = [
    "killed_freshet.py",
    "killed_worker.py",
    "plain_counts.py",
    "plain_event_counts.py",
    "recorded_loadtest.py",
]
