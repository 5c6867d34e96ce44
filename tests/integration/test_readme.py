"""The README's session is real."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import SOON, serving

README = Path(__file__).resolve().parents[2] / "README.md"
WRITTEN_URL = "http://127.0.0.1:8400"
SETUP = re.compile(r"```sh\n(token\(\) .*?)```", re.DOTALL)
STEP = re.compile(r"```sh\n(curl .*?)```\n\n```json\n(.*?)```", re.DOTALL)
# What differs from run to run.
NAMES = {"decision", "token", "feature_set"}
MEASURED = {"newest_event_ms", "measured_ms_ago", "score", "propensity"}
# Sources whose lists are made again and again: on a slow machine, before the README's ranking.
MADE_AGAIN = {"trending", "popular"}


def alike(written: Any, answered: Any) -> bool:
    """Whether an answer says what the README says it does, but for names, times and scores."""
    if isinstance(written, dict) and isinstance(answered, dict):
        return written.keys() == answered.keys() and all(
            type(written[name]) is type(answered[name])
            if name in NAMES | MEASURED
            else written[name][:1] == answered[name][:1]  # the strongest is plain, others are near
            if name == "reasons"
            else [source for source in answered[name] if source not in MADE_AGAIN] == written[name]
            if name == "sources"
            else alike(written[name], answered[name])
            for name in written
        )
    if isinstance(written, list) and isinstance(answered, list):
        return len(written) == len(answered) and all(
            alike(one, other) for one, other in zip(written, answered, strict=True)
        )
    return bool(written == answered)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_session_answers_as_written(tmp_path: Path) -> None:
    """A newcomer who types the README's commands gets the README's answers."""
    steps = STEP.findall(README.read_text())
    assert len(steps) >= 6
    [setup] = SETUP.findall(README.read_text())
    with serving(tmp_path / "data") as (_, url):
        for command, answer in steps:
            ran = subprocess.run(
                ["bash", "-c", setup + command.replace(WRITTEN_URL, url)],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=SOON,
                check=True,
            )
            answered = json.loads(ran.stdout)
            if "freshness" in answered:
                # How far replicas are behind is a moment's measurement.
                answered["freshness"]["behind"] = dict.fromkeys(answered["freshness"]["behind"], 0)
            assert alike(json.loads(answer), answered), f"{command}\n{ran.stdout}"
