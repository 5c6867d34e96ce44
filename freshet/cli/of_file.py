"""A file of events as what a command reads: its format, and the spec that fits it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from freshet.settings import Loaded

F = TypeVar("F", bound=Callable[..., Any])

_SPECS = {"polis": "personalization.presets.deliberation:deliberation"}


def file_arguments(command: F) -> F:
    """``PATH`` and ``--format``."""
    format_option = click.option(
        "--format",
        "kind",
        type=click.Choice(["jsonl", "online-retail", "polis"]),
        default="jsonl",
        show_default=True,
        help="What the file is.",
    )
    path = click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
    return path(format_option(command))


def spec_for(kind: str, found: "Loaded") -> str:
    """The spec to load for a file of format ``kind``: what fits it, unless one was chosen."""
    settings = found.settings
    chosen = found.origins["spec"] != "default"
    return settings.spec if chosen else _SPECS.get(kind, settings.spec)
