"""``freshet serve``."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import loaded, plain, settings_flags

if TYPE_CHECKING:
    from freshet.cli.progress import Bars
    from freshet.settings import Settings


@click.command("serve")
@settings_flags(
    "host",
    "port",
    "data",
    "partitions",
    "sync",
    "spec",
    "surfaces",
    "decisions_retention",
    "decisions_keep",
    "log_level",
)
def command(config: Path | None, **flags: object) -> None:
    """Run the server: one process, durable, nothing else to install.

    The URL is the only line on stdout; logs go to stderr. The first SIGINT or SIGTERM finishes
    what is under way (a few seconds at most), the second stops at once; neither loses anything.

    \b
    Examples:
      freshet serve
      freshet serve --port 9000 --data /var/lib/freshet --sync
      FRESHET_API_KEYS=a-long-random-text freshet serve --host 0.0.0.0
      freshet serve --spec my_shop:spec --surfaces my_shop:surfaces
    """
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.settings import SettingsError, refuse_cluster

    with plain(SettingsError):
        settings = refuse_cluster(loaded(config, **flags), "freshet serve")

    # These take a moment to import: not before the settings are right.
    import uvloop

    from api.settings import BindRefused
    from freshet import logs
    from freshet.embedded import CannotListen, Failed
    from freshet.state import CannotOpen

    logs.configure(settings.log_level)
    expected = plain(SettingsError, BindRefused, CannotListen, CannotOpen, Failed)
    with expected, Bars(Console(stderr=True), logs.recovering) as bars:
        uvloop.run(_serve(settings, bars))


async def _serve(settings: "Settings", bars: "Bars") -> None:
    from freshet.embedded import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _signalled, stop, number)

    def listening(url: str) -> None:
        print(url, flush=True)

    await serve(settings, stop, listening=listening, progress=bars.report, ready=bars.stop)


def _signalled(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        sys.stderr.flush()
        os._exit(128 + number)
    stop.set()
