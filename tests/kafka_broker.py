"""Real Kafka brokers for tests: processes of their own, on loopback, in folders that go away.

``Broker`` is one process. ``Cluster`` is one or three of them. Their waits block the caller: a
test with a running loop calls ``await asyncio.to_thread(cluster.kill)`` and the like.
"""

import asyncio
import atexit
import base64
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.kafka_jars import kafka_jars

START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0
ANSWER_TIMEOUT_MS = 2000

# Tests are short: compilation that pays off after minutes is left out.
JVM = ("-XX:+UseG1GC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN")

# Ends the broker if pytest is gone and could not: the end of this pipe is all that is left then.
GUARD = 'read -r word; [ "$word" = gone ] || kill -9 "$0"'

ADMIN = "admin"
"""The super user of a cluster with SASL."""


class Broker:
    """One Kafka node, broker and controller at once, as a process."""

    def __init__(self, folder: Path, config: Mapping[str, object], memory_mb: int) -> None:
        folder.mkdir(parents=True)
        self.log = folder / "broker.log"
        self.data = folder / "data"
        self._config = folder / "server.properties"
        self._config.write_text(
            "".join(f"{name}={value}\n" for name, value in config.items())
            + f"log.dirs={self.data}\n"
        )
        self._memory = (f"-Xms{memory_mb}m", f"-Xmx{memory_mb}m")
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def format(self, cluster_id: str, users: Mapping[str, str]) -> None:
        """Make the folder of the log; ``users`` are the passwords of SCRAM by user."""
        scram = [
            option
            for name, password in users.items()
            for option in ("--add-scram", f"SCRAM-SHA-256=[name={name},password={password}]")
        ]
        tool = ["kafka.tools.StorageTool", "format", "-c", str(self._config)]
        tool.append(f"--cluster-id={cluster_id}")  # it may begin with a dash
        done = subprocess.run(
            [*_java("-Xmx128m"), *tool, *scram],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_java(*self._memory), "kafka.Kafka", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def stop(self) -> None:
        """End it in good order, or after a few seconds without."""
        if self.running:
            self.thaw()
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """``kill -9``."""
        if self.running:
            self._signal(signal.SIGKILL)
        if self._process is not None:
            self._wait(STOP_TIMEOUT)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self, timeout: float) -> None:
        assert self._process is not None
        self._process.wait(timeout)
        if self._guard is not None:
            self._guard.communicate(b"gone\n", timeout=STOP_TIMEOUT)
            self._guard = None


class Cluster:
    """One broker, or several that replicate; ``users`` turns SASL/SCRAM and ACLs on.

    With users, ``bootstrap_servers`` are SASL_PLAINTEXT listeners, where nothing is allowed but to
    ``ADMIN``; ``open_servers`` are PLAINTEXT listeners, where everything is.
    """

    def __init__(
        self, folder: Path, size: int = 1, *, users: Mapping[str, str] | None = None
    ) -> None:
        self._users = users or {}
        free = iter(_free_ports(3 * size))
        ports = list(zip(free, free, free, strict=True))
        self.open_servers = ",".join(f"127.0.0.1:{open_port}" for open_port, _, _ in ports)
        self.bootstrap_servers = (
            ",".join(f"127.0.0.1:{sasl}" for _, sasl, _ in ports) if users else self.open_servers
        )
        voters = ",".join(f"{id}@127.0.0.1:{port}" for id, (_, _, port) in enumerate(ports))
        self.brokers = [
            Broker(
                folder / f"node{id}",
                _config(id, ports[id], voters, size, bool(users)),
                memory_mb=512 if size == 1 else 384,
            )
            for id in range(size)
        ]

    def start(self) -> None:
        """Make the folders, start all and wait until they are ready."""
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        _each([partial(broker.format, cluster_id, self._users) for broker in self.brokers])
        self.heal()

    def heal(self) -> None:
        """Start what is not running, wake what is frozen, and wait until all is ready."""
        for broker in self.brokers:
            if broker.running:
                broker.thaw()
            else:
                broker.start()
        self.wait_ready()

    def wait_ready(self, size: int | None = None) -> None:
        """Wait until those that run answer, and know of ``size`` brokers (all), not more."""
        deadline = time.monotonic() + START_TIMEOUT
        expected = len(self.brokers) if size is None else size
        while (found := self._members()) != {expected}:
            dead = [broker for broker in self.brokers if not broker.running]
            assert len(self.brokers) - len(dead) >= expected, dead[0].log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"{expected} brokers, not {found}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End all of them in good order."""
        _each([broker.stop for broker in self.brokers])

    def close(self) -> None:
        """End all of them at once, and drop what they kept."""
        for broker in self.brokers:
            broker.kill()
            shutil.rmtree(broker.data, ignore_errors=True)

    def kill(self, node: int = 0) -> None:
        """``kill -9`` of one."""
        self.brokers[node].kill()

    def restart(self, node: int = 0) -> None:
        """Stop one, if it runs, start it, and wait until all are ready."""
        self.brokers[node].stop()
        self.heal()

    def freeze(self, node: int = 0) -> None:
        """SIGSTOP of one."""
        self.brokers[node].freeze()

    def thaw(self, node: int = 0) -> None:
        """SIGCONT of one."""
        self.brokers[node].thaw()

    def _members(self) -> set[int]:
        """How many brokers those that run know of."""
        servers = zip(self.open_servers.split(","), self.brokers, strict=True)
        running = [server for server, broker in servers if broker.running]
        # A thread has no loop of its own yet, whoever called this.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, _known(running)).result()


def _config(id: int, ports: Sequence[int], voters: str, size: int, sasl: bool) -> dict[str, object]:
    open_port, sasl_port, controller_port = ports
    listeners = f"PLAINTEXT://127.0.0.1:{open_port}"
    if sasl:
        listeners += f",SASL_PLAINTEXT://127.0.0.1:{sasl_port}"
    replicas, in_sync = min(size, 3), min(size, 2)
    config: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": id,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": listeners,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
        ),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        # A killed broker comes back as soon as its last session is over.
        "broker.session.timeout.ms": 2000 if size == 1 else 3000,
        "broker.heartbeat.interval.ms": 500,
        # Compaction and retention happen within a test.
        "log.cleaner.dedupe.buffer.size": 32 << 20,
        "log.cleaner.backoff.ms": 100,
        "log.initial.task.delay.ms": 100,
        "log.retention.check.interval.ms": 200,
        "log.segment.delete.delay.ms": 1000,
    }
    if sasl:
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        config |= {
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": login,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The brokers themselves are ANONYMOUS.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }
    return config


def _java(*options: str) -> list[str]:
    return ["java", *JVM, *options, "-cp", f"{kafka_jars()}/*"]


async def _known(servers: Sequence[str]) -> set[int]:
    """How many brokers each of ``servers`` knows of; nothing where one is silent."""
    if not all(map(_listens, servers)):
        return set()
    found = set()
    for server in servers:
        admin = AIOKafkaAdminClient(bootstrap_servers=server, request_timeout_ms=ANSWER_TIMEOUT_MS)
        try:
            async with asyncio.timeout(2 * ANSWER_TIMEOUT_MS / 1000):
                await admin.start()
                found.add(len((await admin.describe_cluster())["brokers"]))
        except (KafkaError, TimeoutError, OSError):
            return set()
        finally:
            await admin.close()
    return found


def _listens(server: str) -> bool:
    host, _, port = server.partition(":")
    with socket.socket() as probe:
        probe.settimeout(ANSWER_TIMEOUT_MS / 1000)
        return probe.connect_ex((host, int(port))) == 0


def _free_ports(count: int) -> list[int]:
    """Ports below those that outgoing connections get: they stay free while a broker is down."""
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


def _each(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at once, and wait for them."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for made in [pool.submit(call) for call in calls]:
            made.result()
