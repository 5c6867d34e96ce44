"""What every test shares."""

from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the first call of a compiled function takes as long as its compilation.
settings.register_profile("freshet", deadline=None, print_blob=True)
settings.load_profile("freshet")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real event data beside the repository; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real event data in ../shared/data")
    return folder
