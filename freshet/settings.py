"""Settings: one typed class, read from flags, ``FRESHET_*`` variables and ``freshet.toml``.

The first that says something wins, in that order. docs/settings.md explains every one.
"""

import difflib
import importlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from personalization.plan import duration_ms

DEFAULT_FILE = Path("freshet.toml")
PREFIX = "FRESHET_"


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

    @property
    def decisions_retention_ms(self) -> int:
        """``decisions_retention`` in ms."""
        return duration_ms(self.decisions_retention)


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
    settings = Settings(**values)
    try:
        duration_ms(settings.decisions_retention)
    except ValueError as error:
        origin = origins["decisions_retention"]
        raise SettingsError(f"decisions_retention ({origin}): {error}") from error
    for key in settings.api_keys:
        # Never the key itself in the message: messages go to logs.
        if not key or not key.isprintable() or any(map(str.isspace, key)):
            raise SettingsError(
                f"api_keys ({origins['api_keys']}): a key is empty, or has a space or a control"
                " character"
            )
    return Loaded(settings, origins)


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
            if field.name == "api_keys":
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
