"""One look at Kafka mode in ``make test``; ``make test-kafka`` looks at all of it."""

from pathlib import Path

from tests.api_stack import running
from tests.kafka_broker import Cluster
from tests.logs import KafkaHome


async def test_an_event_is_in_the_next_ranking(
    broker: Cluster, prefix: str, tmp_path: Path
) -> None:
    """Through a broker: an item is listed and viewed, and the ranking that asks knows both."""
    home = KafkaHome(tmp_path, broker, prefix)
    async with running(home) as stack:
        item = {"type": "item", "item": "i1", "attributes": {"category": "shoes"}}
        view = {"type": "view", "visitor": "v1", "item": "i1"}
        answer = await stack.ok("POST", "/v1/events", [item, view])
        await stack.known(answer["token"])
        visitor = await stack.ok("GET", "/v1/visitors/v1")
        assert visitor["counts"]["view"] == 1
        ranked = await stack.ok("POST", "/v1/rank", {"visitor": "v1", "candidates": ["i1", "i2"]})
        assert {entry["item"] for entry in ranked["items"]} | set(ranked["dropped"]) == {"i1", "i2"}
    await home.close()
