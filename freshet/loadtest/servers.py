"""Which server is asked next: in turn, of those that are ready, as a balancer does."""

import asyncio
from collections.abc import Sequence

import aiohttp

_LOOK_SECONDS = 0.2
_LOOK_TIMEOUT = aiohttp.ClientTimeout(total=2)


class Servers:
    """``urls`` in turn. One that is lost, or not ready, is left out until it is ready again."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
        self._out: set[str] = set()
        self._turn = 0

    @property
    def any_ready(self) -> bool:
        """Whether one is worth asking, as far as is known."""
        return len(self._out) < len(self.urls)

    def next(self) -> str:
        """The next one; of all, if none is ready."""
        for _ in self.urls:
            self._turn = (self._turn + 1) % len(self.urls)
            if self.urls[self._turn] not in self._out:
                break
        else:
            self._turn = (self._turn + 1) % len(self.urls)
        return self.urls[self._turn]

    def lost(self, url: str) -> None:
        """A connection to ``url`` died."""
        self._out.add(url)

    async def watch(self, http: aiohttp.ClientSession) -> None:
        """Look at every ``/readyz`` again and again."""
        await asyncio.gather(*(self._watch(http, url) for url in self.urls))

    async def _watch(self, http: aiohttp.ClientSession, url: str) -> None:
        while True:
            try:
                async with http.get(f"{url}/readyz", timeout=_LOOK_TIMEOUT) as response:
                    ready = response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                ready = False
            if ready:
                self._out.discard(url)
            else:
                self._out.add(url)
            await asyncio.sleep(_LOOK_SECONDS)
