"""``freshet priors``: from a log, or a file, to the lines of a spec."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from freshet.cli import main
from freshet.priors import line
from personalization.events import StampedEvent
from personalization.features.rate import Rate
from personalization.training.priors import BUCKETS, Values
from tables.topics import VISITOR_EVENTS
from tests.training_logs import written
from tests.training_shop import SPEC, Traffic, traffic

CLICKED = "item_click_per_impression"
RATES = [one.columns(SPEC)[0] for one in SPEC.features if isinstance(one, Rate)]


def priors(*arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(main, ["priors", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def lines(told: Traffic) -> list[dict[str, Any]]:
    """The same as a file's lines, each event with an id."""
    found = []
    for record in told.records:
        if not isinstance(record, StampedEvent):
            one = {"type": "item", "item": record.id, "attributes": record.attributes}
            found.append({**one, "at": record.at, "seller": record.seller})
        elif record.type != "served":
            items = [stamp.item for stamp in record.items]
            one = {"type": record.type, "visitor": record.visitor, "items": items}
            found.append({**one, "at": record.at, "id": str(len(found))})
    return found


@pytest.fixture(scope="module")
def told() -> Traffic:
    """Clicks are ten times as frequent as the spec's prior says."""
    return traffic(3, 400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, told: Traffic) -> str:
    """The data folder of a shop."""
    folder = tmp_path_factory.mktemp("data")
    written(folder, told, VISITOR_EVENTS)
    return str(folder)


@pytest.fixture(scope="module")
def found(data: str) -> dict[str, Any]:
    """What the command says of it, as JSON."""
    report: dict[str, Any] = json.loads(priors("--data", data, "--json"))
    return report


@pytest.fixture(scope="module")
def text(data: str) -> str:
    """What it says for people."""
    return priors("--data", data)


def test_learned_values_and_what_they_are_worth(found: dict[str, Any], told: Traffic) -> None:
    """As JSON: every Rate of the spec, what it was learned from, and the later half by bucket."""
    assert found["unreadable"] == 1
    assert found["events"] == sum(event.type != "served" for event in told.events)
    assert list(found["rates"]) == RATES
    clicked = found["rates"][CLICKED]
    assert set(clicked) == {
        *("declared", "learned", "why", "exposures", "entities", "outcomes", "better", "line"),
        "later",
    }
    assert clicked["declared"] == {"strength": 20.0, "prior": 0.02}
    assert clicked["why"] is None
    assert 0.05 < clicked["learned"]["prior"] < 0.5
    assert clicked["better"]
    shown = sum(len(event.items) for event in told.events if event.type == "impression")
    assert clicked["exposures"] + clicked["later"]["all"]["exposures"] == shown
    assert list(clicked["later"]) == [one for one in BUCKETS if one in clicked["later"]]
    cell = clicked["later"]["all"]
    assert set(cell) == {"exposures", "entities", "rate", "declared", "learned", "gain"}
    assert cell["gain"][0] == pytest.approx(cell["declared"][0] - cell["learned"][0])
    assert cell["gain"][0] > cell["gain"][1] > 0.0


def test_where_there_is_too_little_the_declared_values_stay(
    found: dict[str, Any], text: str
) -> None:
    """Nobody bought anything; there are seven sellers."""
    bought = found["rates"]["item_purchase_per_impression"]
    assert (bought["learned"], bought["later"], bought["better"]) == (None, {}, False)
    assert "0 led to the event" in bought["why"]
    assert "prior=0.002" in bought["line"]
    assert "only 7 entities" in found["rates"]["seller_click_per_impression"]["why"]
    assert "item_purchase_per_impression: strength 20, prior 0.002 stay. of " in text


def test_the_lines_to_paste_are_those_that_are_better(found: dict[str, Any], text: str) -> None:
    """Below a table for each rate that was learned; each is the declaration with other values."""
    rates = found["rates"]
    pasted = [each.strip() for each in text.splitlines() if each.startswith("  Rate(")]
    assert pasted == [one["line"] for one in rates.values() if one["better"]]
    assert pasted
    for one in rates.values():
        values = one["learned"] or one["declared"]
        rate = eval(one["line"], {"Rate": Rate})
        declared = next(each for each in SPEC.features if same(each, rate))
        assert rate == msgspec.structs.replace(declared, **values)
    later = rates[CLICKED]["later"]["all"]
    row = next(each for each in text.splitlines() if each.split()[:1] == ["all"]).split()
    assert row[1:6] == [
        *(f"{later['exposures']:,}", f"{later['entities']:,}", f"{later['rate']:.2%}"),
        *(f"{1000 * later[name][0]:.1f}" for name in ("declared", "learned")),
    ]


def same(feature: Any, rate: Rate) -> bool:
    """Whether both are one declaration, but for the values."""
    return isinstance(feature, Rate) and rate == msgspec.structs.replace(
        feature, strength=rate.strength, prior=rate.prior
    )


def test_a_file_says_what_its_log_says(
    tmp_path: Path, told: Traffic, found: dict[str, Any]
) -> None:
    """Retries count once; what is no event is left out and counted."""
    path = tmp_path / "events.jsonl"
    wrong = {"type": "bow", "visitor": "v", "item": "i1", "at": told.events[0].at}
    retried = [one for one in lines(told) for _ in range(2)]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, [*retried, wrong])))
    assert json.loads(priors(str(path), "--json")) == found


def test_no_log_and_no_exposures_are_said(tmp_path: Path) -> None:
    """In words."""
    done = CliRunner().invoke(main, ["priors", "--data", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "holds no log" in done.output
    written(tmp_path, Traffic(), VISITOR_EVENTS)
    text = priors("--data", str(tmp_path))
    assert f"{CLICKED}: strength 20, prior 0.02 stay. only 0 entities were exposed" in text


def test_a_line_has_what_the_declaration_has() -> None:
    """Nothing is named that is not declared; one level of backoff is a tuple, too."""
    rate = Rate("item", "click", "view", ("global",), half_life="1h")
    assert line(rate, Values(8.0, 0.05)) == (
        'Rate("item", "click", per="view", backoff=("global",), half_life="1h", strength=8,'
        " prior=0.05)"
    )
    assert line(Rate("seller", "click", "view"), Values(0.5, 0.00012)) == (
        'Rate("seller", "click", per="view", strength=0.5, prior=0.00012)'
    )
