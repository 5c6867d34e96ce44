"""What benchmarks share: a connection without overhead, a schedule, quantiles, the machine."""

import gc
import json
import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

SOON = 60.0

JSON = dict[str, Any]


class Connection:
    """One blocking keep-alive connection: a request is one send, its answer is read to the end."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port), SOON)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, path: str, body: bytes, kind: str = "application/json") -> bytes:
        """The bytes of a request, to be sent again and again."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {kind}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self, request: bytes) -> bytes:
        """The body of an answer, which must be a 200 of known length."""
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        assert head.startswith(b"http/1.1 200"), data
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(data) < end + 4 + size:
            data += self._more()
        return data[end + 4 :]

    def call(self, method: str, path: str, body: Any = None) -> JSON:
        """The JSON of a request of JSON."""
        encoded = b"" if body is None else msgspec.json.encode(body)
        answer: JSON = msgspec.json.decode(self.send(self.request(method, path, encoded)))
        return answer

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 18)
        assert more, "the server closed the connection"
        return more


def ticks(every: float, seconds: float) -> Iterator[float]:
    """The times (``time.perf_counter``) at which things are due, each waited for.

    One that comes late is given its time all the same: what is measured from there includes what
    it waited (no coordinated omission).
    """
    start = time.perf_counter()
    for number in range(int(seconds / every)):
        due = start + number * every
        time.sleep(max(0.0, due - time.perf_counter()))
        yield due


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Count, and quantiles in ms."""
    p50, p90, p99 = (float(q) for q in np.percentile(np.array(seconds), [50, 90, 99]) * 1000)
    return {
        "n": len(seconds),
        "p50": round(p50, 2),
        "p90": round(p90, 2),
        "p99": round(p99, 2),
        "max": round(max(seconds) * 1000, 2),
    }


def cpu_seconds(pid: int) -> float:
    """What a process has used of the CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid: int) -> float:
    """How long a process's first thread, its event loop, could have run but others did."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def one_by_one(
    connection: Connection, pid: int, requests: Sequence[bytes], warm: int
) -> dict[str, float]:
    """Quantiles (ms) of ``requests`` sent each when the last was answered, without the first
    ``warm``; and what the server, process ``pid``, used and waited for per request, of all."""
    used, waited = -cpu_seconds(pid), -waited_seconds(pid)
    seconds = []
    gc.disable()  # of this client: it must not measure itself
    for request in requests:
        began = time.perf_counter()
        connection.send(request)
        seconds.append(time.perf_counter() - began)
    gc.enable()
    each = 1000 / len(requests)
    return {
        **quantiles(seconds[warm:]),
        "server_cpu_ms": round(each * (used + cpu_seconds(pid)), 2),
        "server_waited_for_cpu_ms": round(each * (waited + waited_seconds(pid)), 3),
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on, and what else it was doing (load over the last minute)."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}


def show(name: str, figures: JSON) -> None:
    """Print ``figures`` as one line of JSON."""
    print(json.dumps({name: {**figures, "machine": machine()}}), flush=True)
