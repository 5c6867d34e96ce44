"""What the documents list is what there is."""

import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

import personalization.features
from api.metrics import Metrics
from api.routes import ALL
from freshet.cli import main
from personalization import spec as declarations
from personalization.features.context import ContextValue, LocalTimePart
from personalization.features.family import Feature
from personalization.features.user import UserFeature
from personalization.presets.marketplace import marketplace
from personalization.ranking.filters import OPERATORS, compile_predicate
from personalization.ranking.formula import WEIGHTS
from personalization.ranking.surface import Surface, check_surface
from personalization.ranking.values import attribute_kinds
from personalization.spec import Context, LocalTime, Spec, Vector

SPEC_WITH_A_VECTOR = Spec(
    events=marketplace.events,
    item=(*marketplace.item, Vector("embedding", 64)),
    half_lives=marketplace.half_lives,
    features=marketplace.features,
)

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "docs/spec.md").read_text()
API = (ROOT / "docs/api.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()

# Declared as something else: context, and @spec.feature.
NOT_NAMED = {ContextValue, LocalTimePart, UserFeature}


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next heading of its level."""
    level, start = re.search(rf"^(#+) {re.escape(title)}$", page, re.MULTILINE), page
    assert level is not None, title
    start = page[level.end() :]
    return re.split(rf"^#{{1,{len(level[1])}}} ", start, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a text's tables, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]
    return [
        [cell.strip() for cell in row]
        for number, row in enumerate(cells)
        if not set(lines[number]) <= set("|-: ")
        and not (number + 1 < len(lines) and set(lines[number + 1]) <= set("|-: "))
    ]


def families() -> dict[str, type[Feature]]:
    """Every family of features there is."""
    modules = [
        importlib.import_module(f"personalization.features.{module.name}")
        for module in pkgutil.iter_modules(personalization.features.__path__)
    ]
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, Feature) and kind is not Feature
    }


@pytest.fixture
def my_shop(tmp_path: Path) -> Iterator[ModuleType]:
    """The module that docs/spec.md shows."""
    source = re.search(r"```python\n(.*?)```", SPEC, re.DOTALL)
    assert source is not None
    path = tmp_path / "my_shop.py"
    path.write_text(source[1])
    spec = importlib.util.spec_from_file_location("my_shop", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_shop"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["my_shop"]


def test_the_example_of_a_spec_is_one(my_shop: ModuleType) -> None:
    """The shop of the page can be served as it stands, with its surfaces."""
    assert isinstance(my_shop.spec, Spec)
    assert "price_gap" in my_shop.spec.columns
    for surface in my_shop.surfaces:
        assert isinstance(surface, Surface)
        check_surface(surface, my_shop.spec.plan)


def test_every_family_is_listed_with_its_columns() -> None:
    """The table of families has each of them, and its examples make the columns it says."""
    known = families()
    names = {**known, **vars(declarations)}
    listed: set[type[Feature]] = set()
    for declaration, columns, _ in rows(section(SPEC, "Families of features")):
        made = eval(declaration.strip("`"), names)
        if isinstance(made, Context | LocalTime):
            told = Spec(events=[], item=[], context=[made], features=[]).columns
        else:
            told = made.columns(SPEC_WITH_A_VECTOR)
            listed.add(type(made))
        assert columns == ", ".join(f"`{name}`" for name in told)
    assert listed == set(known.values()) - NOT_NAMED


def test_the_formula_is_as_documented() -> None:
    """The page's table of weights is the code's."""
    table = {cells[0].strip("`"): float(cells[1]) for cells in rows(section(SPEC, "The formula"))}
    assert table == WEIGHTS


def test_filters_are_as_documented() -> None:
    """The examples compile, and the table has every operator of every kind."""
    text = section(SPEC, "Filters")
    for example in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        compile_predicate(json.loads(example), attribute_kinds(marketplace.plan), "filters")
    table = {cells[0]: re.findall(r"`(\w+)`", cells[1]) for cells in rows(text)}
    assert table == {
        "category, `seller`, `item`": list(OPERATORS["text"]),
        "number": list(OPERATORS["number"]),
        "flag": list(OPERATORS["flag"]),
        "tags": list(OPERATORS["tags"]),
    }
    assert OPERATORS["item"] == OPERATORS["text"]


def test_surfaces_are_as_documented() -> None:
    """Every part of a surface is explained."""
    parts = {cells[0].strip("`") for cells in rows(section(SPEC, "Surfaces"))}
    assert parts == set(Surface.__struct_fields__) - {"name"}


def test_every_route_is_documented() -> None:
    """The page of the API lists the app's routes, and no others."""
    listed: set[tuple[str, str]] = set()
    for cells in rows(section(API, "Routes")):
        for methods, path in re.findall(r"`([A-Z/]+) (/\S*)`", cells[0]):
            listed.update((method, path) for method in methods.split("/"))
    assert listed == {(operation.method, operation.path) for operation in ALL}


def test_every_metric_is_documented() -> None:
    """The page of operations lists all that Prometheus scrapes, with its labels."""
    names = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in Metrics().registry.collect()
    }
    listed = {
        name for cells in rows(section(OPERATIONS, "Metrics")) for name in [cells[0].strip("`")]
    }
    assert listed == names


def test_every_command_is_in_the_readme() -> None:
    """The README's table of commands has all of them."""
    text = section((ROOT / "README.md").read_text(), "Commands")
    assert {
        name for cells in rows(text) for name in re.findall(r"^`freshet (\w+)", cells[0])
    } == set(main.list_commands(click.Context(main)))


def test_the_boxes_of_the_picture_are_linked() -> None:
    """Every box of the flow leads to a folder, in the picture and in the table below it."""
    picture = (ROOT / "docs/flow.svg").read_text()
    folders = {
        (ROOT / "docs" / link).resolve().relative_to(ROOT).as_posix()
        for link in re.findall(r"<a href=\"([^\"]+)\"", picture)
    }
    table = section((ROOT / "README.md").read_text(), "How it works")
    linked = {folder for name, folder in re.findall(r"\[(\S+)/\]\((\S+)\)", table)}
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert folders <= linked
