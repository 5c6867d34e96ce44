"""Kafka's jars for tests: fetched once by Maven, kept in the user's cache folder."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

POM = Path(__file__).parent / "pom.xml"
FETCH_TIMEOUT = 600.0
JAVA_TIMEOUT = 60.0
OLDEST_JAVA = 17


class KafkaMissing(Exception):
    """No Kafka can be started here; the message says what is missing."""


def kafka_jars() -> Path:
    """The folder of jars of what ``pom.xml`` names. Raises ``KafkaMissing``."""
    _need_java()
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "freshet"
    jars = cache / f"kafka-{version}"
    if not jars.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not jars.is_dir():
                _fetch(cache, jars)
    return jars


def _need_java() -> None:
    if shutil.which("java") is None:
        raise KafkaMissing(f"needs Java {OLDEST_JAVA} or newer")
    told = subprocess.run(
        ["java", "-version"], capture_output=True, text=True, timeout=JAVA_TIMEOUT, check=False
    )
    version = re.search(r'version "(\d+)', told.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise KafkaMissing(f"needs Java {OLDEST_JAVA} or newer")


def _fetch(cache: Path, jars: Path) -> None:
    if shutil.which("mvn") is None:
        raise KafkaMissing("needs Maven, once, to fetch Kafka's jars")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        libs = Path(folder) / "libs"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), *goal, f"-DoutputDirectory={libs}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=FETCH_TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            why = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason")
            raise KafkaMissing(f"Maven could not fetch Kafka's jars: {why}")
        libs.rename(jars)
