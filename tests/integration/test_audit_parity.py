"""``freshet audit parity``: beside a server, after it, and with folds that are wrong."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freshet.cli import main
from personalization import folding
from personalization.events import StampedEvent
from personalization.plan import StatePlan
from personalization.presets.marketplace import marketplace
from personalization.state.counters import Counted, Increment, count
from personalization.state.rows import ItemRow, VisitorRow
from personalization.state.visitor import fold_visitor
from tests.integration.decision_traffic import drive
from tests.processes import run, serving

SURFACES = "tests.integration.decision_traffic:SURFACES"
PAGES = 240
SAMPLE = ("--sample", "50")
CLICK = marketplace.plan.events.index("click")
HALF_LIVES = len(marketplace.plan.half_lives)

ANOTHER = """
from personalization.features.popularity import Popularity
from personalization.spec import Event, Spec

spec = Spec(events=[Event("purchase", weight=1)], item=[], features=[Popularity()])
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A data folder with decisions, and what an audit beside its server said."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "freshet.toml").write_text(f'surfaces = "{SURFACES}"\n')
    with serving(folder / "data") as (_, url):
        asyncio.run(drive(url, PAGES, seed=3))
        beside = run(["audit", "parity", "--data", "data", "--json"], folder, timeout=120)
    assert beside.returncode == 0, beside.stderr
    return folder / "data", json.loads(beside.stdout)


def audit(data: Path, *more: str) -> tuple[int, Any]:
    """The exit status, and the outcome."""
    found = CliRunner().invoke(main, ["audit", "parity", "--data", str(data), "--json", *more])
    assert isinstance(found.exception, SystemExit | None), found.output
    return found.exit_code, json.loads(found.stdout.splitlines()[-1])


def test_what_was_served_is_in_the_log(served: tuple[Path, Any]) -> None:
    """Beside the server and after it: at least 10,000 vectors, and no bit differs."""
    data, beside = served
    assert beside["holds"]
    assert beside["decisions"] >= PAGES - 16  # the newest may have been on their way to the log
    status, found = audit(data)
    assert (status, found["holds"], found["unchecked"]) == (0, True, 0)
    assert found["decisions"] == found["recorded"] >= PAGES
    assert found["vectors"] >= 10_000
    assert found["different"]["vectors"] == 0


def test_a_sample_is_drawn(served: tuple[Path, Any]) -> None:
    """So many decisions as were asked for; the same seed draws the same ones."""
    data, _ = served
    (_, one), (_, same), (_, other) = (
        audit(data, "--sample", "25", "--seed", seed) for seed in ("1", "1", "2")
    )
    assert one["decisions"] == other["decisions"] == 25
    assert one == same != other


def test_a_wrong_fold_of_items_names_their_features(
    served: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clicks of items counted a little too high: the features that read them, and no other."""

    def wrong(row: Counted, more: Increment, many: int, offset: int, plan: StatePlan) -> None:
        count(row, more, many, offset, plan)
        if isinstance(row, ItemRow) and more.event == CLICK:
            row.counters[CLICK * HALF_LIVES] *= 1.01

    monkeypatch.setattr(folding, "count", wrong)
    status, found = audit(served[0], *SAMPLE)
    assert (status, found["holds"]) == (1, False)
    named = found["different"]["features"]
    assert max(named, key=named.get).startswith("item_")
    assert "item_click_1h" in named
    assert not [name for name in named if name.startswith(("visitor_", "seller_", "affinity"))]
    assert found["different"]["rows"] == {}
    assert "was served" in found["different"]["examples"]["item_click_1h"]


def test_a_wrong_fold_of_visitors_names_rows_and_features(
    served: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors' clicks counted a little too high: their rows, and the features made of them."""

    def wrong(
        row: VisitorRow | None, event: StampedEvent, offset: int, plan: StatePlan
    ) -> VisitorRow:
        after = fold_visitor(row, event, offset, plan)
        if event.type == "click":
            after.counts[CLICK] += 1
        return after

    monkeypatch.setattr(folding, "fold_visitor", wrong)
    status, found = audit(served[0], *SAMPLE)
    assert status == 1
    assert found["different"]["rows"]
    assert "visitor_count_click" in found["different"]["features"]
    words = CliRunner().invoke(main, ["audit", "parity", "--data", str(served[0]), *SAMPLE])
    assert "visitor_count_click" in words.stdout
    assert "another row in the log" in words.stdout


def test_what_cannot_be_audited_is_said(
    served: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No log, another spec: one sentence, status 1."""
    missing = CliRunner().invoke(main, ["audit", "parity", "--data", str(tmp_path)])
    assert (missing.exit_code, missing.stderr) == (1, f"Error: {tmp_path} holds no log\n")
    (tmp_path / "another_shop.py").write_text(ANOTHER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    other = ["--spec", "another_shop:spec"]
    foreign = CliRunner().invoke(main, ["audit", "parity", "--data", str(served[0]), *other])
    assert foreign.exit_code == 1
    assert "made with this spec" in foreign.stderr
