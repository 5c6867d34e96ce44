"""How long similar items take over HTTP: one client, one request after another."""

from pathlib import Path

from tests.benchmarks.measuring import Connection, one_by_one, show
from tests.benchmarks.shop import Shop, fill
from tests.processes import serving

REQUESTS, WARM = 2_000, 200


def test_similar_latency(tmp_path: Path) -> None:
    """Neighbours of one of 20,000 items, found and ranked for a visitor, and logged out."""
    figures = {}
    with serving(tmp_path / "data") as (server, url):
        connection, shop = Connection(url), Shop(seed=1)
        fill(connection, shop)
        found = connection.call("POST", f"/v1/similar/items/{shop.item()}", {"limit": 500})
        for who in ("visitor", "logged_out"):
            requests = [
                connection.request(
                    "POST",
                    f"/v1/similar/items/{shop.item()}",
                    b"{}"
                    if who == "logged_out"
                    else b'{"visitor": "%s"}' % shop.visitor().encode(),
                )
                for _ in range(REQUESTS + WARM)
            ]
            figures[who] = one_by_one(connection, server.process.pid, requests, WARM)
        connection.close()
    show("similar_latency_ms", {"by_viewer": figures, "neighbours": len(found["items"])})
