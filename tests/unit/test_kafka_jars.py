"""Tests on Kafka say what they need where it is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka_jars import KafkaMissing, kafka_jars

ROOT = Path(__file__).parents[2]
ON_KAFKA = "tests/integration/test_kafka_broker.py::test_two_of_three_brokers_answer"


def test_without_java_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what is to be installed."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(KafkaMissing, match="Java 17"):
        kafka_jars()


def test_without_maven_it_says_so_until_the_jars_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Maven is needed once."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KafkaMissing, match="Maven"):
        kafka_jars()


@pytest.mark.parametrize(("setting", "outcome"), [("", "1 skipped"), ("required", "1 error")])
def test_tests_skip_with_one_line_or_fail_where_kafka_is_required(
    setting: str, outcome: str
) -> None:
    """A machine without Java runs the other tests; CI does not pass without Kafka."""
    environ = {**os.environ, "PATH": "/nowhere", "FRESHET_TEST_KAFKA": setting}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "kafka", ON_KAFKA],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome in run.stdout, run.stdout + run.stderr
    assert "needs Java 17 or newer" in run.stdout
    assert (run.returncode == 0) == (setting == "")
