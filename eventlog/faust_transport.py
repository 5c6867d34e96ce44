"""The Faust transport over the embedded log: ``App(broker="freshet://")``.

The composition root sets ``app.eventlog`` to an ``EmbeddedLog`` before the app starts, and creates
every topic that agents read. One process owns all partitions, so there is one assignment, made
when the conductor subscribes.
"""

from faust.transport import base

from eventlog.faust_consumer import Consumer
from eventlog.faust_producer import Producer


class Transport(base.Transport):
    """What ``broker="freshet://"`` names."""

    Consumer = Consumer
    Producer = Producer
    default_port = 0
    driver_version = "freshet-embedded"
