"""A load test from beginning to end: list items, send, look up decisions, delete the items."""

import asyncio
import math
import secrets
import threading
from collections.abc import Sequence
from time import perf_counter, process_time

from msgspec import structs
from rich.console import Console

from freshet.garbage import look_often
from freshet.loadtest import catalogue, live
from freshet.loadtest.client import CannotMeasure, Client
from freshet.loadtest.measurements import Measurements
from freshet.loadtest.options import Options
from freshet.loadtest.probes import Probes
from freshet.loadtest.result import LoadtestResult, make_result
from freshet.loadtest.shop import Shop
from freshet.loadtest.traffic import Traffic


async def run_loadtest(options: Options, console: Console, stop: threading.Event) -> LoadtestResult:
    """Measures the servers until all is sent, or ``stop``; progress goes to ``console``.

    Raises ``CannotMeasure``.

    Items, visitors and sellers are named after the seed; event ids, probes and what these list
    after the run, so that a second run with a seed is neither a duplicate nor known before.
    """
    prefix = f"load{options.seed}."
    run = f"{prefix}{secrets.token_hex(3)}."
    seconds = options.warm_up + options.seconds
    shop = Shop(prefix, options.seed, options.items, options.visitors, options.impressions)
    async with Client(options.servers, options.api_key, options.connections) as client:
        await client.check()
        probes = Probes(client, shop, run, options.candidates)
        listed = [*shop.items(), *probes.stock(math.ceil(options.probes * seconds))]
        try:
            with console.status("listing items") as status:
                await catalogue.list_items(client, shop, listed, status.update, stop)
            result = await _measure(client, shop, probes, options, run, console, stop)
        finally:
            not_deleted = await _delete(client, [*listed, *probes.listed], console)
        return structs.replace(result, not_deleted=not_deleted)


async def _delete(client: Client, items: Sequence[str], console: Console) -> str | None:
    """Why the items could not be deleted: no reason to lose what was measured."""
    with console.status("deleting items") as status:
        try:
            await catalogue.delete_items(client, items, status.update)
        except CannotMeasure as error:
            return str(error)
    return None


async def _measure(
    client: Client,
    shop: Shop,
    probes: Probes,
    options: Options,
    run: str,
    console: Console,
    stop: threading.Event,
) -> LoadtestResult:
    start = perf_counter()
    warm_up = Measurements(start, start + options.warm_up)
    measured = Measurements(warm_up.end, warm_up.end + options.seconds)
    traffic = Traffic(client, shop, probes, options, run)
    async with asyncio.TaskGroup() as beside:
        tasks = [
            beside.create_task(look_often()),
            beside.create_task(live.show(console, client, measured, options)),
        ]
        used = -process_time()
        over = await traffic.send(warm_up, measured, stop)
        used += process_time()
        cpu_percent = round(100 * used / (perf_counter() - start), 1)
        for task in tasks:
            task.cancel()
    interrupted = stop.is_set()
    seconds = over - measured.start if interrupted else options.seconds
    if seconds <= 0:
        raise CannotMeasure("stopped before anything was measured")
    await probes.look_up()
    return make_result(options, client, run, warm_up, measured, seconds, interrupted, cpu_percent)
