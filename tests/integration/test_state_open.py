"""Opening a data folder: what it refuses, and what it says to do."""

from pathlib import Path

import pytest

from freshet.settings import Settings
from freshet.state import CannotOpen, State


async def test_another_number_of_partitions_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """The folder was made with 16, the default is another: the message ends with what to set."""
    state = await State.open(Settings(data=tmp_path, partitions=16))
    await state.close()
    with pytest.raises(CannotOpen, match=r"set partitions to 16 \(--partitions 16\)$"):
        await State.open(Settings(data=tmp_path))
