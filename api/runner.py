"""How the app is run: what aiohttp's server must do, and what it need not say."""

import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_BY_CLIENTS = (HttpProcessingError, web.RequestPayloadError)


def make_runner(app: web.Application, **options: Any) -> web.AppRunner:
    """The runner of ``app``, with aiohttp's ``options``.

    Bodies reach the app as they were sent: it decompresses them itself, as aiohttp's server takes
    a gzip that is cut short.
    """
    logger = _ServerLog(logging.getLogger("aiohttp.server"))
    return web.AppRunner(app, access_log=None, auto_decompress=False, logger=logger, **options)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log, to which what a client sent is no failure of the server."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, _BY_CLIENTS):
            self.info("not HTTP: %s", exc_info)
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)
