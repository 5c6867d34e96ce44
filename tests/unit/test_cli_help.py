"""The commands explain themselves, and say in one sentence what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from freshet.cli import _COMMANDS, main

# What takes long to import, and no command needs before it runs.
HEAVY = ("aiohttp", "faust", "numba", "numpy", "rocksdict", "rich", "personalization.spec")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_shows_examples(name: str) -> None:
    """--help ends with lines to copy, each of which begins as it is typed."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    examples = result.output.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    for example in examples:
        assert f"freshet {name}" in example


def test_all_commands_are_listed() -> None:
    """freshet --help names every command, and where to start."""
    output = CliRunner().invoke(main, ["--help"]).output
    assert "Start here:" in output
    for name in _COMMANDS:
        assert f"\n  {name} " in output
    assert CliRunner().invoke(main, ["serv"]).exit_code == 2


def test_help_is_fast() -> None:
    """Nothing heavy is imported to explain a command."""
    script = (
        "import sys; from freshet.cli import main;"
        "main(['import', '--help'], standalone_mode=False);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--port", "70000"], "port (--port): Expected `int` <= 65535"),
        (["serve", "--host", "0.0.0.0"], "set API keys"),
        (["serve", "--spec", "nowhere:spec"], "spec: 'nowhere:spec' cannot be imported"),
        (["serve", "--surfaces", "json:dumps"], "surfaces: 'json:dumps' is a function"),
        (["serve", "--decisions-retention", "soon"], "'soon' is not a duration"),
        (["serve", "--config", "none.toml"], "none.toml cannot be read"),
        (["rebuild", "--data", "empty"], "empty holds no log"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], message: str) -> None:
    """No traceback, status 1, and the setting is named."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    last = result.output.splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "-1"], ["--seconds", "nan"], ["--seconds", "inf"], ["--seconds", "0"]],
    ids=" ".join,
)
def test_a_demo_of_no_time_or_seed_is_a_usage_error(arguments: list[str]) -> None:
    """Status 2, before a server is started."""
    assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 2


def test_an_import_needs_one_destination() -> None:
    """A server or a folder, not both; a file that is there."""
    Path("e.jsonl").touch()
    both = ["import", "jsonl", "e.jsonl", "--server", "http://x", "--data", "d"]
    assert CliRunner().invoke(main, both).exit_code == 2
    assert CliRunner().invoke(main, ["import", "jsonl", "none.jsonl"]).exit_code == 2
    Path("r.csv").write_text("a,b\n")
    result = CliRunner().invoke(main, ["import", "online-retail", "r.csv", "--data", "d"])
    assert result.exit_code == 1
    assert "not Online Retail" in result.output
