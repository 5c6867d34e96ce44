"""``freshet loadtest`` that writes down the events it sends, and when: a line for each request.

Usage: recorded_loadtest.py FILE loadtest [options]. A request that is sent again has one line.
"""

import sys
import time
from pathlib import Path
from typing import Any

from freshet.cli import main
from freshet.loadtest.client import Answer, Client

write = Client.write
record = Path(sys.argv[1]).open("wb", buffering=0)  # noqa: SIM115


async def recorded_write(self: Client, method: str, path: str, body: bytes) -> Answer:
    if path == "/v1/events":
        record.write(b'{"at":%.6f,"sent":%s}\n' % (time.monotonic(), body))
    return await write(self, method, path, body)


patched: Any = Client
patched.write = recorded_write

main(sys.argv[2:], prog_name="freshet")
