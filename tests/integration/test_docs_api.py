"""The errors that docs/api.md lists are those that the API gives."""

import re
from pathlib import Path
from typing import Any

from tests.api_stack import Stack

API = (Path(__file__).resolve().parents[2] / "docs/api.md").read_text()
REFUSED = re.compile(r"^\| `([A-Z]+) (/\S+)` \| `(.+?)` \| (\d+) \|(?: `(.+?)`)? \|$", re.MULTILINE)
REJECTED = re.compile(r"^\| `(\{.+?\})` \| `(.+?)` \| (.+?) \|$", re.MULTILINE)


async def test_what_is_refused_as_a_whole(stack: Stack) -> None:
    """Each request of the table is answered with its status, and names its field."""
    found = REFUSED.findall(API)
    assert len(found) >= 10
    for method, path, body, status, field in found:
        problem = await stack.problem(int(status), method, path, body.encode())
        named = [error["field"] for error in problem.get("errors", [])]
        assert named == ([field] if field else []), body


async def test_what_is_rejected_by_itself(stack: Stack) -> None:
    """Each event of the table is rejected with its field and reason, and the others are taken."""
    found = REJECTED.findall(API)
    assert len(found) >= 9
    good = '{"type": "view", "visitor": "v", "item": "i"}'
    body = f"[{','.join([good, *(event for event, _, _ in found), good])}]"
    answer: dict[str, Any] = await stack.ok("POST", "/v1/events", body.encode())
    first, *rejected, last = answer["results"]
    assert (first["status"], last["status"]) == ("accepted", "accepted")
    told = [[(error["field"], error["reason"]) for error in one["errors"]] for one in rejected]
    assert told == [[(field, reason)] for _, field, reason in found]
