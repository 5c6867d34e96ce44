"""Flags for settings, the same in every command that has them, and errors in plain words."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from freshet.settings import Loaded, load

_FLAGS: dict[str, dict[str, Any]] = {
    "host": {"help": "Address to listen on."},
    "port": {"type": int, "help": "Port to listen on; 0 takes a free one."},
    "data": {"type": click.Path(file_okay=False, path_type=Path), "help": "Data folder."},
    "partitions": {"type": int, "help": "Partitions of a new data folder."},
    "spec": {"help": "Spec to use, as module:attribute."},
    "surfaces": {"help": "List of surfaces, as module:attribute."},
    "decisions_retention": {"help": "How long decisions are kept, such as 30d."},
    "decisions_keep": {
        "type": click.Choice(["all", "shown"]),
        "help": "Whose vectors decisions record.",
    },
    "log_level": {
        "type": click.Choice(["debug", "info", "warning", "error"]),
        "help": "The least that is logged.",
    },
}


def settings_flags(*names: str) -> Callable[[Any], Any]:
    """Adds the flags of the settings called ``names``, and ``--config``."""

    def add(function: Any) -> Any:
        function = click.option(
            "--config",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Settings file, instead of ./freshet.toml.",
        )(function)
        for name in reversed(names):
            function = _flag(name)(function)
        return function

    return add


def _flag(name: str) -> Callable[[Any], Any]:
    if name == "sync":
        return click.option(
            "--sync/--no-sync",
            default=None,
            help="Wait for the disk at every write: survives loss of power too.",
        )
    return click.option(f"--{name.replace('_', '-')}", name, **_FLAGS[name])


def loaded(config: Path | None, **flags: object) -> Loaded:
    """The settings in force. Raises ``SettingsError``."""
    return load(flags, os.environ, config)


@contextmanager
def plain(*expected: type[Exception]) -> Iterator[None]:
    """Shows ``expected`` errors as one sentence, and exits with status 1."""
    try:
        yield
    except expected as error:
        raise click.ClickException(str(error)) from error
