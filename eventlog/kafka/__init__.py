"""The log on a Kafka cluster."""

from eventlog.kafka.admin import KafkaAdmin
from eventlog.kafka.connection import Connection
from eventlog.kafka.errors import KafkaRefused, KafkaUnreachable, LogUnreachable
from eventlog.kafka.log import KafkaLog
from eventlog.kafka.names import name_on_kafka
from eventlog.kafka.settings import TopicOptions

__all__ = [
    "Connection",
    "KafkaAdmin",
    "KafkaLog",
    "KafkaRefused",
    "KafkaUnreachable",
    "LogUnreachable",
    "TopicOptions",
    "name_on_kafka",
]
