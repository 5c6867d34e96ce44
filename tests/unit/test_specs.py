"""A spec that cannot be is refused in one line, by every command that loads it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from freshet.cli import main
from freshet.settings import SettingsError
from freshet.specs import load_spec

SPEC = """
import numpy as np
from personalization.features.affinity import Affinity
from personalization.features.age import Age
from personalization.features.decayed import Decayed
from personalization.features.popularity import Popularity
from personalization.spec import Event, Number, Spec

spec = Spec(
    events=[Event("impression"), EVENT],
    item=[Number("price")],
    features=[FEATURES],
)
"""
FUNCTION = """
@spec.feature
def mine(item_price, item_age):
    return RETURNED
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A module that no other test has imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    return tmp_path / f"{name}.py"


def written(
    module: Path,
    *,
    event: str = 'Event("click", weight=1)',
    features: str = 'Popularity(), Age("item")',
    returned: str | None = None,
) -> str:
    text = SPEC.replace("EVENT]", f"{event}]").replace("FEATURES", features)
    if returned is not None:
        text += FUNCTION.replace("RETURNED", returned)
    module.write_text(text)
    return f"{module.stem}:spec"


WRONG = [
    ({"features": 'Affinity("colour")'}, "'colour' is none of seller"),
    (
        {"features": 'Decayed("item", "click", "2h")'},
        "half-life '2h' is not declared (1h, 1d, 30d)",
    ),
    ({"features": 'Decayed("item", "click", "7 days")'}, "'7 days' is not a duration"),
    ({"features": 'Affinity("seller", halflife="7d")'}, "TypeError: Unexpected keyword argument"),
    ({"features": ""}, "no column that the formula knows"),
    ({"event": 'Event("impression")'}, "event 'impression' is declared twice"),
    ({"event": "Event("}, "SyntaxError"),
    ({"returned": "1 / 0"}, "feature mine: ZeroDivisionError: division by zero"),
    ({"returned": "item_price[:2]"}, "feature mine: returned the shape (2,)"),
    ({"returned": "item_price.mean()"}, "feature mine: returned the shape ()"),
    ({"returned": "item_price * np.inf"}, "feature mine: returned no finite value"),
]


@pytest.mark.parametrize(("declared", "message"), WRONG, ids=[message for _, message in WRONG])
def test_serve_and_doctor_say_what_is_wrong_in_one_line(
    module: Path, declared: dict[str, str], message: str
) -> None:
    """Status 1, no traceback; nothing was made on disk."""
    path = written(module, **declared)
    served = CliRunner().invoke(main, ["serve", "--spec", path, "--port", "0"])
    assert served.exit_code == 1
    last = served.output.splitlines()[-1]
    assert last.startswith("Error: spec: ")
    assert message in last
    doctor = CliRunner().invoke(main, ["doctor", "--spec", path, "--port", "0"])
    assert doctor.exit_code == 1
    (problem,) = [line for line in doctor.output.splitlines() if line.startswith("problem")]
    assert problem.startswith("problem spec: ")
    assert message in problem
    assert not Path("freshet-data").exists()


def test_a_function_may_have_no_value_where_nothing_is_known(module: Path) -> None:
    """Logarithms and ratios of what is missing or 0 are NaN, which counts as 0."""
    assert (
        load_spec(written(module, returned="np.log(item_price) / item_age")).columns[-1] == "mine"
    )


def test_doctor_says_which_columns_count(module: Path) -> None:
    """A column of one's own has no weight; with the preset there is nothing to say."""
    path = written(module, returned="item_price")
    output = CliRunner().invoke(main, ["doctor", "--spec", path, "--port", "0"]).output
    assert "columns in the formula: popularity_1d, item_age;" in output
    assert "columns without weight in the formula: mine\n" in output
    assert "formula" not in CliRunner().invoke(main, ["doctor", "--port", "0"]).output


def test_what_is_not_there_keeps_its_message() -> None:
    """A module that cannot be found is said to be so."""
    with pytest.raises(SettingsError, match="spec: 'nowhere:spec' cannot be imported"):
        load_spec("nowhere:spec")
