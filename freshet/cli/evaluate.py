"""``freshet evaluate``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.of_file import file_arguments, spec_for
from freshet.cli.options import loaded, plain, require_lightgbm, settings_flags

if TYPE_CHECKING:
    from freshet.evaluation.survey import ProtocolName


@click.command("evaluate")
@file_arguments
@click.option("--log", is_flag=True, help="Evaluate the log of a data folder instead.")
@click.option(
    "--test",
    metavar="WHAT",
    help="What is tested: the last 30d, the last share 0.5, or days FROM..TO.",
)
@click.option(
    "--protocol",
    type=click.Choice(["next_item", "basket", "list", "pointwise"]),
    help="What is predicted (default: what fits the data).",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of chance.")
@click.option("--learn/--formula", default=True, help="Fit models, or rank with the formula.")
@click.option(
    "--processes",
    type=click.IntRange(1, 16),
    help="How many replay it, each predicting for its visitors (default: one per core, up to 4).",
)
@click.option("--json", "json_out", is_flag=True, help="Print the outcome as JSON.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write a page with plots.",
)
@settings_flags("data", "spec", "surfaces")
def command(
    path: Path | None,
    kind: str,
    log: bool,
    test: str | None,
    protocol: "ProtocolName | None",
    seed: int,
    learn: bool,
    processes: int | None,
    json_out: bool,
    report: Path | None,
    config: Path | None,
    data: Path | None,
    spec: str | None,
    surfaces: str | None,
) -> None:
    """Would realtime rankings have been better? Replays a log, predicting before every event.

    Compares what Freshet ranks live with the same model frozen at midnight, with popularity, with
    what visitors chose before and with neighbours, on everything and by cohort. Polis is ranked
    by the preset `deliberation`, all else by `marketplace`, unless --spec or the settings say.

    \b
    Examples:
      freshet evaluate events.jsonl.gz --report report.html
      freshet evaluate online_retail.csv.gz --format online-retail --test 30d --json
      freshet evaluate conversations/ --format polis --protocol pointwise --test 0.5
      freshet evaluate --log --data freshet-data
    """
    require_lightgbm()
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.evaluation.feed import Feed
    from freshet.evaluation.log_feed import LogFeed
    from freshet.evaluation.one_pass import Stream
    from freshet.evaluation.output import as_json, print_tables
    from freshet.evaluation.page import page
    from freshet.evaluation.run import MOST_PROCESSES, Request, evaluate
    from freshet.evaluation.survey import EvaluationError
    from freshet.garbage import look_rarely
    from freshet.importers.source import SourceError
    from freshet.settings import SettingsError
    from freshet.specs import load_spec
    from freshet.state import LOG
    from freshet.surfaces import load_surfaces

    if (path is None) != log:
        raise click.UsageError("give a PATH or --log, one of them")
    look_rarely()
    progress = Console(stderr=True)
    with plain(SettingsError, SourceError, EvaluationError, FileNotFoundError):
        found = loaded(config, data=data, spec=spec, surfaces=surfaces)
        settings = found.settings
        declared = spec_for(kind, found)
        surface = load_surfaces(settings.surfaces, load_spec(declared))["default"]
        feed: Stream = LogFeed(settings.data / LOG) if path is None else Feed(kind, path, seed)
        with Bars(progress) as bars:
            several = processes or min(os.cpu_count() or 1, MOST_PROCESSES)
            request = Request(protocol, test, seed, learn, processes=several)
            evaluation = evaluate(feed, declared, surface, request, bars.report)
        if report is not None:
            report.write_text(page(evaluation, str(path or settings.data)), "utf-8")
    if json_out:
        import msgspec

        print(msgspec.json.encode(as_json(evaluation)).decode())
    else:
        print_tables(evaluation, Console())
    if report is not None:
        progress.print(f"{report} written", highlight=False)
