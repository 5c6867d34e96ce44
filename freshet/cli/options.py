"""Flags for settings, the same in every command that has them, and errors in plain words."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from freshet.settings import Loaded, load


def duration(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """A duration such as 30d, in ms."""
    from personalization.plan import duration_ms

    try:
        return None if text is None else duration_ms(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def names(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Any:
    """Names with commas or blanks between them, as a tuple."""
    return None if text is None else tuple(text.replace(",", " ").split())


_FILE = click.Path(dir_okay=False, path_type=Path)

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
    "bootstrap_servers": {
        "callback": names,
        "metavar": "HOST:PORT,…",
        "help": "Brokers of the Kafka cluster to begin with.",
    },
    "security_protocol": {
        "type": click.Choice(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        "help": "How to speak to brokers.",
    },
    "sasl_mechanism": {
        "type": click.Choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        "help": "How to show the password.",
    },
    "sasl_username": {"help": "Who to be; the password is FRESHET_SASL_PASSWORD."},
    "ssl_ca_location": {"type": _FILE, "help": "Certificates to trust, in PEM."},
    "ssl_certificate_location": {"type": _FILE, "help": "Certificate to show, in PEM."},
    "ssl_key_location": {"type": _FILE, "help": "Key of that certificate, in PEM."},
    "app_id": {"help": "Name of the deployment: of its group and its changelogs."},
    "topic_prefix": {"help": "What the names of all topics begin with."},
    "worker_id": {"help": "Name of this worker, for good (default: the host's name)."},
    "session_timeout": {"help": "How long others wait for a silent worker, such as 10s."},
    "replication": {"type": int, "help": "Brokers that each have a copy of a new topic."},
    "min_insync_replicas": {"type": int, "help": "Copies that a write needs."},
    "events_retention": {"help": "How long events are kept, such as 365d, or forever."},
    "changelog_compaction_lag": {"help": "How long every version of a row is kept."},
    "append_timeout": {"help": "How long a request waits for brokers, such as 5s."},
}

CLUSTER = (
    "bootstrap_servers",
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "ssl_ca_location",
    "ssl_certificate_location",
    "ssl_key_location",
    "app_id",
    "topic_prefix",
)
"""The settings of every command that works on a Kafka cluster."""


def settings_flags(*settings: str) -> Callable[[Any], Any]:
    """Adds the flags of the ``settings`` named, and ``--config``."""

    def add(function: Any) -> Any:
        function = click.option(
            "--config",
            type=_FILE,
            help="Settings file, instead of ./freshet.toml.",
        )(function)
        for name in reversed(settings):
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


def require_lightgbm() -> None:
    """Raises ``ClickException`` where LightGBM cannot be loaded."""
    try:
        import lightgbm  # noqa: F401  # its library is loaded by the import
    except OSError as error:
        raise click.ClickException(
            f"LightGBM cannot be loaded: {error}; on Debian and Ubuntu: apt-get install libgomp1"
        ) from error
