"""How to reach a cluster: addresses, credentials, TLS; and why it cannot be reached, in words."""

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, in_words, is_refusal

Started = TypeVar("Started")

_LAST_SECONDS = 3.0

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cluster is and who asks. The password is in no ``repr``."""

    bootstrap_servers: tuple[str, ...]
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-256"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None

    def __repr__(self) -> str:
        servers = ",".join(self.bootstrap_servers)
        return f"Connection({servers!r}, {self.security_protocol}, user={self.sasl_username!r})"

    @property
    def uses_sasl(self) -> bool:
        """Whether the client says who it is by name and password."""
        return self.security_protocol.startswith("SASL")

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS as the protocol asks for it. Raises ``KafkaRefused`` for files that do not serve."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        files = (self.ssl_ca_location, self.ssl_certificate_location, self.ssl_key_location)
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=files[0], certfile=files[1], keyfile=files[2]
            )
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(str(file) for file in files if file is not None)
            raise KafkaRefused(f"TLS files cannot be used ({named}): {error}") from error
        return context

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client. Raises ``KafkaRefused``."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.uses_sasl:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options


async def started(starting: Coroutine[Any, Any, Started], timeout: float) -> Started:
    """What ``starting`` of aiokafka returns. Raises its errors, and ``TimeoutError``.

    Cut off in the middle it would leave a connection open, so it gets some last seconds; what
    does not end then, though cancelled, is left alone: aiokafka can lose a cancellation.
    """
    task = asyncio.create_task(starting)
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.shield(task)
    except BaseException:
        await asyncio.wait([task], timeout=_LAST_SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=_LAST_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # it was asked for: the caller's own error is the one to raise
        raise


async def stopped(consumer: Any) -> None:
    """Stop aiokafka's ``consumer``, and close its connections.

    Its own ``stop`` ends with ``CancelledError``, and leaves connections open, where a fetch that
    failed waits to be tried again.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        asked = asyncio.current_task()
        if asked is None or asked.cancelling():
            raise
    finally:
        fetches = [] if consumer._fetcher is None else list(consumer._fetcher._pending_tasks)
        for fetch in fetches:
            fetch.cancel()
        if fetches:
            await asyncio.wait(fetches, timeout=_LAST_SECONDS)
        await consumer._client.close()


async def reach(connection: Connection, timeout: float) -> None:
    """Return as soon as one of the bootstrap servers lets us in.

    aiokafka's own error does not say why none did. Raises ``KafkaRefused`` where a server said no,
    ``KafkaUnreachable`` where none answered; ``timeout`` is for each, in seconds.
    """
    options = connection.client_options()
    servers = options.pop("bootstrap_servers")
    reasons = []
    for host, port, _ in collect_hosts(servers):
        where = f"{host}:{port}"
        conn = AIOKafkaConnection(host, port, request_timeout_ms=int(timeout * 1000), **options)
        try:
            await started(conn.connect(), timeout)
        except TimeoutError:
            reasons.append(f"{where} does not answer within {timeout:g} s")
        except ssl.SSLError as error:
            raise KafkaRefused(f"TLS with {where} failed: {error}") from error
        except (OSError, KafkaError) as error:
            if is_refusal(error):
                raise KafkaRefused(_refusal(connection, where, error)) from error
            reasons.append(f"{where}: {in_words(error)}")
        else:
            return
        finally:
            conn.close()
    raise KafkaUnreachable("no bootstrap server can be reached: " + "; ".join(reasons))


def _refusal(connection: Connection, where: str, error: BaseException) -> str:
    who = f"user {connection.sasl_username!r} ({connection.sasl_mechanism})"
    return f"{where} refused {who}: {in_words(error)}; see sasl_username and sasl_password"
