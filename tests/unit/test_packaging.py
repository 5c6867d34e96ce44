"""The distribution holds what the repository holds."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTED: list[str] = PROJECT["tool"]["setuptools"]["packages"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return {canonicalize_name(package): version for package, version in PIN.findall(text)}


def test_every_package_is_listed() -> None:
    """A folder that can be imported is in the distribution, and nothing else is."""
    tops = {name.split(".")[0] for name in LISTED}
    tops |= {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in tops
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert sorted(LISTED) == sorted(found), "[tool.setuptools] packages in pyproject.toml"


def test_every_module_is_in_a_package() -> None:
    """No module lies in a folder without ``__init__.py``, where the distribution would lose it."""
    tops = {name.split(".")[0] for name in LISTED}
    lost = [
        path.relative_to(ROOT).as_posix()
        for top in tops
        for path in (ROOT / top).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    ]
    assert lost == []


def test_every_package_is_typed() -> None:
    """Type checkers of those who use a package read its annotations."""
    tops = {name.split(".")[0] for name in LISTED}
    assert [top for top in sorted(tops) if not (ROOT / top / "py.typed").exists()] == []


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_pins_name_no_place(name: str) -> None:
    """The pinned lists hold names, versions and hashes: no host, no path."""
    text = (ROOT / "requirements" / name).read_text()
    assert [line for line in text.splitlines() if "//" in line or "--find-links" in line] == []


def test_pins_satisfy_what_is_declared() -> None:
    """Every declared dependency is pinned, to a version that the declaration allows."""
    declared = {
        "run.txt": PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"],
        "dev.txt": PROJECT["project"]["optional-dependencies"]["dev"],
    }
    unmet = [
        f"{requirement} in requirements/{name}"
        for name, lines in declared.items()
        for requirement in map(Requirement, lines)
        if not requirement.specifier.contains(
            pins(name).get(canonicalize_name(requirement.name), "0")
        )
    ]
    assert unmet == [], "run `make pins`"


def test_tests_run_on_what_is_shipped() -> None:
    """The list for development holds the list for running, at the same versions."""
    assert pins("run.txt").items() <= pins("dev.txt").items()
