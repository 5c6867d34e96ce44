"""``freshet loadtest`` against a real server."""

import json
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.processes import (
    FRESHET,
    SOON,
    Server,
    clean_environ,
    free_port,
    get,
    run,
    serving,
    until,
)

QUICK = ["--items", "200", "--visitors", "10", "--events", "100", "--ranks", "50"]
QUICK += ["--impressions", "0", "--json"]
PROBE_VISITORS = 40


def taken(url: str) -> int:
    """Events that the server has appended, by its own count."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=SOON) as response:
        lines = response.read().decode().splitlines()
    kinds = ("impression", "view", "click", "cart", "purchase")
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in lines
        if line.startswith(tuple(f'freshet_events_accepted_total{{type="{k}"' for k in kinds))
    )


def folded(url: str, result: dict[str, Any]) -> int:
    """Events that are in the visitors' rows, where each is of one item."""
    visitors = [f"load1.v{number}" for number in range(10)]
    visitors += [f"{result['run']}probe{number}" for number in range(PROBE_VISITORS)]
    rows = [get(f"{url}/v1/visitors/{visitor}") for visitor in visitors]
    return int(sum(sum(row["counts"].values()) for row in rows if "counts" in row))


def test_figures_are_those_of_the_server(tmp_path: Path) -> None:
    """One object on stdout; every acknowledged event is in the log once, every probe is known
    and in the features, and the items are deleted."""
    with serving(tmp_path / "data") as (_, url):
        done = run(
            ["loadtest", "--server", url, "--seconds", "2", *QUICK, "--warm-up", "1"], tmp_path
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert taken(url) == result["acknowledged"]
        until(lambda: folded(url, result) == result["acknowledged"])
        assert get(f"{url}/v1/items/load1.i0")["deleted"] is True
    events, ranks = result["events"], result["ranks"]
    assert events["acknowledged"] == events["sent"] == 200
    assert events["rejected"] == events["failed"] == {}
    assert ranks["answered"] == ranks["sent"] == 100
    assert events["latency_ms"]["from_due"]["p99"] >= events["latency_ms"]["from_due"]["p50"] > 0
    assert list(result["freshness"]) == ["own_event", "new_item", "out_of_stock", "all_counters"]
    for probe in result["freshness"].values():
        assert probe["known"] == probe["sent"] > 0
        assert probe["wrong"] == probe["never"] == probe["unanswered"] == 0
    assert result["freshness"]["own_event"]["looked_up"] > 0
    assert result["not_deleted"] is None


def test_a_killed_server_costs_no_event(tmp_path: Path) -> None:
    """Killed under load and started again: what was under way is sent again with its ids, and the
    rows have every event that was acknowledged, once."""
    port = free_port()
    server = Server(tmp_path / "data", tmp_path / "server.log", port=port)
    try:
        url = server.url()
        server.ready(url)
        command = [*FRESHET, "loadtest", "--server", url, "--seconds", "5", *QUICK]
        load = subprocess.Popen(
            [*command, "--warm-up", "0"],
            cwd=tmp_path,
            env=clean_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: taken(url) >= 100)
        server.stop(signal.SIGKILL)
        server = Server(tmp_path / "data", tmp_path / "server.log", port=port)
        server.ready(server.url())
        result = json.loads(load.communicate(timeout=SOON)[0])
        until(lambda: folded(url, result) >= 500)
        assert folded(url, result) == 500
    finally:
        server.close()
    events = result["events"]
    assert result["connections_died"][url] > 0
    assert events["acknowledged"] == events["sent"] == 500


def test_an_interrupt_ends_it_with_what_was_measured(tmp_path: Path) -> None:
    """Ctrl-C is no loss: the figures so far are printed, and the items deleted."""
    with serving(tmp_path / "data") as (_, url):
        load = subprocess.Popen(
            [*FRESHET, "loadtest", "--server", url, "--seconds", "600", *QUICK],
            cwd=tmp_path,
            env=clean_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: taken(url) >= 400)
        load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=SOON)
        assert load.returncode == 0, err.decode()
        result = json.loads(out)
        assert result["interrupted"] is True
        assert 1 < result["seconds"] < 60
        assert result["acknowledged"] == taken(url)
        assert get(f"{url}/v1/items/load1.i0")["deleted"] is True
