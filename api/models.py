"""Models, registered and promoted: appended to the log, then known here."""

import asyncio
from collections.abc import Callable

from api.problems import Problem, invalid
from eventlog.protocol import Entry, EventLog, LogUnavailable, TopicPartition
from personalization.models import (
    FORMULA,
    MAX_MODEL_BYTES,
    MODEL_RECORD,
    Model,
    ModelRecord,
    Promoted,
    Registered,
    model_id,
)
from personalization.ranking.model_scorer import UnusableModel
from tables.replicas.models import ModelReplica
from tables.topics import MODELS

_AT = TopicPartition(MODELS, 0)


class ModelWriter:
    """Registers and promotes models of ``feature_set``. ``clock`` is in ms, time-outs in s."""

    def __init__(
        self,
        log: EventLog,
        replica: ModelReplica,
        feature_set: str,
        clock: Callable[[], int],
        *,
        append_timeout: float,
        wait_timeout: float,
    ) -> None:
        self._log = log
        self._replica = replica
        self._feature_set = feature_set
        self._clock = clock
        self._append_timeout = append_timeout
        self._wait_timeout = wait_timeout

    async def register(self, model: Model) -> None:
        """Put ``model`` into the log, unless it is there.

        Raises ``Problem`` and ``LogUnavailable``.
        """
        if model.id != model_id(model.at, model.text):
            raise invalid("id", f"for this time and text it is {model_id(model.at, model.text)}")
        await self._ready(model, "text")
        if self._replica.registry.fits(model.id, self._feature_set):
            return
        try:
            value = MODEL_RECORD.encode(ModelRecord(Registered(model)))
        except OverflowError as error:
            raise invalid("card", f"a number does not fit: {error}") from error
        if len(model.id) + len(value) > MAX_MODEL_BYTES:
            raise Problem(413, f"the model's record is over {MAX_MODEL_BYTES} bytes")
        await self._append(model.id, value)

    async def promote(self, id: str, by: str, why: str) -> None:
        """Have ``id`` serve from now on, in every API process within a second.

        Returns once it serves here, or after a bounded wait. Raises ``Problem`` and
        ``LogUnavailable``.
        """
        if id != FORMULA:
            try:
                model = await self._replica.model(id)
            except KeyError as error:
                raise Problem(404, f"there is no model {id!r}") from error
            await self._ready(model, "id")
        promoted = Promoted(id, self._feature_set, self._clock(), by, why)
        await self._append(id, MODEL_RECORD.encode(ModelRecord(promoted)))

    async def _ready(self, model: Model, field: str) -> None:
        try:
            await self._replica.prepare(model)
        except UnusableModel as error:
            raise invalid(field, str(error)) from error

    async def _append(self, id: str, value: bytes) -> None:
        entry = Entry(id.encode(), value, self._clock())
        try:
            async with asyncio.timeout(self._append_timeout):
                lasts = await self._log.append({_AT: [entry]})
        except TimeoutError as error:
            raise LogUnavailable([_AT], "no answer in time; it may have it") from error
        await self._replica.known(lasts[_AT], self._wait_timeout)
