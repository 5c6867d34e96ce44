"""freshet demo, as scripts use it."""

import json
from pathlib import Path

from tests.processes import run


def test_json_names_no_command_for_a_server_that_has_ended(tmp_path: Path) -> None:
    """One object on stdout, compared with both kinds of popularity, and nothing left to try."""
    shown = run(["demo", "--seconds", "2", "--json"], tmp_path)
    assert shown.returncode == 0, shown.stderr
    result = json.loads(shown.stdout)
    assert result["try_next"] == []
    assert len(result["lift_over_category_popularity"]["freshet"]) == 3
