"""``freshet evaluate`` from a file and from a log, to JSON and to a page."""

import json
import random
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from freshet.cli import main
from freshet.evaluation.feed import Feed
from personalization.evaluation.cohorts import COHORTS
from tests.processes import FRESHET, clean_environ, until
from tests.replays import START, shop_log, turn, write_file

ARMS = ["popularity", "recent", "frequent", "knn", "nightly", "nightly_live", "realtime"]


@pytest.fixture
def shop_file(tmp_path: Path) -> Path:
    """Thirty days of a small shop, one event a line."""
    return write_file(tmp_path, shop_log(days=30))


def evaluate(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(main, ["evaluate", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("protocol", ["next_item", "basket", "list", "pointwise"])
def test_json_has_every_arm_cohort_and_metric_with_its_interval(
    shop_file: Path, tmp_path: Path, protocol: str
) -> None:
    """In each protocol; the page needs nothing from elsewhere."""
    page = tmp_path / "report.html"
    found = evaluate(
        str(shop_file), "--protocol", protocol, "--test", "10d", "--report", str(page), "--formula"
    )
    assert list(found) == ["protocol", "arms", "cost", "differences"]
    assert found["protocol"] == protocol
    arms = found["arms"]
    assert isinstance(arms, dict)
    assert list(arms) == ARMS
    for cohorts in arms.values():
        assert next(iter(cohorts)) == "all"
        assert set(cohorts) <= set(COHORTS)
        for cohort in cohorts.values():
            assert cohort.pop("n") > 0
            for value, low, high in cohort.values():
                assert low <= value + 1e-6
                assert value - 1e-6 <= high
    text = page.read_text("utf-8")
    assert "<svg" in text
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_what_fits_the_data_is_chosen(shop_file: Path) -> None:
    """Impressions of several items, followed by choices: lists. The same twice gives the same."""
    first = evaluate(str(shop_file), "--test", "0.3")
    assert first["protocol"] == "list"
    assert first == evaluate(str(shop_file), "--test", "0.3")


def test_a_log_is_evaluated_as_its_file(shop_file: Path, tmp_path: Path) -> None:
    """Imported into a data folder and read from its log, the results are the same."""
    data = str(tmp_path / "data")
    imported = ["import", "jsonl", str(shop_file), "--data", data]
    assert CliRunner().invoke(main, imported).exit_code == 0
    options = ["--protocol", "next_item", "--test", "10d", "--formula"]
    from_log = evaluate("--log", "--data", data, *options)
    assert from_log == evaluate(str(shop_file), *options)


def test_polis_is_ranked_by_its_own_preset(tmp_path: Path) -> None:
    """Unless a spec is named: what is not said is ``deliberation``, not ``marketplace``."""
    rng, start = random.Random(1), 1_500_000_000_000
    comments = ["timestamp,comment-id,author-id,comment-body"]
    comments += [f"{start},{statement},0,text" for statement in range(8)]
    votes = ["timestamp,comment-id,voter-id,vote"]
    for number in range(160):
        at, statement = start + 60_000 * number, number % 8
        votes.append(f"{at},{statement},{number // 8},{rng.choice([-1, 0, 1])}")
    (tmp_path / "camps.comments.csv").write_text("\n".join(comments))
    (tmp_path / "camps.votes.csv").write_text("\n".join(votes))
    asked = (str(tmp_path), "--format", "polis", "--test", "0.5", "--formula", "--spec")
    found = evaluate(*asked[:-1])["arms"]
    presets = "personalization.presets"
    assert found == evaluate(*asked, f"{presets}.deliberation:deliberation")["arms"]
    assert found != evaluate(*asked, f"{presets}.marketplace:marketplace")["arms"]


def test_what_cannot_be_evaluated_is_said_in_one_line(tmp_path: Path) -> None:
    """No traceback, status 1 or 2."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for arguments, message in (
        ([str(empty)], "no event with a time"),
        (["--log", "--data", str(tmp_path / "nowhere")], "holds no log"),
        ([], "give a PATH or --log"),
        ([str(empty), "--log"], "give a PATH or --log"),
    ):
        result = CliRunner().invoke(main, ["evaluate", *arguments])
        assert result.exit_code in (1, 2)
        assert message in result.output.splitlines()[-1]


@pytest.mark.parametrize("test", ["soon", "2", "2026-01-01..x"])
def test_a_test_that_cannot_be_is_refused(shop_file: Path, test: str) -> None:
    """With what it could be."""
    result = CliRunner().invoke(main, ["evaluate", str(shop_file), "--test", test])
    assert result.exit_code == 1
    assert "--test" in result.output.splitlines()[-1]


def test_events_of_one_time_come_in_an_order_drawn_with_the_seed(tmp_path: Path) -> None:
    """Within a session; those of others, and the catalogue, stay where they are."""
    path = tmp_path / "ties.jsonl"
    log = [turn(type="item", item="i0", at=5_000_000_000_000)]
    for number in range(20):
        log.append(
            turn(
                type="purchase",
                visitor=f"v{number % 2}",
                item=f"i{number}",
                session=f"s{number % 2}",
                at=1_795_392_000_000,
                id=str(number),
            )
        )
    path.write_bytes(b"\n".join(msgspec.json.encode(one.lines[0]) for one in log))

    def order(seed: int) -> list[str]:
        return [str(one.lines[0].item) for one in Feed("jsonl", path, seed)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))
    of_visitor = [one.lines[0].visitor for one in Feed("jsonl", path, 1)][1:]
    assert of_visitor == ["v0"] * 10 + ["v1"] * 10


def test_nothing_goes_on_where_an_evaluation_is_killed(tmp_path: Path) -> None:
    """The process that helps it ends, too."""
    with (tmp_path / "events.jsonl").open("w") as file:
        for number in range(60_000):
            event = {"type": "purchase", "visitor": f"v{number % 997}", "item": f"i{number % 89}"}
            file.write(json.dumps(event | {"at": START + number * 60_000}) + "\n")
    evaluating = subprocess.Popen(
        [*FRESHET, "evaluate", "events.jsonl", "--formula", "--processes", "2"],
        cwd=tmp_path,
        env={**clean_environ(), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # Each keeps rows in three folders, and there is one where they meet.
        until(lambda: len(list(tmp_path.glob("freshet-evaluate-*"))) == 7)
        told = Path(f"/proc/{evaluating.pid}/task/{evaluating.pid}/children").read_text()
    finally:
        evaluating.kill()
        evaluating.wait()
    assert len(told.split()) >= 1
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in told.split()))
