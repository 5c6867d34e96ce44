"""The description against the server: what it generates is answered as it says."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from api.routes import ALL
from tests.api_stack import SOON, running
from tests.logs import EmbeddedHome

EXAMPLES = 8
CHECKS = [
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
]
OPERATIONS = [(operation.method, operation.path) for operation in ALL]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a loop of its own: requests are generated in plain code."""
    folder: Path = tmp_path_factory.mktemp("schema")
    started: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running(EmbeddedHome(folder)) as stack:
            started.append(str(stack.client.make_url("")))
            ready.set()
            await asyncio.to_thread(stop.wait)

    server = threading.Thread(target=asyncio.run, args=(serve(),))
    server.start()
    try:
        assert ready.wait(SOON)
        yield started[0]
    finally:
        stop.set()
        server.join(SOON)


@pytest.fixture(scope="module")
def description(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_made_from_the_description_are_answered_as_it_says(
    description: Any, method: str, path: str, mode: GenerationMode
) -> None:
    """Whatever the description allows, or forbids, is answered with what it declares: a status,
    a content type and a body of that schema. Nothing is answered with 500."""
    operation = description[path][method]
    inputs = operation.body or operation.path_parameters.items
    if mode is GenerationMode.NEGATIVE and not inputs:
        pytest.skip("nothing to get wrong")

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered_as_described(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS, timeout=SOON)

    answered_as_described()
