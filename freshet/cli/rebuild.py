"""``freshet rebuild``."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import loaded, plain, settings_flags

if TYPE_CHECKING:
    from freshet.cli.progress import Bars
    from freshet.settings import Settings


@click.command("rebuild")
@settings_flags("data", "spec", "partitions")
def command(
    config: Path | None, data: Path | None, spec: str | None, partitions: int | None
) -> None:
    """Make all tables again from the log, in bulk.

    No server may have the data folder open. Nothing is lost by a kill: running it again, or
    starting the server, makes what is missing.

    \b
    Examples:
      freshet rebuild
      freshet rebuild --data /var/lib/freshet --spec my_shop:spec
    """
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.settings import SettingsError, refuse_cluster
    from freshet.state import CannotOpen

    with plain(SettingsError, CannotOpen):
        found = loaded(config, data=data, spec=spec, partitions=partitions)
        settings = refuse_cluster(found, "freshet rebuild")
        start = time.monotonic()
        with Bars(Console(stderr=True)) as bars:
            records = asyncio.run(_rebuild(settings, bars))
    seconds = time.monotonic() - start
    print(f"{records:,} records folded in {seconds:.1f} s ({records / seconds:,.0f}/s)")


async def _rebuild(settings: "Settings", bars: "Bars") -> int:
    from freshet.garbage import look_rarely
    from freshet.state import State, drop_tables

    look_rarely()
    await drop_tables(settings)
    state = await State.open(settings)
    try:
        return await state.recover(bars.report)
    finally:
        await state.close()
