"""Answers in JSON."""

from typing import Any

import msgspec
from aiohttp import web

_encoder = msgspec.json.Encoder()


class TokenAnswer(msgspec.Struct, frozen=True):
    """The answer to a write: carry ``token`` back to rank with what was written."""

    token: str


def answer(value: Any) -> web.Response:
    """200 with ``value``."""
    return web.Response(body=_encoder.encode(value), content_type="application/json")
