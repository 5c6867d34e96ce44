"""Freshet's processes, as tests start and end them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOON = 60.0
FRESHET = (sys.executable, "-m", "freshet")
KILLED = (sys.executable, str(Path(__file__).parent / "integration" / "killed_freshet.py"))


def clean_environ() -> dict[str, str]:
    """The environment without Freshet's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}


def until(holds: Callable[[], bool]) -> None:
    """Wait until it does."""
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``freshet serve`` on a data folder, in a process of its own."""

    def __init__(
        self, data: Path, log: Path, *, port: int = 0, kill: tuple[str, int] | None = None
    ) -> None:
        self.log = log
        start = FRESHET if kill is None else (*KILLED, kill[0], str(kill[1]))
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*start, "serve", "--data", str(data), "--port", str(port)],
                cwd=data.parent,
                env=clean_environ(),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.port = port

    def url(self) -> str:
        """Waits until it listens."""
        assert self.process.stdout is not None
        url = self.process.stdout.readline().decode().strip()
        assert url, self.log.read_text()
        return url

    def ready(self, url: str) -> None:
        """Waits until it is ready."""
        deadline = time.monotonic() + SOON
        while get(f"{url}/readyz").get("ready") is not True:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it with a signal; its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = SOON) -> int:
        """Waits until it has ended; its exit status."""
        try:
            return self.process.wait(timeout)
        finally:
            self.close()

    def close(self) -> None:
        """Makes sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SOON)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(data: Path, *options: Any, **more: Any) -> Iterator[tuple[Server, str]]:
    """A server that is ready, and its URL; at the end it is stopped in good order."""
    server = Server(data, data.parent / "server.log", *options, **more)
    try:
        url = server.url()
        server.ready(url)
        yield server, url
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.close()


def get(url: str) -> dict[str, Any]:
    """A GET, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=SOON) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            answer = json.load(error)
    return answer


def post(url: str, body: Any) -> dict[str, Any]:
    """A POST of JSON that must be taken."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SOON) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def run(
    command: Sequence[str], cwd: Path, timeout: float = SOON
) -> subprocess.CompletedProcess[str]:
    """Runs a command of Freshet to its end."""
    return subprocess.run(
        [*FRESHET, *command],
        cwd=cwd,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
