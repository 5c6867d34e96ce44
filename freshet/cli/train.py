"""``freshet train``."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import (
    CLUSTER,
    duration,
    loaded,
    names,
    plain,
    require_lightgbm,
    settings_flags,
)

if TYPE_CHECKING:
    from freshet.cli.progress import Bars
    from freshet.settings import Settings
    from freshet.training.run import Course, Made
    from personalization.training.labels import Objective


@click.command("train")
@click.option(
    "--window",
    callback=duration,
    default="30d",
    show_default=True,
    help="How far back to learn from.",
)
@click.option(
    "--objective",
    type=click.Choice(["pointwise", "lambdarank", "binary"]),
    default="pointwise",
    show_default=True,
    help="What is learned; binary gives probabilities.",
)
@click.option(
    "--outcomes",
    callback=names,
    metavar="EVENT,…",
    help="Events that count (default: those the spec gives a weight or a label).",
)
@click.option("--promote", is_flag=True, help="Have the model serve, if the gate says so.")
@click.option("--every", callback=duration, metavar="1h", help="Train again and again.")
@click.option(
    "--replay/--no-replay",
    default=True,
    help="Whether to learn from what no decision served, too: folds the whole log.",
)
@click.option("--shuffle-labels", is_flag=True, help="Learn nonsense, which the gate must refuse.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of chance.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--card",
    "card_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the model card, in Markdown.",
)
@click.option("--json", "json_out", is_flag=True, help="Print the card as one line of JSON.")
@settings_flags("data", "spec", "surfaces", *CLUSTER)
def command(
    window: int,
    objective: "Objective",
    outcomes: tuple[str, ...] | None,
    promote: bool,
    every: int | None,
    replay: bool,
    shuffle_labels: bool,
    seed: int,
    threads: int,
    card_file: Path | None,
    json_out: bool,
    config: Path | None,
    **flags: object,
) -> None:
    """Learn to rank from what was served, and have it serve if it is better.

    Beside a running server the log is read as it is, and the server is given the model. What the
    gate refuses is not kept: exit status 2 says so.

    \b
    Examples:
      freshet train
      freshet train --promote --every 1h
      freshet train --objective binary --outcomes purchase --card model.md
      freshet train --config cluster.toml --window 7d --json
    """
    require_lightgbm()
    from rich.console import Console

    from eventlog.kafka import KafkaRefused, KafkaUnreachable
    from freshet.cli.progress import Bars
    from freshet.cluster import TopicsWrong
    from freshet.settings import SettingsError
    from freshet.state import CannotOpen
    from freshet.training.reading import Stalled
    from freshet.training.run import CannotTrain, Course
    from freshet.training.shelf import ShelfRefused

    course = Course(
        objective=objective,
        window=window,
        counted=outcomes,
        replay=replay,
        shuffle=shuffle_labels,
        seed=seed,
        threads=threads,
    )
    expected = (
        *(SettingsError, CannotOpen, CannotTrain, ShelfRefused, Stalled),
        *(TopicsWrong, KafkaRefused, KafkaUnreachable),
    )
    console = Console(stderr=True)
    with plain(SettingsError):
        settings = loaded(config, **flags).settings
    while True:
        began = time.monotonic()
        try:
            with plain(*expected), Bars(console) as bars:
                made = asyncio.run(_once(settings, course, promote, bars))
        except click.ClickException as error:
            if every is None:
                raise
            error.show()
        else:
            _show(made, card_file, json_out)
            if every is None:
                raise SystemExit(0 if made.trained.verdict.promote else 2)
        time.sleep(max(0.0, every / 1000 - (time.monotonic() - began)))


async def _once(settings: "Settings", course: "Course", promote: bool, bars: "Bars") -> "Made":
    from freshet.specs import load_spec
    from freshet.state import now_ms
    from freshet.surfaces import load_surfaces
    from freshet.training.opened import opened
    from freshet.training.run import train

    spec = load_spec(settings.spec)
    surface = load_surfaces(settings.surfaces, spec)["default"]
    async with opened(settings) as (log, shelf):
        made = await train(log, spec, surface, course, now=now_ms(), progress=bars.report)
        verdict = made.trained.verdict
        if verdict.promote:
            await shelf.register(made.model)
            if promote:
                await shelf.promote(made.model, now_ms(), verdict.why)
    return made


def _show(made: "Made", card_file: Path | None, json_out: bool) -> None:
    from personalization.training.card import markdown

    text = markdown(made.model.id, made.trained.card)
    if card_file is not None:
        card_file.write_text(text)
    if json_out:
        import msgspec

        print(msgspec.json.encode({"model": made.model.id, **made.trained.card}).decode())
    else:
        print(text)
