"""A worker's place in the group: its own, and nobody else's.

A worker is a static member: its id outlives the process, so that a restart within the session
time-out moves no partition. Kafka takes two processes with one id for one that was restarted, and
lets each push the other out. They are told apart by a text in their data folders.
"""

import asyncio
import secrets
from pathlib import Path

import structlog

from eventlog.kafka import KafkaAdmin, KafkaUnreachable
from eventlog.kafka.groups import Member, members

_NONCE = "worker"
_CLIENT = "freshet-worker"
_LOOK_SECONDS = 0.5
_WATCH_SECONDS = 3.0
_MOST_SIGHTINGS = 3

_logger = structlog.get_logger(__name__)


class IdTaken(Exception):
    """Another running process has this worker's id."""


def nonce_of(folder: Path) -> str:
    """The folder's own text; made when it is first asked for."""
    file = folder / _NONCE
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        nonce = secrets.token_hex(8)
        file.write_text(f"{nonce}\n")
        return nonce


class Membership:
    """The claim of the worker whose data folder has ``nonce`` to ``worker_id`` in ``group``."""

    def __init__(self, admin: KafkaAdmin, *, group: str, worker_id: str, nonce: str) -> None:
        self._admin = admin
        self._group = group
        self._worker_id = worker_id
        self._nonce = nonce

    @property
    def client_id(self) -> str:
        """What the broker is told."""
        return f"{_CLIENT}/{self._worker_id}/{self._nonce}"

    async def claim(self, session_timeout: float) -> None:
        """Return once nobody else has the id; a process that died has it for ``session_timeout``.

        Raises ``IdTaken``, or as ``KafkaAdmin`` does.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + session_timeout + 2 * _LOOK_SECONDS
        told = False
        while others := await self._others():
            if loop.time() > deadline:
                raise IdTaken(
                    f"a worker called {self._worker_id} runs already, on {others[0].host}: give"
                    " every worker an id of its own (--worker-id), or stop that one"
                )
            if not told:
                _logger.info("waiting for the last holder of the id to go", host=others[0].host)
                told = True
            await asyncio.sleep(_LOOK_SECONDS)

    async def watch(self) -> None:
        """Look every few seconds whether somebody else took the id. Raises ``IdTaken``.

        Of two that started at once the one with the higher text gives way.
        """
        sightings = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                others = await self._others()
            except KafkaUnreachable as error:
                _logger.debug("the group cannot be asked", reason=str(error))
                continue
            sightings = sightings + 1 if others else 0
            if others and (sightings >= _MOST_SIGHTINGS or others[0].client_id < self.client_id):
                raise IdTaken(
                    f"another worker called {self._worker_id} was started, on {others[0].host}:"
                    " give every worker an id of its own (--worker-id)"
                )

    async def _others(self) -> list[Member]:
        ours = f"{_CLIENT}/{self._worker_id}/"
        return [
            member
            for member in await members(self._admin, self._group)
            if member.client_id.startswith(ours) and member.client_id != self.client_id
        ]
