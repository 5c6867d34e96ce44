"""A server in a process of its own, on a free port, with data that is deleted afterwards."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import aiohttp
import msgspec

from freshet.settings import PREFIX

START_SECONDS = 60.0
STOP_SECONDS = 20.0

_ASK_AGAIN_SECONDS = 0.05
_LAST_WORDS = 2_000


class ServerFailed(Exception):
    """The server did not start; the message has its last words."""


class _Stage(msgspec.Struct):
    name: str
    done: int
    total: int


class _Readiness(msgspec.Struct):
    ready: bool
    recovering: list[_Stage] = []


@asynccontextmanager
async def running_server(report: Callable[[str], None]) -> AsyncIterator[str]:
    """The URL of a server that is ready; it is stopped at the end, whatever happens.

    It sees neither this process's settings nor its signals. ``report`` is told what it is doing
    until it is ready. Raises ``ServerFailed``.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with tempfile.TemporaryDirectory(prefix="freshet-") as folder:
        log = Path(folder, "server.log")
        with _opened(log) as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "freshet", "serve", "--port", "0"),
                *("--data", str(Path(folder, "data"))),
                cwd=folder,
                env=environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            try:
                async with asyncio.timeout(START_SECONDS):
                    url = await _url(process)
                    await _ready(url, process, report)
            except (TimeoutError, EOFError) as error:
                raise ServerFailed(
                    f"the server did not start; it said:\n{_last_words(log)}"
                ) from error
            yield url
        finally:
            await _stop(process)


async def _url(process: asyncio.subprocess.Process) -> str:
    """What it prints first. Raises ``EOFError`` where it ends before."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise EOFError
    return line.decode().strip()


async def _ready(
    url: str, process: asyncio.subprocess.Process, report: Callable[[str], None]
) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            if process.returncode is not None:
                raise EOFError
            async with http.get(f"{url}/readyz") as response:
                readiness = msgspec.json.decode(await response.read(), type=_Readiness)
            if readiness.ready:
                return
            for stage in readiness.recovering[-1:]:
                report(f"recovering {stage.name}: {stage.done:,} of {stage.total:,}")
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _opened(log: Path) -> IO[bytes]:
    return log.open("wb")


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-_LAST_WORDS:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End it: kindly, then for certain."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()
