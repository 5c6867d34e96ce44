"""Settings: one typed class, read from flags, ``FRESHET_*`` variables and ``freshet.toml``.

The first that says something wins, in that order. docs/settings.md explains every one.
"""

import difflib
import importlib
import re
import socket
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from personalization.plan import duration_ms

DEFAULT_FILE = Path("freshet.toml")
PREFIX = "FRESHET_"

FOREVER = "forever"
KAFKA_PARTITIONS = 16
"""The default on Kafka: several workers share them, and they are fixed for good."""

_LISTS = ("api_keys", "bootstrap_servers")
_DURATIONS = (
    "decisions_retention",
    "session_timeout",
    "changelog_compaction_lag",
    "append_timeout",
)
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,/]+):(\d{1,5})")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")  # a topic's name has up to 249 of these

_Count = Annotated[int, msgspec.Meta(ge=1, le=32_767)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a deployment may set. Import paths are ``module:attribute``."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8400
    data: Path = Path("freshet-data")
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 4
    sync: bool = False
    api_keys: tuple[str, ...] = ()
    spec: str = "personalization.presets.marketplace:marketplace"
    surfaces: str | None = None
    decisions_retention: str = "30d"
    decisions_keep: Literal["all", "shown"] = "all"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    bootstrap_servers: tuple[str, ...] = ()
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    app_id: str = "freshet"
    topic_prefix: str = ""
    worker_id: str | None = None
    session_timeout: str = "10s"
    replication: _Count | None = None
    min_insync_replicas: _Count | None = None
    events_retention: str = FOREVER
    changelog_compaction_lag: str = "24h"
    append_timeout: str = "5s"

    def __repr__(self) -> str:
        """Without what is secret: it may be logged."""
        secret = {"api_keys", "sasl_password"}
        shown = (f"{n}={getattr(self, n)!r}" for n in self.__struct_fields__ if n not in secret)
        return f"Settings({', '.join(shown)}, …)"

    @property
    def decisions_retention_ms(self) -> int:
        """``decisions_retention`` in ms."""
        return duration_ms(self.decisions_retention)

    @property
    def events_retention_ms(self) -> int | None:
        """``events_retention`` in ms; ``None`` is for good."""
        return None if self.events_retention == FOREVER else duration_ms(self.events_retention)

    @property
    def changelog_compaction_lag_ms(self) -> int:
        """``changelog_compaction_lag`` in ms."""
        return duration_ms(self.changelog_compaction_lag)

    @property
    def session_timeout_seconds(self) -> float:
        """``session_timeout`` in seconds."""
        return duration_ms(self.session_timeout) / 1000

    @property
    def append_timeout_seconds(self) -> float:
        """``append_timeout`` in seconds."""
        return duration_ms(self.append_timeout) / 1000

    @property
    def worker(self) -> str:
        """``worker_id``, or the name of this host."""
        return self.worker_id or socket.gethostname()


class SettingsError(ValueError):
    """A setting that cannot be: the message names it, and where it was set."""


class Loaded(NamedTuple):
    """``settings``, and of each where its value comes from: in words, for people."""

    settings: Settings
    origins: dict[str, str]


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None = None
) -> Loaded:
    """The settings in force.

    ``flags`` that are ``None`` were not given. ``file`` must exist; where it is ``None``,
    ``freshet.toml`` in the current directory is read if there is one. Raises ``SettingsError``.
    """
    layers = (
        {name: (f"--{name.replace('_', '-')}", value) for name, value in flags.items()},
        _variables(environ),
        _file(file),
    )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in msgspec.structs.fields(Settings):
        origins[field.name] = "default"
        for layer in layers:
            origin, value = layer.get(field.name, ("", None))
            if value is not None:
                values[field.name] = _converted(field.name, value, field.type, origin)
                origins[field.name] = origin
                break
    if values.get("bootstrap_servers") and "partitions" not in values:
        values["partitions"] = KAFKA_PARTITIONS
        origins["partitions"] = "default on Kafka"
    settings = Settings(**values)
    for name, reason in _wrong(settings):
        raise SettingsError(f"{name} ({origins[name]}): {reason}")
    return Loaded(settings, origins)


def need_cluster(loaded: Loaded, command: str) -> Settings:
    """The settings for a ``command`` that works on a Kafka cluster. Raises ``SettingsError``."""
    if not loaded.settings.bootstrap_servers:
        raise SettingsError(
            f"bootstrap_servers (default): {command} works on a Kafka cluster: say where it is "
            "(--bootstrap-servers host:9092); without Kafka, freshet serve does everything"
        )
    return loaded.settings


def refuse_cluster(loaded: Loaded, command: str) -> Settings:
    """The settings for a ``command`` that keeps its log in its data folder.

    Raises ``SettingsError``.
    """
    if loaded.settings.bootstrap_servers:
        raise SettingsError(
            f"bootstrap_servers ({loaded.origins['bootstrap_servers']}): {command} keeps its log "
            "in its data folder; on Kafka freshet worker and freshet api do its work"
        )
    return loaded.settings


def _wrong(settings: Settings) -> Iterator[tuple[str, str]]:
    """The settings that cannot be, alone or with others, each with the reason."""
    durations = list(_DURATIONS)
    if settings.events_retention != FOREVER:
        durations.append("events_retention")
    for name in durations:
        try:
            duration_ms(getattr(settings, name))
        except ValueError as error:
            more = f", nor {FOREVER!r}" if name == "events_retention" else ""
            yield name, f"{error}{more}"
    for key in settings.api_keys:
        # Never the key itself in the message: messages go to logs.
        if not key or not key.isprintable() or any(map(str.isspace, key)):
            yield "api_keys", "a key is empty, or has a space or a control character"
    for server in settings.bootstrap_servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match[2]) < 65_536:
            yield "bootstrap_servers", f"{server!r} is not of the form host:port"
    for name in ("app_id", "topic_prefix", "worker_id"):
        text = getattr(settings, name)
        if text is None or (name == "topic_prefix" and not text):
            continue
        if not _NAME.fullmatch(text) or text in (".", ".."):
            yield name, f"{text!r} is not up to 100 letters, digits, dots, underscores and hyphens"
    yield from _wrong_security(settings)
    copies, insync = settings.replication, settings.min_insync_replicas
    if copies is not None and insync is not None and insync > copies:
        yield (
            "min_insync_replicas",
            f"no write could be acknowledged: {insync} is more than replication, {copies}",
        )


def _wrong_security(settings: Settings) -> Iterator[tuple[str, str]]:
    protocol = settings.security_protocol
    for name in ("sasl_username", "sasl_password"):
        given = bool(getattr(settings, name))
        if protocol.startswith("SASL_") and not given:
            yield name, f"security_protocol is {protocol}, which needs it"
        elif given and not protocol.startswith("SASL_"):
            yield name, f"security_protocol is {protocol}, which sends none: SASL_SSL would"
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        path = getattr(settings, name)
        if path is None:
            continue
        if not protocol.endswith("SSL"):
            yield name, f"security_protocol is {protocol}, which has no TLS: SASL_SSL or SSL would"
        elif not path.is_file():
            yield name, f"there is no file {path}"
    if settings.ssl_key_location is not None and settings.ssl_certificate_location is None:
        yield "ssl_certificate_location", "ssl_key_location is of no use without it"


def import_attribute(path: str, kind: type | tuple[type, ...], setting: str) -> Any:
    """The object that ``module:attribute`` names; modules in the current directory are found.

    Raises ``SettingsError``, naming ``setting``, where there is none or it is not a ``kind``.
    """
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise SettingsError(f"{setting}: {path!r} is not of the form module:attribute")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{setting}: {path!r} cannot be imported: {error}") from error
    if not isinstance(found, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(each.__name__ for each in kinds)
        raise SettingsError(f"{setting}: {path!r} is a {type(found).__name__}, not a {wanted}")
    return found


def _variables(environ: Mapping[str, str]) -> dict[str, tuple[str, object]]:
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1, cutoff=0.0)
            raise SettingsError(f"no setting is called {variable}; the nearest is {near[0]}")
    set_ = {}
    for field in msgspec.structs.fields(Settings):
        variable = PREFIX + field.name.upper()
        text = environ.get(variable, "")
        if text:
            value: object = text
            if field.name in _LISTS:
                value = text.replace(",", " ").split()
            set_[field.name] = (variable, value)
    return set_


def _file(file: Path | None) -> dict[str, tuple[str, object]]:
    if file is None:
        if not DEFAULT_FILE.is_file():
            return {}
        file = DEFAULT_FILE
    try:
        table = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error
    names = Settings.__struct_fields__
    for name in table:
        if name not in names:
            raise SettingsError(f"{file}: no setting is called {name!r}, only {', '.join(names)}")
    return {name: (str(file), value) for name, value in table.items()}


def _converted(name: str, value: object, kind: Any, origin: str) -> object:
    try:
        # Variables are texts: "true" and "8400" are as good as true and 8400.
        return msgspec.convert(value, kind, strict=not origin.startswith(PREFIX), dec_hook=_path)
    except msgspec.ValidationError as error:
        if kind is bool:
            reason = f"{value!r} is neither true nor false"
            raise SettingsError(f"{name} ({origin}): {reason}") from error
        raise SettingsError(f"{name} ({origin}): {error}") from error


def _path(kind: type, value: object) -> object:
    if kind is not Path:
        raise NotImplementedError(kind)
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("a path is expected")
    return Path(value).expanduser()
