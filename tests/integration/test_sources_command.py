"""``freshet sources``: from a log to what each source gave and earned."""

import json
from pathlib import Path

from click.testing import CliRunner

from freshet.cli import main
from personalization.events import StampedEvent
from tables.topics import DECISIONS
from tests.training_logs import written
from tests.training_shop import PAGE, SPEC, Traffic, traffic

ALL_TIME = ("--window", "36500d")
CLICK = next(event.weight for event in SPEC.events if event.name == "click")


def sources(data: Path, *arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(main, ["sources", "--data", str(data), *ALL_TIME, *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def pairs(events: list[StampedEvent], type: str) -> set[tuple[str, str]]:
    """Which items of which decisions."""
    return {
        (event.decision, stamp.item)
        for event in events
        if event.type == type and event.decision is not None
        for stamp in event.items
    }


def test_counts_are_those_of_the_log(tmp_path: Path) -> None:
    """As JSON and as a table; what is not counted as an outcome earns nothing."""
    told = traffic(3, 60)
    written(tmp_path, told, DECISIONS)
    seen, clicked = pairs(told.events, "impression"), pairs(told.events, "click")
    found = json.loads(sources(tmp_path, "--json"))
    assert found["unreadable"] == 1
    assert found["since"] == min(decision.at for decision in told.decisions)
    surface = found["surfaces"]["default"]
    counts = {
        "brought": len(told.decisions) * 4 * PAGE,
        "shown": len(told.decisions) * PAGE,
        "seen": len(seen),
        "outcomes": len(clicked),
        "worth": CLICK * len(clicked),
    }
    assert surface["rankings"] == len(told.decisions)
    assert surface["sources"] == {
        "caller": {"rankings": len(told.decisions), **counts, "alone": counts}
    }
    assert surface["together"] == [{"sources": ["caller"], **counts}]
    assert len(seen) > len(clicked) > 10
    line = next(line for line in sources(tmp_path).splitlines() if "caller" in line).split()
    assert line[1:] == [
        *2 * [f"{counts['brought']:,}"],
        *2 * [f"{counts['shown']:,}"],
        *(f"{len(seen):,}", f"{len(clicked):,}", f"{len(clicked):,}"),
        *(f"{len(clicked) / len(seen):.2%}", f"{counts['worth']:,.0f}"),
    ]
    bought = json.loads(sources(tmp_path, "--json", "--outcomes", "purchase"))
    assert bought["surfaces"]["default"]["all"] == {**counts, "outcomes": 0, "worth": 0.0}


def test_a_log_without_decisions_says_so(tmp_path: Path) -> None:
    """In words; so does a folder without a log."""
    written(tmp_path, Traffic(), DECISIONS)
    assert sources(tmp_path) == "No decisions in this time.\n"
    done = CliRunner().invoke(main, ["sources", "--data", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "holds no log" in done.output
