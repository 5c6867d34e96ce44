"""``freshet serve`` as a process: it starts, serves, stops, and says what is wrong."""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freshet.settings import Settings
from tests.baskets import some_retail
from tests.processes import FRESHET, SOON, Server, clean_environ, get, post, run, serving


def test_events_survive_any_end(tmp_path: Path) -> None:
    """Stopped in good order or killed, the next start knows every event that was acknowledged."""
    data = tmp_path / "data"
    view = {"type": "view", "visitor": "v1", "item": "i1"}
    for start, ending in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT), start=1):
        server = Server(data, tmp_path / "server.log")
        try:
            url = server.url()
            server.ready(url)
            token = post(f"{url}/v1/events", [view])["token"]
            rank = {"visitor": "v1", "candidates": ["i1"], "token": token}
            assert post(f"{url}/v1/rank", rank)["freshness"]["caught_up"] is True
            assert get(f"{url}/v1/visitors/v1")["counts"]["view"] == start
            status = server.stop(ending)
        finally:
            server.close()
        assert status == (-signal.SIGKILL if ending == signal.SIGKILL else 0)


def test_the_start_says_where_and_what(tmp_path: Path) -> None:
    """stdout has the URL alone; the log has one line with all that matters."""
    with serving(tmp_path / "data") as (server, url):
        pass
    said = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    (banner,) = (line for line in said if line["event"] == "serving")
    assert banner["url"] == url
    assert banner["data"] == str(tmp_path / "data")
    assert banner["partitions"] == Settings().partitions
    assert {"state", "features", "recovered", "rows", "seconds"} <= banner.keys()
    assert [line for line in said if line["level"] not in ("info", "debug")] == []


def test_a_data_folder_has_one_owner(tmp_path: Path) -> None:
    """A second server, a rebuild and an import into the folder are refused while one runs."""
    data = tmp_path / "data"
    some_retail(tmp_path / "r.csv.gz", 10, seed=1)
    with serving(data):
        for command in (
            ["serve", "--port", "0"],
            ["rebuild"],
            ["import", "online-retail", "r.csv.gz"],
        ):
            result = run([*command, "--data", str(data)], tmp_path)
            assert result.returncode == 1
            assert "is in use by a running Freshet process: stop it first" in result.stderr
        assert "a server is running" in run(["doctor", "--data", str(data)], tmp_path).stdout


def test_a_port_has_one_owner(tmp_path: Path) -> None:
    """The message says which address is taken."""
    with serving(tmp_path / "one") as (_, url):
        port = url.rpartition(":")[2]
        result = run(["serve", "--port", port, "--data", str(tmp_path / "two")], tmp_path)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_partitions_are_fixed_at_creation(tmp_path: Path) -> None:
    """Another number is refused, and nothing is changed."""
    data = str(tmp_path / "data")
    with serving(tmp_path / "data"):
        pass
    result = run(["serve", "--port", "0", "--data", data, "--partitions", "3"], tmp_path)
    assert result.returncode == 1
    assert f"{Settings().partitions} partitions, not 3" in result.stderr
    doctor = run(["doctor", "--data", data, "--partitions", "3"], tmp_path)
    assert doctor.returncode == 1


def test_a_server_that_recovers_says_so(tmp_path: Path) -> None:
    """An import in bulk, a rebuild, lost tables: each with its progress, and the same visitor."""
    data = tmp_path / "data"
    some_retail(tmp_path / "r.csv.gz", 2_000, seed=1)
    command = ["import", "online-retail", "r.csv.gz", "--data", str(data), "--json"]
    result = run(command, tmp_path)
    summary = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert list(summary) == ["lines", "taken", "skipped", "seconds", "events_per_s"]
    assert summary["lines"] == summary["taken"] + sum(summary["skipped"].values()) == 2_000
    assert "lines: 2,000 of 2,000" in result.stderr

    rebuilt = run(["rebuild", "--data", str(data)], tmp_path)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "records folded in" in rebuilt.stdout
    assert "entity topics:" in rebuilt.stderr

    with serving(data) as (_, url):
        before = get(f"{url}/v1/items/20001")
    for path in sorted((data / "tables").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with serving(data) as (server, url):
        after = get(f"{url}/v1/items/20001")
        stages = get(f"{url}/readyz")["recovering"]
    assert {stage["name"] for stage in stages} == {"changelogs", "replicas"}
    assert all(stage["done"] == stage["total"] for stage in stages)
    assert '"stage": "changelogs"' in server.log.read_text()
    assert before["counts"] == after["counts"]
    assert before["counts"]["purchase"] > 10

    doctor = run(["doctor", "--data", str(data)], tmp_path)
    assert doctor.returncode == 0, doctor.stdout
    assert "table items: up to date" in doctor.stdout


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """The first lets a request finish that waits for its token; the second does not wait."""
    server = Server(tmp_path / "data", tmp_path / "server.log")
    try:
        url = server.url()
        server.ready(url)
        token = post(f"{url}/v1/events", [{"type": "view", "visitor": "v", "item": "i"}])["token"]
        with waiting(url, _never(token)) as connection:
            server.process.send_signal(signal.SIGTERM)
            answer = connection.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b'"caught_up":false' in answer
        assert server.wait() == 0

        server = Server(tmp_path / "data", tmp_path / "server.log")
        url = server.url()
        server.ready(url)
        with waiting(url, _never(token), unsent=1) as connection:
            server.process.send_signal(signal.SIGTERM)
            until_refused(url)
            assert server.stop() == 128 + signal.SIGTERM
            assert connection.recv(1 << 16) == b""
    finally:
        server.close()


def until_refused(url: str) -> None:
    """Wait until the server takes no more connections: it has seen the first signal."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=SOON).close()
        except OSError:
            return
    raise AssertionError("it goes on accepting connections")


@contextmanager
def waiting(url: str, token: str, unsent: int = 0) -> Iterator[socket.socket]:
    """A connection on which a ranking waits for ``token``, which takes it a second; with
    ``unsent`` bytes it waits for these, and is not done before the server gives it up."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps({"candidates": ["i"], "token": token}).encode()
    with socket.create_connection((host, int(port)), timeout=SOON) as connection:
        connection.sendall(
            b"POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body[: len(body) - unsent])
        )
        get(f"{url}/healthz")  # sent later: what came before is under way
        yield connection


def _never(token: str) -> str:
    """A token of what was never written."""
    from tables.tokens import Token

    known = Token.parse(token)
    return Token({partition: offset + 1_000 for partition, offset in known.events.items()}).text()


def test_keys_let_it_bind_and_are_asked_for(tmp_path: Path) -> None:
    """With API keys it may listen everywhere, the importer sends one, and others are refused."""
    (tmp_path / "freshet.toml").write_text('api_keys = ["secret"]\nhost = "0.0.0.0"\n')
    (tmp_path / "e.jsonl").write_text('{"type": "view", "visitor": "v", "item": "i"}\n')
    with serving(tmp_path / "data") as (_, url):
        assert url.startswith("http://0.0.0.0:")
        assert get(f"{url}/v1/visitors/v")["status"] == 401
        command = ["import", "jsonl", "e.jsonl", "--server", url, "--state", "c.json"]
        assert "1 of 1 lines taken" in run(command, tmp_path).stdout
        (tmp_path / "freshet.toml").unlink()
        refused = run([*command, "--restart"], tmp_path)
        assert refused.returncode == 1
        assert "401" in refused.stderr


def test_an_import_that_ended_is_not_made_again(tmp_path: Path) -> None:
    """Unless that is asked for; and then, with the same ids, it changes nothing."""
    (tmp_path / "e.jsonl").write_text('{"type": "view", "visitor": "v", "item": "i"}\n')
    command = ["import", "jsonl", "e.jsonl", "--state", "c.json", "--server"]
    with serving(tmp_path / "data") as (_, url):
        assert run([*command, url], tmp_path).returncode == 0
        assert run([*command, url], tmp_path).returncode == 0
        assert run([*command, url, "--restart"], tmp_path).returncode == 0
        assert get(f"{url}/v1/visitors/v")["counts"]["view"] == 1


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_never_leaves_its_server_behind(tmp_path: Path, ending: signal.Signals) -> None:
    """Ended in the middle, it ends the server that it started, and removes its data."""
    demo = subprocess.Popen(
        [*FRESHET, "demo", "--seconds", "60"],
        cwd=tmp_path,
        env={**clean_environ(), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        demo.stdout.readline()  # progress: it runs
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.send_signal(ending)
        demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert children
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    assert list(tmp_path.glob("freshet-*")) == []


def test_a_signal_ends_a_recovery(tmp_path: Path) -> None:
    """It stops between two batches; the next start goes on and loses nothing."""
    data = tmp_path / "data"
    some_retail(tmp_path / "r.csv.gz", 5_000, seed=2)
    assert (
        run(["import", "online-retail", "r.csv.gz", "--data", str(data)], tmp_path).returncode == 0
    )
    shutil.rmtree(data / "tables")
    server = Server(data, tmp_path / "server.log")
    try:
        server.url()
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.close()
    assert '"serving"' not in server.log.read_text()
    with serving(data) as (_, url):
        assert get(f"{url}/v1/items/20001")["counts"]["purchase"] > 10
