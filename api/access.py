"""Who may ask: API keys, compared in constant time."""

import hmac
from collections.abc import Sequence

from aiohttp import web

from api.problems import Problem

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/docs"})


class Keys:
    """The keys that are taken; without any, everyone may ask."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def check(self, request: web.Request) -> None:
        """Raises ``Problem`` 401 where the request needs a key and has none that is taken."""
        if not self._keys or request.path in OPEN:
            return
        given = _given(request).encode("utf-8", "surrogateescape")
        # Every key is compared: how long it takes says nothing about which one was near.
        found = sum([hmac.compare_digest(given, key) for key in self._keys])
        if not given or not found:
            raise Problem(
                401,
                "an API key is needed: Authorization: Bearer <key>, or X-API-Key: <key>",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _given(request: web.Request) -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("X-API-Key", "")
