"""Running a long process: signals, the URL on stdout, progress and logs on stderr."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol

from freshet.cli.options import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from freshet.settings import Settings


class Serve(Protocol):
    """A process: it runs until ``stop`` is set, and tells how it comes up."""

    async def __call__(
        self,
        settings: "Settings",
        stop: asyncio.Event,
        *,
        listening: "Callable[[str], None]",
        progress: "Callable[[str, int, int], None]",
        ready: "Callable[[], None]",
    ) -> None: ...


def run_process(serve: Serve, settings: "Settings", *expected: type[Exception]) -> None:
    """Run ``serve`` until a signal comes; the second ends the process at once.

    ``expected`` errors are one line and status 1.
    """
    import uvloop
    from rich.console import Console

    from freshet import logs
    from freshet.cli.progress import Bars

    logs.configure(settings.log_level)
    with plain(*expected), Bars(Console(stderr=True), logs.recovering) as bars:

        async def main() -> None:
            stop = asyncio.Event()
            loop: Any = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _signalled, stop, number)
            await serve(settings, stop, listening=_listening, progress=bars.report, ready=bars.stop)

        uvloop.run(main())


def _listening(url: str) -> None:
    print(url, flush=True)


def _signalled(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        sys.stderr.flush()
        os._exit(128 + number)
    stop.set()
