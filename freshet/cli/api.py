"""``freshet api``."""

from pathlib import Path

import click

from freshet.cli.options import CLUSTER, loaded, plain, settings_flags


@click.command("api")
@settings_flags(
    *CLUSTER,
    "host",
    "port",
    "data",
    "partitions",
    "spec",
    "surfaces",
    "decisions_keep",
    "append_timeout",
    "log_level",
)
def command(config: Path | None, **flags: object) -> None:
    """Run one of several API servers on a Kafka cluster: it takes events and ranks.

    It keeps a copy of all rows in its data folder, and goes on ranking while workers or brokers
    are down. Topics must be there (freshet topics create). The URL is the only line on stdout;
    logs go to stderr. The first SIGINT or SIGTERM finishes what is under way, the second stops at
    once.

    \b
    Examples:
      freshet api --bootstrap-servers localhost:9092
      freshet api --bootstrap-servers one:9092,two:9092 --port 8401 --data /var/lib/freshet-api
      FRESHET_API_KEYS=a-long-random-text freshet api --config cluster.toml --host 0.0.0.0
    """
    from freshet.cli.process import run_process
    from freshet.settings import SettingsError, need_cluster

    with plain(SettingsError):
        settings = need_cluster(loaded(config, **flags), "freshet api")

    # These take a moment to import: not before the settings are right.
    from api.settings import BindRefused
    from eventlog.kafka import KafkaRefused
    from freshet.api_replica import serve
    from freshet.cluster import TopicsWrong
    from freshet.running import CannotListen, Failed
    from freshet.state import CannotOpen

    run_process(
        serve,
        settings,
        *(SettingsError, BindRefused, CannotListen, CannotOpen, TopicsWrong, KafkaRefused, Failed),
    )
