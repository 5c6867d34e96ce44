"""Names of topics at Kafka's edge: several deployments share a cluster, each with a prefix."""

import aiokafka

from eventlog.protocol import TopicPartition


def name_on_kafka(prefix: str, topic: str) -> str:
    """What ``topic`` is called on the cluster."""
    return prefix + topic


def on_kafka(prefix: str, tp: TopicPartition) -> aiokafka.TopicPartition:
    """``tp`` as aiokafka wants it."""
    return aiokafka.TopicPartition(prefix + tp.topic, tp.partition)


def from_kafka(prefix: str, tp: aiokafka.TopicPartition) -> TopicPartition:
    """``tp`` as the rest of Freshet knows it."""
    return TopicPartition(tp.topic[len(prefix) :], tp.partition)
