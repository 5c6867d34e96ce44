"""The model in service, as one API process has it: ready to score, and swapped without a pause."""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter

from eventlog.protocol import EventLog, LogUnavailable, Reader, TopicPartition
from personalization.codec import CodecError
from personalization.models import MODEL_RECORD, Model, Registered, Registry, unpack_text
from personalization.ranking.model_scorer import Preparation, UnusableModel, usable
from personalization.ranking.scorer import Scorer
from tables.stopping import cancelled
from tables.topics import MODELS

_logger = logging.getLogger(__name__)

_AT = TopicPartition(MODELS, 0)
_POLL_SECONDS = 1.0
_READ_SECONDS = 5.0
_SLICE_SECONDS = 0.0005


class ModelReplica:
    """Tails the topic ``models`` and keeps ``scorer`` what was promoted last.

    A model is read, checked and warmed up in slices of a few tenths of a millisecond; then one
    assignment makes it the scorer of whatever is ranked from then on. One that cannot be used
    changes nothing, and ``refused`` says so. ``formula`` is the scorer until a model is promoted
    for its feature set. One event loop uses it.
    """

    def __init__(self, log: EventLog, formula: Scorer, columns: Sequence[str]) -> None:
        self.scorer = formula
        self.registry = Registry()
        self.refused: UnusableModel | None = None
        """Why the model that was promoted last does not serve; ``None`` where it does."""
        self._log = log
        self._formula = formula
        self._columns = list(columns)
        self._prepared = formula
        self._tried = formula.name
        self._done = 0
        self._progress = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the model in service ready, if there is one, and keep up with what comes.

        Raises ``LogUnavailable`` where the log does not answer; it may be called again.
        """
        end = (await self._log.end_offsets([_AT]))[_AT]
        self.registry = Registry()
        reader = self._log.reader(await self._log.start_offsets([_AT]))
        try:
            while reader.position(_AT) < end:
                await self._read(reader, _POLL_SECONDS)
            await self._swap()
        except BaseException:
            await reader.close()
            raise
        self._done = reader.position(_AT)
        self._task = asyncio.create_task(self._tail(reader), name="models")

    async def failed(self) -> None:
        """Return never; raise what stopped the replica."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Stop tailing. Before the log is stopped."""
        task, self._task = self._task, None
        await cancelled([] if task is None else [task])

    async def known(self, offset: int, timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until the record at ``offset`` has had its effect."""
        try:
            async with asyncio.timeout(timeout), self._progress:
                await self._progress.wait_for(lambda: self._done > offset)
        except TimeoutError:
            return False
        return True

    def trained_at(self) -> int | None:
        """When the model that serves was trained, in ms; ``None`` for the formula."""
        if self.scorer is self._formula:
            return None
        return self.registry.shelved(self.scorer.name).model.at

    def gives_probabilities(self, scorer: Scorer) -> bool:
        """Whether ``scorer``, which serves or served, was fitted to: its objective is binary."""
        if scorer is self._formula:
            return False
        return self.registry.shelved(scorer.name).model.objective == "binary"

    async def model(self, id: str) -> Model:
        """A model with its text. Raises ``KeyError`` for an unknown one, and ``LogUnavailable``."""
        offset = self.registry.shelved(id).offset
        reader = self._log.reader({_AT: offset})
        try:
            records = (await reader.poll(1, _READ_SECONDS)).get(_AT)
        finally:
            await reader.close()
        if not records or records[0].offset != offset:
            raise LogUnavailable([_AT], f"the record of model {id} was not read")
        said = MODEL_RECORD.decode(records[0].value or b"").said
        assert isinstance(said, Registered)
        return said.model

    async def prepare(self, model: Model) -> Scorer:
        """The scorer of ``model``; promoted next, it serves at once. Raises ``UnusableModel``."""
        if self._prepared.name != model.id:
            if model.feature_set != self._formula.feature_set or model.columns != self._columns:
                raise UnusableModel(
                    f"model {model.id} scores the feature set {model.feature_set}; "
                    f"{self._formula.feature_set} is served"
                )
            self._prepared = await _prepared(model)
        return self._prepared

    async def _tail(self, reader: Reader) -> None:
        try:
            while True:
                patience = _POLL_SECONDS
                while await self._read(reader, patience):
                    patience = 0.0
                try:
                    await self._swap()
                except LogUnavailable as error:
                    _logger.warning("the model in service was not read, trying again: %s", error)
                    continue
                async with self._progress:
                    self._done = reader.position(_AT)
                    self._progress.notify_all()
        finally:
            await reader.close()

    async def _read(self, reader: Reader, timeout: float) -> bool:
        """Take in one record; whether there was one."""
        records = (await reader.poll(1, timeout)).get(_AT, [])
        for record in records:
            try:
                self.registry.fold(MODEL_RECORD.decode(record.value or b""), record.offset)
            except CodecError:
                # Whatever somebody wrote into the topic, the others must serve.
                _logger.exception("record %d of %s is left out", record.offset, MODELS)
        return bool(records)

    async def _swap(self) -> None:
        """Serve what is in service. Raises ``LogUnavailable``."""
        wanted = self.registry.in_service(self._formula.feature_set)
        if wanted == self._tried:
            return
        try:
            self.scorer = await self._scorer(wanted)
        except UnusableModel as error:
            self.refused = error
            _logger.error("ranking goes on with model %s: %s", self.scorer.name, error)
        else:
            self.refused = None
            _logger.info("ranking with model %s", wanted)
        self._tried = wanted

    async def _scorer(self, id: str) -> Scorer:
        for scorer in (self.scorer, self._prepared, self._formula):
            if scorer.name == id:
                return scorer
        return await self.prepare(await self.model(id))


async def _prepared(model: Model) -> Scorer:
    """The scorer of ``model``, made in slices between which the loop is left to others."""
    with usable(model):
        text = await asyncio.to_thread(unpack_text, model.text)
        preparation, began = Preparation(model, text), perf_counter()
        for _ in preparation:
            if perf_counter() - began > _SLICE_SECONDS:
                await asyncio.sleep(0)
                began = perf_counter()
        return preparation.scorer
