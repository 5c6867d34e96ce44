"""A disk that takes nothing more ends the server, which says why."""

import json
import resource
import urllib.error
from pathlib import Path

import pytest

from tests.processes import SOON, Server, post

FILE_BYTES = 300_000


def test_the_last_line_is_the_root_cause(tmp_path: Path) -> None:
    """stderr is JSON lines with one traceback at most, and ends with what was wrong."""
    server = Server(tmp_path / "data", tmp_path / "server.log")
    try:
        url = server.url()
        server.ready(url)
        resource.prlimit(
            server.process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, resource.RLIM_INFINITY)
        )
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            _fill(url)
        assert server.wait(SOON) == 1
    finally:
        server.close()
    *lines, last = server.log.read_text().splitlines()
    assert last.startswith(("Error: agents stopped: ", "Error: replicas stopped: "))
    assert "File too large" in last
    said = [json.loads(line) for line in lines]
    assert said[0]["event"] == "recovering"
    assert sum("exception" in line for line in said) <= 1


def _fill(url: str) -> None:
    for batch in range(200):
        visitors = [f"v{batch}-{n}" for n in range(200)]
        events = [{"type": "click", "visitor": visitor, "item": "i"} for visitor in visitors]
        post(f"{url}/v1/events", events)
