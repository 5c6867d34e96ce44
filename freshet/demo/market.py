"""The supply side: the first catalogue, and what is listed, joins, sells out and returns after.

The simulated shop offers an item once the server has acknowledged it, and stops offering it once
the server has acknowledged that it is out of stock.
"""

import asyncio
from typing import Any

import numpy as np

from freshet.demo.client import Client
from freshet.demo.measurements import Measurements
from freshet.demo.world import World

SELLERS, ITEMS = 60, 1500
LINES_PER_CALL = 500
TICK_S = 0.25
NEW_ITEMS_PER_S, NEW_SELLERS_PER_S, SOLD_OUT_PER_S, RESTOCKED_PER_S = 2.0, 0.5, 1.0, 0.5
ITEMS_OF_NEW_SELLER = 4


class CatalogueRefused(Exception):
    """The server did not take the first catalogue, so there is nothing to simulate."""


async def list_catalogue(
    world: World, client: Client, measurements: Measurements, rng: np.random.Generator
) -> str | None:
    """Lists the first sellers and items; the token of the last write.

    Raises CatalogueRefused if a call fails or a line is refused.
    """
    sellers = [world.add_seller() for _ in range(SELLERS)]
    items = [world.add_item(int(rng.choice(sellers))) for _ in range(ITEMS)]
    lines = [world.seller_line(seller, client.now_ms()) for seller in sellers]
    lines += [world.item_line(item, client.now_ms()) for item in items]
    token = None
    for start in range(0, len(lines), LINES_PER_CALL):
        part = lines[start : start + LINES_PER_CALL]
        written = await client.catalogue(part)
        if written is None or client.errors:
            raise CatalogueRefused(f"the first catalogue was not taken: {dict(client.errors)}")
        measurements.catalogue_lines += len(part)
        token = written.token
    world.in_stock[items] = True
    return token


async def trade(
    world: World,
    client: Client,
    measurements: Measurements,
    rng: np.random.Generator,
    start: float,
    deadline: float,
) -> None:
    """Changes the catalogue until ``deadline``; times are those of the event loop's clock."""
    loop = asyncio.get_running_loop()
    while loop.time() + TICK_S < deadline:
        await asyncio.sleep(TICK_S)
        for _ in range(rng.poisson(NEW_ITEMS_PER_S * TICK_S)):
            seller = int(rng.integers(world.sellers))
            lines = [world.item_line(world.add_item(seller), client.now_ms())]
            await _list(world, client, measurements, lines, loop.time() - start)
        for _ in range(rng.poisson(NEW_SELLERS_PER_S * TICK_S)):
            seller = world.add_seller()
            items = [world.add_item(seller) for _ in range(ITEMS_OF_NEW_SELLER)]
            lines = [world.seller_line(seller, client.now_ms())]
            lines += [world.item_line(item, client.now_ms()) for item in items]
            await _list(world, client, measurements, lines, loop.time() - start)
        await _change_stock(world, client, rng, False, SOLD_OUT_PER_S)
        await _change_stock(world, client, rng, True, RESTOCKED_PER_S)


async def _list(
    world: World,
    client: Client,
    measurements: Measurements,
    lines: list[dict[str, Any]],
    second: float,
) -> None:
    """Sends lines of what is new, and offers it once they are acknowledged."""
    if await client.catalogue(lines) is None:
        return
    measurements.catalogue_lines += len(lines)
    for line in lines:
        if line["type"] == "seller":
            measurements.sellers.listed[int(line["seller"][1:])] = second
        else:
            item = int(line["item"][1:])
            world.in_stock[item] = True
            measurements.items.listed[item] = second


async def _change_stock(
    world: World, client: Client, rng: np.random.Generator, in_stock: bool, per_s: float
) -> None:
    """Sells out, or restocks, a few items."""
    eligible = np.flatnonzero(world.in_stock != in_stock)
    count = min(int(rng.poisson(per_s * TICK_S)), len(eligible))
    for item in rng.choice(eligible, count, replace=False):
        if await client.set_stock(int(item), in_stock) is not None:
            world.in_stock[item] = in_stock
