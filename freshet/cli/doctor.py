"""``freshet doctor``."""

from pathlib import Path

import click

from freshet.cli.options import CLUSTER, loaded, plain, settings_flags

_MARKS = {True: "[green]ok[/green]     ", False: "[red]problem[/red]"}


@click.command("doctor")
@settings_flags("host", "port", "data", "partitions", "sync", "spec", "surfaces", *CLUSTER)
def command(config: Path | None, **flags: object) -> None:
    """Check what a server needs, and say in words what is wrong.

    With bootstrap_servers set, it looks at that cluster: whether it can be reached, its topics,
    its copies, and how far the workers are. Exits with status 1 if there is a problem. Servers
    may be running meanwhile.

    \b
    Examples:
      freshet doctor
      freshet doctor --data /var/lib/freshet --spec my_shop:spec
      freshet doctor --bootstrap-servers localhost:9092
    """
    from rich.console import Console
    from rich.markup import escape

    from freshet.doctor import examine
    from freshet.settings import SettingsError

    console = Console(soft_wrap=True, highlight=False)
    with plain(SettingsError):
        settings, origins = loaded(config, **flags)
    console.print("Settings in force:")
    for name, origin in origins.items():
        value = getattr(settings, name)
        shown = "(none)" if value in (None, (), "") else value
        if name == "api_keys":
            shown = f"{len(value)} set"
        elif name == "sasl_password" and value:
            shown = "set"
        console.print(f"  {name:24} {escape(str(shown))}  [dim]({escape(origin)})[/dim]")
    problems = 0
    for finding in examine(settings):
        problems += not finding.fine
        console.print(f"{_MARKS[finding.fine]} {escape(finding.text)}")
    console.print(f"{problems} problems" if problems else "Everything is in order.")
    raise SystemExit(1 if problems else 0)
