"""What can be set about the API."""

import ipaddress
from collections.abc import Sequence
from typing import Literal

import msgspec


class ApiSettings(msgspec.Struct, frozen=True):
    """Settings of one API process.

    With ``api_keys`` every ``/v1`` route and ``/metrics`` need one of them. ``max_body`` is in
    bytes, after decompression. ``keep`` says whose vectors decisions record. A ranking waits at
    most ``wait_timeout_ms`` for its token; a write at most ``append_timeout_ms`` for the log.
    ``decision_queue`` bounds the decisions that are not in the log yet.
    """

    api_keys: tuple[str, ...] = ()
    max_body: int = 4 << 20
    keep: Literal["all", "shown"] = "all"
    wait_timeout_ms: int = 1_000
    append_timeout_ms: int = 10_000
    decision_queue: int = 4_096


class BindRefused(ValueError):
    """An address that others can reach, without API keys."""


def check_bind(host: str, keys: Sequence[str]) -> None:
    """Raises ``BindRefused`` where ``host`` is not loopback and there are no ``keys``.

    >>> check_bind("127.0.0.1", ())
    >>> check_bind("0.0.0.0", ("a-key",))
    >>> check_bind("0.0.0.0", ("",))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    api.settings.BindRefused: 0.0.0.0 can be reached from elsewhere: set API keys, or ...
    """
    if not any(key.strip() for key in keys) and not _is_loopback(host):
        raise BindRefused(
            f"{host} can be reached from elsewhere: set API keys, or bind to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
