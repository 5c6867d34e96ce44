"""The image, the services of compose, and what they say of Freshet hold together.

No engine is needed: files are read, settings loaded, commands parsed.
"""

import ast
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.metrics import MetricWrapperBase

from api.access import OPEN
from api.metrics import Metrics
from api.settings import check_bind
from freshet.cli import main
from freshet.settings import Settings, load
from freshet.worker_http import WorkerMetrics

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = f"freshet:{tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"
OURS = [name for name, service in SERVICES.items() if service["image"] == IMAGE]
SECRETS = {"FRESHET_API_KEYS": "one,two", "SCRAPE_KEY": "three", "GRAFANA_PASSWORD": "four"}
HAPROXY = (DOCKER / "haproxy.cfg").read_text()
PROMETHEUS = yaml.safe_load((DOCKER / "prometheus.yaml").read_text())
BOARD = json.loads((DOCKER / "grafana/boards/freshet.json").read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's: (name, the rest)."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [
        (name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line)
    ]


def exported() -> dict[str, set[str]]:
    """The labels of each metric, by the names that Prometheus has for it."""
    ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}
    return {
        described.name + end: set(metric._labelnames)
        for metric in [*vars(Metrics()).values(), *vars(WorkerMetrics()).values()]
        if isinstance(metric, MetricWrapperBase)
        for described in metric.describe()
        for end in ends[described.type]
    }


def all_of(name: str) -> list[str]:
    return [rest for kind, rest in instructions() if kind == name]


def image_environment() -> dict[str, str]:
    """What the image sets."""
    return dict(pair.split("=", 1) for rest in all_of("ENV") for pair in shlex.split(rest))


def environment(name: str) -> dict[str, str]:
    """What a service sets, with the values of ``SECRETS``."""
    return {
        variable: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: SECRETS[found[1]], str(value))
        for variable, value in SERVICES[name].get("environment", {}).items()
    }


def settings(name: str) -> Settings:
    return load({}, {**image_environment(), **environment(name)}).settings


def running(command: str) -> list[str]:
    """The services that run a command of Freshet."""
    return [name for name in OURS if SERVICES[name]["command"][0] == command]


def mounts(name: str) -> dict[str, str]:
    """Of a service: where (in the container), and what."""
    volumes = (volume.split(":") for volume in SERVICES[name].get("volumes", []))
    return {parts[1]: parts[0] for parts in volumes}


METRICS = exported()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of a developer is read."""
    monkeypatch.chdir(tmp_path)


def test_images_are_pinned() -> None:
    """Every image that is pulled has a whole version, so that tomorrow's deployment is today's."""
    pulled = [SERVICES[name]["image"] for name in SERVICES if name not in OURS]
    pulled += [rest.split()[0] for rest in all_of("FROM")]
    assert [each for each in pulled if not re.search(r":v?\d+\.\d+\.\d+(-[a-z-]+)?$", each)] == []


def test_the_image_is_built_once() -> None:
    """One service builds it, from files that there are; the others have the same."""
    (build,) = [service["build"] for service in SERVICES.values() if "build" in service]
    assert (DOCKER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert sorted(OURS) == sorted(running("topics") + running("worker") + running("api"))


def test_the_broker_is_the_one_that_tests_run_on() -> None:
    """Compose starts the version of Kafka that the tests start."""
    pom = (ROOT / "tests/pom.xml").read_text()
    version = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)<", pom)
    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_the_image_does_not_run_as_root() -> None:
    """The last user is a number, which Kubernetes can check, and not root's."""
    user, group = all_of("USER")[-1].split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert f"--uid {user} " in " ".join(all_of("RUN"))


def test_the_image_is_made_of_pinned_packages() -> None:
    """Everything that is installed has a hash, and the lists are in the build."""
    installs = [step for rest in all_of("RUN") for step in rest.split("&&") if " install " in step]
    for step in (step for step in installs if "pip " in step):
        listed = re.search(r"--requirement (\S+)", step)
        if listed:
            assert "--require-hashes" in step
            assert (ROOT / listed[1]).is_file()
        else:
            assert "--no-deps --no-build-isolation" in step


def test_the_build_sees_what_it_needs() -> None:
    """Each package, and what pyproject.toml names, is in the build's context, and no more."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert rules[1] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}
    assert allowed == packages | {"LICENSE", "README.md", "pyproject.toml", "requirements"}
    assert [name for name in allowed if not (ROOT / name).exists()] == []


def test_the_health_check_asks_a_route_that_needs_no_key() -> None:
    """It is valid Python, and its path is open."""
    command = json.loads(all_of("HEALTHCHECK")[0].split("CMD ", 1)[1])
    assert command[:2] == ["python", "-c"]
    texts = {
        node.value for node in ast.walk(ast.parse(command[2])) if isinstance(node, ast.Constant)
    }
    assert texts & OPEN == {"/healthz"}
    assert "FRESHET_PORT" in texts & image_environment().keys()


@pytest.mark.parametrize("name", OURS)
def test_settings_of_services_are_settings(name: str) -> None:
    """They load: each variable is known, each value can be; and the address is not open to all."""
    loaded = settings(name)
    check_bind(loaded.host, loaded.api_keys)
    assert len(loaded.api_keys) == 3
    assert str(loaded.data) in all_of("VOLUME")
    assert str(loaded.port) in all_of("EXPOSE")
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert loaded.bootstrap_servers == (advertised.removeprefix("PLAINTEXT://"),)


@pytest.mark.parametrize("name", [*OURS, "the image"])
def test_commands_of_services_are_commands(name: str) -> None:
    """They parse, with their options, as the command line would parse them."""
    arguments = SERVICES[name]["command"] if name in OURS else json.loads(all_of("CMD")[0])
    command: click.Command = main
    context = main.make_context("freshet", list(arguments))
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, arguments)
        assert found is not None
        command, arguments = found, rest
        context = command.make_context(command.name, list(rest), parent=context)


def test_every_process_has_its_own_id_and_folder() -> None:
    """Two workers, two replicas: no id and no volume is shared."""
    workers, replicas = running("worker"), running("api")
    assert len(workers) == len(replicas) == 2
    assert [settings(name).worker_id for name in workers] == workers
    folders = [mounts(name)[str(settings(name).data)] for name in workers + replicas]
    assert folders == workers + replicas


def test_volumes_ports_and_dependencies_are_there() -> None:
    """What a service names exists; what is published is so on this machine alone."""
    used, published = [], []
    for name, service in SERVICES.items():
        for source in mounts(name).values():
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                used.append(source)
        waits = service.get("depends_on", [])
        assert set(waits) <= SERVICES.keys()
        if isinstance(waits, dict) and waits.get("kafka", {}).get("condition") == "service_healthy":
            assert "healthcheck" in SERVICES["kafka"]
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        published += service.get("ports", [])
    assert sorted(used) == sorted(COMPOSE["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)
    for name in running("worker") + running("api"):
        assert (
            SERVICES[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
        )
    assert running("topics") == ["topics"]


def test_secrets_are_in_the_example_without_values() -> None:
    """What compose asks for is in .env.example, and nothing else; none has a default."""
    text = (DOCKER / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert len(re.findall(r"\$\{", text)) == len(re.findall(r"\$\{\w+:\?", text))
    asked |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    example = (DOCKER / ".env.example").read_text()
    assert re.findall(r"^(\w+)=$", example, re.MULTILINE) == list(SECRETS)
    assert asked == set(SECRETS)


def test_prometheus_reads_every_process() -> None:
    """Its targets are the workers and the replicas, and it has a key that they take."""
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    for command in ("worker", "api"):
        (static,) = jobs[command]["static_configs"]
        names = running(command)
        assert static["targets"] == [f"{name}:{settings(name).port}" for name in names]
        secret = Path(jobs[command]["authorization"]["credentials_file"])
        assert secret.parent == Path("/run/secrets")
        assert secret.name in SERVICES["prometheus"]["secrets"]
        variable = COMPOSE["secrets"][secret.name]["environment"]
        assert all(SECRETS[variable] in settings(name).api_keys for name in names)
    assert "/etc/prometheus/prometheus.yml" in mounts("prometheus")


def test_the_proxy_leads_to_the_replicas() -> None:
    """Every replica is behind the published port, is asked whether it is ready, and may be slow."""
    servers = dict(re.findall(r"^ +server (\S+) (\S+)$", HAPROXY, re.MULTILINE))
    assert servers == {name: f"{name}:{settings(name).port}" for name in running("api")}
    (port,) = SERVICES["proxy"]["ports"]
    assert f"bind :{port.split(':')[-1]}\n" in HAPROXY
    asked = re.search(r"http-check send meth GET uri (\S+)", HAPROXY)
    assert asked is not None
    assert asked[1] in OPEN
    patience = re.search(r"^ +timeout server (\d+)s$", HAPROXY, re.MULTILINE)
    assert patience is not None
    assert int(patience[1]) > Settings().append_timeout_seconds


def test_events_are_never_sent_twice_by_the_proxy() -> None:
    """Only who sent an event knows whether it has an id, and so whether it may be sent again."""
    assert "http-request disable-l7-retry if { path /v1/events }\n" in HAPROXY


def test_grafana_finds_its_board_and_prometheus() -> None:
    """The provisioned source is compose's Prometheus; the board is where the provider looks."""
    folder = DOCKER / "grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {source["uid"]}
    (provider,) = yaml.safe_load((folder / "dashboards/boards.yaml").read_text())["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == "./grafana/boards"


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_show_metrics_that_there_are(panel: dict[str, Any]) -> None:
    """Each name and each label in a query is one that the processes export."""
    for target in panel["targets"]:
        query = target["expr"]
        names = re.findall(r"\bfreshet_\w+", query)
        assert names
        assert set(names) <= METRICS.keys()
        known = {"job", "instance", "le"}.union(*(METRICS[name] for name in names))
        used = set(re.findall(r"(\w+)=~?\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            used |= set(group.split(", "))
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert used | shown <= known
