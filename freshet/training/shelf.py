"""Where models go: over HTTP to the server that has the log open, else into the log itself."""

from typing import Protocol

import aiohttp
import msgspec

from eventlog.protocol import Entry, EventLog, TopicPartition
from personalization.models import MODEL_RECORD, Model, ModelRecord, Promoted, Registered
from tables.topics import MODELS

BY = "freshet train"

_TIMEOUT_SECONDS = 60.0
_AT = TopicPartition(MODELS, 0)


class ShelfRefused(Exception):
    """The server did not take the model, or did not promote it."""


class Shelf(Protocol):
    """Takes models."""

    async def register(self, model: Model) -> None:
        """From now on ``model`` can be promoted."""
        ...

    async def promote(self, model: Model, now: int, why: str) -> None:
        """From ``now`` (ms) on ``model`` serves."""
        ...


class LogShelf:
    """The log's own topic of models."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def register(self, model: Model) -> None:
        """Raises ``LogUnavailable`` or ``RecordTooLarge``."""
        await self._append(model.id, ModelRecord(Registered(model)), model.at)

    async def promote(self, model: Model, now: int, why: str) -> None:
        """Raises ``LogUnavailable``."""
        promoted = Promoted(model.id, model.feature_set, now, BY, why)
        await self._append(model.id, ModelRecord(promoted), now)

    async def _append(self, id: str, record: ModelRecord, now: int) -> None:
        entry = Entry(id.encode(), MODEL_RECORD.encode(record), now)
        await self._log.append({_AT: [entry]})


class ServerShelf:
    """A running server. ``key`` is its API key, if it has keys. Raises ``ShelfRefused``."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["X-API-Key"] = key

    async def register(self, model: Model) -> None:
        """POST /v1/models."""
        await self._post("/v1/models", msgspec.json.encode(model))

    async def promote(self, model: Model, now: int, why: str) -> None:
        """POST /v1/models/{id}/promote; the server's own clock says when."""
        body = msgspec.json.encode({"by": BY, "why": why})
        await self._post(f"/v1/models/{model.id}/promote", body)

    async def _post(self, path: str, body: bytes) -> None:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as http,
                http.post(self._url + path, data=body) as response,
            ):
                if response.status >= 300:
                    said = (await response.text())[:500]
                    raise ShelfRefused(f"POST {path}: HTTP {response.status}: {said}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ShelfRefused(f"POST {path}: {type(error).__name__}: {error}") from error
