"""The items of the load test: listed before it, deleted after it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import msgspec

from freshet.loadtest.answers import RANKED, WRITTEN
from freshet.loadtest.client import GIVE_UP_SECONDS, CannotMeasure, Client, Unanswered, why_not
from freshet.loadtest.shop import JSON, Shop

_AT_ONCE = 1_000

Report = Callable[[str], None]


async def list_items(
    client: Client, shop: Shop, items: Sequence[str], report: Report, stop: threading.Event
) -> None:
    """List ``items``, and wait until rankings know them. Raises ``CannotMeasure``."""
    lines = ({"type": "item", "item": item, **shop.attributes()} for item in items)
    await _send(client, lines, len(items), report, "listing items", stop)


async def delete_items(client: Client, items: Sequence[str], report: Report) -> None:
    """Delete ``items``. Raises ``CannotMeasure``, though by then it could."""
    lines = ({"type": "delete", "item": item} for item in items)
    await _send(client, lines, len(items), report, "deleting items", threading.Event())


async def _send(
    client: Client,
    lines: Iterator[JSON],
    total: int,
    report: Report,
    stage: str,
    stop: threading.Event,
) -> None:
    for start in range(0, total, _AT_ONCE):
        if stop.is_set():
            raise CannotMeasure("stopped before anything was measured")
        some = [next(lines) for _ in range(min(_AT_ONCE, total - start))]
        try:
            answer = await client.write("POST", "/v1/catalogue", msgspec.json.encode(some))
            if answer.status != 200:
                raise CannotMeasure(f"{answer.server} refuses the catalogue: {why_not(answer)}")
            written = WRITTEN.decode(answer.content)
            for result in written.results:
                for error in result.errors:
                    why = f"{error.field}: {error.reason}"
                    raise CannotMeasure(f"{answer.server} rejects items: {why}")
            await _known(client, written.token)
        except Unanswered as error:
            raise CannotMeasure(f"the servers do not take the catalogue: {error}") from error
        except msgspec.DecodeError as error:
            raise CannotMeasure(f"{answer.server} is not a Freshet server: {error}") from error
        report(f"{stage}: {start + len(some):,} of {total:,}")


async def _known(client: Client, token: str) -> None:
    body = msgspec.json.encode({"candidates": ["-"], "limit": 1, "token": token})
    deadline = perf_counter() + GIVE_UP_SECONDS
    while perf_counter() < deadline:
        answer = await client.write("POST", "/v1/rank", body)
        if answer.status != 200:
            raise CannotMeasure(f"{answer.server} refuses to rank: {why_not(answer)}")
        if RANKED.decode(answer.content).freshness.caught_up:
            return
    raise CannotMeasure(f"rankings do not know the catalogue after {GIVE_UP_SECONDS:.0f} s")
