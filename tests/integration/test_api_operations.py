"""Who may ask, health, metrics, the API's description, and that it tells the truth."""

import re
from typing import Any

import pytest
from aiohttp import web

from api.services import METRICS, RANKER
from api.settings import ApiSettings
from tests.api_stack import Stack, running
from tests.logs import Home

KEY = "a-long-key"
OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")


async def test_keys_are_needed_where_there_are_any(home: Home) -> None:
    """Either header, either key; health and the description stay open."""
    settings = ApiSettings(api_keys=("another-key", KEY))
    async with running(home, settings=settings) as stack:
        for path in OPEN:
            assert (await stack.call("GET", path)).status == 200
        for path in ("/metrics", "/v1/items/i1", "/nowhere"):
            problem = await stack.problem(401, "GET", path)
            assert "API key" in problem["detail"]
        for wrong in ("", "a-long-ke", KEY + "x", "schlüssel"):
            headers = {"X-API-Key": wrong}
            await stack.problem(401, "POST", "/v1/rank", {}, headers=headers)
        for headers in (
            {"Authorization": f"Bearer {KEY}"},
            {"authorization": f"bearer {KEY}"},
            {"X-API-Key": "another-key"},
        ):
            await stack.ok("POST", "/v1/rank", {}, headers=headers)
        described = await stack.ok("GET", "/openapi.json")
        assert described["paths"]["/v1/rank"]["post"]["security"]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"Authorization": "Bearer "}])
async def test_no_key_is_never_a_key(home: Home, headers: dict[str, str]) -> None:
    """Even where an empty one got into the settings, nothing matches it."""
    async with running(home, settings=ApiSettings(api_keys=("", KEY))) as stack:
        await stack.problem(401, "POST", "/v1/rank", {}, headers=headers)


async def test_until_everything_is_recovered_requests_are_turned_away(home: Home) -> None:
    """503 with how far it is; then 200; and before a stop not ready, but still served."""
    async with running(home, ready=False) as stack:
        stack.readiness.progress("tables", 50, 200)
        response = await stack.call("GET", "/readyz")
        assert response.status == 503
        assert await response.json() == {
            "ready": False,
            "recovering": [{"name": "tables", "done": 50, "total": 200}],
            "waiting": None,
        }
        problem = await stack.problem(503, "POST", "/v1/rank", {})
        assert "tables 50 of 200" in problem["detail"]
        stack.readiness.waiting = "no broker answers"
        assert (await (await stack.call("GET", "/readyz")).json())["waiting"] == "no broker answers"
        problem = await stack.problem(503, "POST", "/v1/rank", {})
        assert "no broker answers" in problem["detail"]
        stack.readiness.waiting = None
        await stack.ok("GET", "/healthz")
        metrics = await (await stack.call("GET", "/metrics")).text()
        assert 'freshet_recovered_ratio{stage="tables"} 0.25' in metrics
        stack.readiness.set_ready()
        assert (await stack.ok("GET", "/readyz"))["ready"] is True
        await stack.ok("POST", "/v1/rank", {})
        stack.readiness.set_stopping()
        assert (await stack.call("GET", "/readyz")).status == 503
        await stack.ok("POST", "/v1/rank", {})


async def test_metrics_count(stack: Stack) -> None:
    """Requests by route and status, events by type and field, stages of rankings, lag."""
    sent = [
        {"type": "view", "visitor": "v1", "item": "i1"},
        {"type": "view", "visitor": "v1", "items": ["i1", ""]},
    ]
    await stack.ok("POST", "/v1/events", sent)
    await stack.ok("POST", "/v1/rank", {"candidates": ["i1"]})
    await stack.problem(404, "GET", "/v1/items/nothing")
    response = await stack.call("GET", "/metrics")
    assert response.content_type == "text/plain"
    text = await response.text()
    for line in (
        'freshet_request_seconds_count{method="POST",route="/v1/events",status="200"} 1.0',
        'freshet_request_seconds_count{method="GET",route="/v1/items/{id}",status="404"} 1.0',
        'freshet_events_accepted_total{type="view"} 1.0',
        'freshet_events_rejected_total{field="items"} 1.0',
        'freshet_rank_stage_seconds_count{stage="decide"} 1.0',
        'freshet_replica_behind_records{table="visitors"}',
        "freshet_ready 1.0",
    ):
        assert line in text


async def test_a_failure_of_the_server_has_an_id(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """500 says no more than an id, under which the log has the trace."""

    async def fail(request: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(stack.app[RANKER], "decide", fail)
    problem = await stack.problem(500, "POST", "/v1/rank", {})
    assert "secret" not in str(problem)
    # Whether a test before it has set logging up says where it goes.
    logged = capsys.readouterr().out + caplog.text
    assert problem["error_id"] in logged
    assert "secret" in logged
    assert stack.app[METRICS].registry.get_sample_value("freshet_internal_errors_total") == 1.0


async def test_the_description_has_every_route(stack: Stack) -> None:
    """OpenAPI 3.1 with all routes of the app, each with what it may answer."""
    described = await stack.ok("GET", "/openapi.json")
    assert described["openapi"].startswith("3.1")
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in stack.app.router.routes()
        if isinstance(route, web.ResourceRoute)
        and route.resource is not None
        and route.method != "HEAD"
        and route.resource.canonical != "/"
    }
    paths = described["paths"]
    assert routes == {(method, path) for path in paths for method in paths[path]}
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(ids)) == len(ids)
    for path in paths.values():
        for operation in path.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            assert body is None or body["example"]


async def test_the_examples_are_taken(stack: Stack) -> None:
    """What the description shows as a body is a body that works, but for models: one must fit the
    feature set that is served."""
    paths = (await stack.ok("GET", "/openapi.json"))["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                answer = await stack.call(method.upper(), path.replace("{id}", "x1"), example)
                expected = {"/v1/models": 422, "/v1/models/{id}/promote": 404}.get(path, 200)
                assert answer.status == expected, path
                if token := (await answer.json()).get("token"):
                    await stack.known(token)


async def test_what_probes_and_people_ask_first(home: Home) -> None:
    """HEAD answers as GET does, without a body; the root leads to the docs page, without a key."""
    async with running(home, settings=ApiSettings(api_keys=(KEY,)), ready=False) as stack:
        for path, status in (("/healthz", 200), ("/readyz", 503), ("/docs", 200)):
            response = await stack.call("HEAD", path)
            assert response.status == status
            assert await response.read() == b""
        response = await stack.call("GET", "/", allow_redirects=False)
        assert response.status == 302
        assert (await stack.call("GET", "/")).url.path == "/docs"


async def test_the_page_needs_no_other_host(stack: Stack) -> None:
    """The docs page loads nothing but the description."""
    response = await stack.call("GET", "/docs")
    assert response.content_type == "text/html"
    page = await response.text()
    assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]|@import|src=", page)
