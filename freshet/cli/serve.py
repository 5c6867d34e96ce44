"""``freshet serve``."""

from pathlib import Path

import click

from freshet.cli.options import loaded, plain, settings_flags


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
    from freshet.cli.process import run_process
    from freshet.settings import SettingsError, refuse_cluster

    with plain(SettingsError):
        settings = refuse_cluster(loaded(config, **flags), "freshet serve")

    # These take a moment to import: not before the settings are right.
    from api.settings import BindRefused
    from freshet.embedded import serve
    from freshet.running import CannotListen, Failed
    from freshet.state import CannotOpen

    run_process(serve, settings, *(SettingsError, BindRefused, CannotListen, CannotOpen, Failed))
