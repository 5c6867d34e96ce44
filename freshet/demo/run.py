"""Runs the demo against a server that is already up."""

import asyncio

import numpy as np
from rich.console import Console

from freshet.demo import live
from freshet.demo.client import TIMEOUT_S, Client
from freshet.demo.market import list_catalogue, trade
from freshet.demo.measurements import Measurements
from freshet.demo.report import curl_lines
from freshet.demo.result import DemoResult, make_result
from freshet.demo.traffic import Traffic
from freshet.demo.world import World, WorldKind

ASK_AGAIN_S = 0.05


class NeverReady(Exception):
    """The server took the catalogue but did not catch up with it in time."""


async def run_demo(
    url: str,
    *,
    seconds: float,
    seed: int,
    world: WorldKind,
    json_out: bool,
    console: Console,
) -> DemoResult:
    """Lists a catalogue, then sends ``seconds`` of traffic, and says what came of it.

    Progress goes to ``console``: a live view if it is a terminal, else, or with ``json_out``,
    lines. The result is returned, not printed. Raises CatalogueRefused if the server does not take
    the first catalogue, NeverReady if it is not rankable within ``TIMEOUT_S``; later failures are
    counted in ``errors``.
    """
    market = World(seed, world)
    measured = Measurements()
    rng = np.random.default_rng([seed, 5])
    loop = asyncio.get_running_loop()
    async with Client(url) as client:
        token = await list_catalogue(market, client, measured, rng)
        await _wait_for(token, client)
        start = loop.time()
        progress = live.show(
            console, client, measured, seconds=seconds, start=start, json_out=json_out
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(progress)
            group.create_task(trade(market, client, measured, rng, start, start + seconds))
            await Traffic(market, client, measured, start, seconds).run()
        return make_result(
            measured,
            dict(client.errors),
            world=world,
            seed=seed,
            seconds=loop.time() - start,
            try_next=_try_next(url, market, measured),
        )


def _try_next(url: str, market: World, measured: Measurements) -> list[str]:
    if measured.last_click is None:
        return []
    visitor, item = measured.last_click
    others = np.flatnonzero(market.in_stock)[-8:]
    return curl_lines(
        url.rstrip("/"), visitor=visitor, item=item, candidates=[f"i{other}" for other in others]
    )


async def _wait_for(token: str | None, client: Client) -> None:
    """Asks for rankings until one knows the whole catalogue, for at most ``TIMEOUT_S``."""
    request = {"candidates": ["i0"], "limit": 1, "token": token}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TIMEOUT_S
    while loop.time() < deadline:
        ranking = await client.rank(request)
        if ranking is not None and ranking.freshness.caught_up:
            return
        await asyncio.sleep(ASK_AGAIN_S)
    raise NeverReady(f"not rankable after {TIMEOUT_S:.0f} s; failed calls: {dict(client.errors)}")
