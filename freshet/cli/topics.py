"""``freshet topics``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freshet.cli.options import CLUSTER, loaded, plain, settings_flags

if TYPE_CHECKING:
    from freshet.settings import Settings
    from freshet.topics import Compared

_FLAGS = (
    *CLUSTER,
    "partitions",
    "replication",
    "min_insync_replicas",
    "events_retention",
    "decisions_retention",
    "changelog_compaction_lag",
    "spec",
)


@click.command("topics")
@click.argument("action", type=click.Choice(["create", "check"]))
@settings_flags(*_FLAGS)
@click.option("--json", "json_out", is_flag=True, help="Print the outcome as JSON.")
def command(action: str, json_out: bool, config: Path | None, **flags: object) -> None:
    """Make the topics that a deployment needs on a Kafka cluster, or check them.

    create says what it makes, and makes what is missing; what is there already it never changes.
    check changes nothing, says what is missing or other than wanted, and exits with status 1 if
    anything is. Both may be run at any time.

    \b
    Examples:
      freshet topics create --bootstrap-servers localhost:9092
      freshet topics check --config cluster.toml --json
    """
    from freshet.settings import SettingsError, need_cluster

    with plain(SettingsError):
        settings = need_cluster(loaded(config, **flags), f"freshet topics {action}")

    from eventlog.kafka import KafkaRefused, KafkaUnreachable
    from eventlog.protocol import TopicMismatch

    with plain(SettingsError, KafkaRefused, KafkaUnreachable, TopicMismatch):
        raise SystemExit(asyncio.run(_run(action, settings, json_out)))


async def _run(action: str, settings: "Settings", json_out: bool) -> int:
    """The exit status."""
    from eventlog.kafka.quiet import quieten
    from freshet import topics

    quieten()
    admin = topics.admin(settings)
    await admin.start()
    try:
        compared = await topics.compare(admin, settings)
        if not json_out:
            _show(settings, compared)
        made: list[str] = []
        if action == "create":
            made = await topics.create(admin, compared.wanted)
            after = await topics.compare(admin, settings)
            compared = compared._replace(differences=after.differences)
    finally:
        await admin.stop()
    if json_out:
        import msgspec

        print(msgspec.json.encode(_outcome(compared, made)).decode())
    elif action == "create":
        print(f"{len(made)} topics made, {len(compared.there)} were there already.")
    for line in () if json_out else compared.differences:
        print(f"differs: {line}")
    if action == "create":
        return 0
    if not json_out and not compared.differences:
        print("All topics are as they should be.")
    return 1 if compared.differences else 0


def _show(settings: "Settings", compared: "Compared") -> None:
    wanted = compared.wanted
    print(f"{','.join(settings.bootstrap_servers)}: {wanted.brokers} brokers; {wanted.why}")
    for topic, values in zip(wanted.topics, wanted.settings().values(), strict=True):
        state = "there  " if topic.name in compared.there else "missing"
        said = ", ".join(f"{name}={value}" for name, value in values.items())
        name = settings.topic_prefix + topic.name
        print(f"{state} {name}: {topic.partitions} partitions, {said}")


def _outcome(compared: "Compared", made: list[str]) -> dict[str, Any]:
    wanted = compared.wanted
    return {
        "brokers": wanted.brokers,
        "replication": wanted.options.replication,
        "min_insync_replicas": wanted.options.min_insync_replicas,
        "why": wanted.why,
        "topics": {
            topic.name: {"partitions": topic.partitions, "settings": values}
            for topic, values in zip(wanted.topics, wanted.settings().values(), strict=True)
        },
        "there": sorted(compared.there),
        "made": sorted(made),
        "differences": compared.differences,
    }
