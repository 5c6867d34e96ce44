"""``freshet demo``."""

import asyncio
import math
import signal
from typing import TYPE_CHECKING, Any, Literal

import click

from freshet.cli.options import plain

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.demo.result import DemoResult


def _finite(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number of seconds")
    return value


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    callback=_finite,
    default=30,
    show_default=True,
    help="How long.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Of all that is random.",
)
@click.option(
    "--world",
    type=click.Choice(["tastes", "null"]),
    default="tastes",
    show_default=True,
    help="Whether visitors have tastes; without any, nothing can be learned.",
)
@click.option("--json", "json_out", is_flag=True, help="Print the outcome as JSON, and exit.")
def command(seconds: float, seed: int, world: Literal["tastes", "null"], json_out: bool) -> None:
    """Watch a simulated marketplace, and whether personalization beats popularity.

    Starts a server of its own on a free port, with data that is deleted afterwards. In a terminal
    it goes on serving until Ctrl-C, so that you can try it.

    \b
    Examples:
      freshet demo
      freshet demo --seconds 60 --seed 7
      freshet demo --world null --json
    """
    from rich.console import Console

    from freshet.child import ServerFailed
    from freshet.demo.market import CatalogueRefused
    from freshet.demo.run import NeverReady

    console = Console(stderr=json_out)
    running = _demo(console, json_out, seconds=seconds, seed=seed, world=world)
    with plain(NeverReady, CatalogueRefused, ServerFailed):
        try:
            asyncio.run(running)
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("stopped")


async def _demo(console: "Console", json_out: bool, **settings: Any) -> None:
    from freshet.child import running_server
    from freshet.demo.run import run_demo

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with console.status("starting a server …") as status:
        async with running_server(status.update) as url:
            status.stop()
            result = await run_demo(url, json_out=json_out, console=console, **settings)
            stays = console.is_terminal and not json_out
            if not stays:  # the commands would ask a server that has ended
                result.try_next = []
            _show(result, console, json_out)
            if stays:
                console.print(f"\nStill serving on {url}, see {url}/docs. Ctrl-C ends it.")
                await asyncio.Event().wait()


def _show(result: "DemoResult", console: "Console", json_out: bool) -> None:
    from freshet.demo.report import print_summary
    from freshet.demo.result import to_json

    if json_out:
        print(to_json(result))
    else:
        print_summary(result, console)
