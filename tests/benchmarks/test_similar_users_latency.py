"""How long similar users take over HTTP: one client, one request after another."""

import random
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Connection, one_by_one, show
from tests.benchmarks.shop import caught_up
from tests.processes import serving

PROFILES, VIEWERS = 100_000, 2_000
REQUESTS, WARM = 2_000, 200


def profile(number: int, drawn: random.Random) -> dict[str, Any]:
    """Somebody of one of 40 trades in one of 200 towns, with three of 500 skills, at a price."""
    skills = {f"skill{int(500 * drawn.random() ** 2)}" for _ in range(3)}
    attributes = {
        "category": f"trade{int(40 * drawn.random() ** 2)}",
        "brand": f"town{drawn.randrange(200)}",
        "tags": sorted(skills),
        "price": round(drawn.lognormvariate(3.0, 0.8), 2),
        "in_stock": True,
    }
    return {"type": "user", "user": f"u{number}", "attributes": attributes}


def fill(connection: Connection, drawn: random.Random) -> None:
    """100,000 profiles, and some looks of 2,000 viewers at them."""
    for start in range(0, PROFILES, 5_000):
        lines = [profile(number, drawn) for number in range(start, start + 5_000)]
        token = connection.call("POST", "/v1/catalogue", lines)["token"]
        caught_up(connection, token)
    for _ in range(10):
        looks = [
            {
                "type": drawn.choice(("view", "view", "click")),
                "visitor": f"v{drawn.randrange(VIEWERS)}",
                "item": f"user:u{drawn.randrange(PROFILES)}",
            }
            for _ in range(2_000)
        ]
        caught_up(connection, connection.call("POST", "/v1/events", looks)["token"])


def test_similar_users_latency(tmp_path: Path) -> None:
    """Who is like one of 100,000, found and ranked for a viewer, and logged out."""
    figures, drawn = {}, random.Random(1)
    with serving(tmp_path / "data") as (server, url):
        connection = Connection(url)
        fill(connection, drawn)
        found = connection.call("POST", "/v1/similar/users/u1", {"limit": 500})
        for who in ("visitor", "logged_out"):
            requests = [
                connection.request(
                    "POST",
                    f"/v1/similar/users/u{drawn.randrange(PROFILES)}",
                    b"{}"
                    if who == "logged_out"
                    else b'{"visitor": "v%d"}' % drawn.randrange(VIEWERS),
                )
                for _ in range(REQUESTS + WARM)
            ]
            figures[who] = one_by_one(connection, server.process.pid, requests, WARM)
        connection.close()
    result = {"by_viewer": figures, "profiles": PROFILES, "neighbours": len(found["items"])}
    show("similar_users_latency_ms", result)
