"""What every test shares."""

import os
import sys
import traceback
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kafka_broker import ADMIN, Cluster
from tests.kafka_jars import KafkaMissing, kafka_jars
from tests.logs import EmbeddedHome, Home, KafkaHome

# No deadline: the first call of a compiled function takes as long as its compilation.
settings.register_profile("quick", max_examples=30, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=300, deadline=None, print_blob=True)
settings.load_profile("quick")

SCRAM_USERS = {"worker": "worker-secret", "api": "api-secret"}
_BROKERS = {"broker", "cluster", "scram_broker"}
_KAFKA_REQUIRED = os.environ.get("FRESHET_TEST_KAFKA") == "required"
ROOT = Path(__file__).resolve().parent.parent


class _NoLightGBM(MetaPathFinder):
    """Skips what imports LightGBM, and leaves none of it half imported."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "lightgbm":
            for frame, _ in traceback.walk_stack(None):
                name = frame.f_globals["__name__"]
                if frame.f_code.co_name == "<module>" and name != "__main__":
                    sys.modules.pop(name, None)
            pytest.skip(self._reason, allow_module_level=True)


try:
    import lightgbm  # noqa: F401  # its library is loaded by the import
except OSError as error:
    sys.meta_path.insert(0, _NoLightGBM(f"no LightGBM here (libgomp1 is missing): {error}"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real event data beside the repository; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real event data in ../shared/data")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs Kafka where there is none; fail where it is required.

    Skipped here, not in a fixture, all of them are told in one line.
    """
    fixtures = set(getattr(item, "fixturenames", ()))
    if item.get_closest_marker("kafka") is None and not fixtures & _BROKERS:
        return
    if (missing := _kafka_missing()) is None:
        return
    if _KAFKA_REQUIRED:
        pytest.fail(f"Kafka is required: {missing}", pytrace=False)
    pytest.skip(f"no Kafka here: {missing}")


@cache
def _kafka_missing() -> str | None:
    try:
        kafka_jars()
    except KafkaMissing as missing:
        return str(missing)
    return None


@pytest.fixture(scope="session", autouse=True)
def _not_a_setting() -> None:
    """Freshet refuses variables of its own that it does not know."""
    os.environ.pop("FRESHET_TEST_KAFKA", None)


@pytest.fixture(scope="session")
def _one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from _running(Cluster(tmp_path_factory.mktemp("kafka") / "one"))


@pytest.fixture(scope="session")
def _three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from _running(Cluster(tmp_path_factory.mktemp("kafka") / "three", 3))


@pytest.fixture(scope="session")
def _scram_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    users = {ADMIN: "admin-secret", **SCRAM_USERS}
    yield from _running(Cluster(tmp_path_factory.mktemp("kafka") / "scram", users=users))


def _running(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def broker(_one_broker: Cluster) -> Cluster:
    """One broker, shared by the tests of this process: name topics and groups of your own."""
    _one_broker.heal()
    return _one_broker


@pytest.fixture
def cluster(_three_brokers: Cluster) -> Cluster:
    """Three brokers that replicate, shared as ``broker`` is."""
    _three_brokers.heal()
    return _three_brokers


@pytest.fixture
def scram_broker(_scram_broker: Cluster) -> Cluster:
    """One broker that asks for passwords and grants nothing unless told, shared as ``broker``."""
    _scram_broker.heal()
    return _scram_broker


@pytest.fixture
def prefix() -> str:
    """What the names of a test's topics and groups begin with on a shared broker."""
    return f"t{uuid.uuid4().hex[:8]}-"


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def home(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> AsyncIterator[Home]:
    """Where the test's log lives: the test runs once on each kind of log."""
    if request.param == "embedded":
        yield EmbeddedHome(tmp_path)
        return
    made = KafkaHome(tmp_path, request.getfixturevalue("broker"), prefix)
    yield made
    await made.close()
