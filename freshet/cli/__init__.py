"""The commands. Each is a file of its own, and imports what it needs when it runs."""

import importlib

import click

_COMMANDS = {
    "demo": "demo",
    "serve": "serve",
    "worker": "worker",
    "api": "api",
    "topics": "topics",
    "import": "import_events",
    "rebuild": "rebuild",
    "audit": "audit",
    "doctor": "doctor",
    "loadtest": "loadtest",
    "train": "train",
    "priors": "priors",
    "sources": "sources",
    "ledger": "ledger",
    "evaluate": "evaluate",
}


class _Commands(click.Group):
    """Finds commands by name, so that only the one that runs is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"freshet.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="freshet")
def main() -> None:
    """Realtime personalization: every event changes the next ranking.

    \b
    Start here:
      freshet demo                    watch a simulated marketplace
      freshet serve                   run the server on http://127.0.0.1:8400
      freshet import jsonl e.jsonl    send it your events
    """
