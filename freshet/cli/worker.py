"""``freshet worker``."""

from pathlib import Path

import click

from freshet.cli.options import CLUSTER, loaded, plain, settings_flags


@click.command("worker")
@settings_flags(
    *CLUSTER,
    "worker_id",
    "session_timeout",
    "host",
    "port",
    "data",
    "partitions",
    "spec",
    "append_timeout",
    "log_level",
)
def command(config: Path | None, **flags: object) -> None:
    """Run one of several workers on a Kafka cluster: they fold events into the tables.

    Each needs a data folder and an id of its own, both kept when it is started again: stopped or
    killed, its partitions wait for it for the session time-out, then go to the others. Topics must
    be there (freshet topics create). The URL of /healthz, /readyz and /metrics is the only line on
    stdout; logs go to stderr. The first SIGINT or SIGTERM finishes what is under way, the second
    stops at once; neither loses anything.

    \b
    Examples:
      freshet worker --bootstrap-servers localhost:9092
      freshet worker --worker-id two --port 8402 --data /var/lib/freshet-two --config cluster.toml
    """
    from freshet.cli.process import run_process
    from freshet.settings import SettingsError, need_cluster

    with plain(SettingsError):
        settings = need_cluster(loaded(config, **flags), "freshet worker")

    # These take a moment to import: not before the settings are right.
    from api.settings import BindRefused
    from eventlog.kafka import KafkaRefused
    from freshet.cluster import TopicsWrong
    from freshet.membership import IdTaken
    from freshet.running import CannotListen, Failed
    from freshet.state import CannotOpen
    from freshet.worker import serve

    run_process(
        serve,
        settings,
        *(SettingsError, BindRefused, CannotListen, CannotOpen, TopicsWrong, KafkaRefused),
        *(IdTaken, Failed),
    )
