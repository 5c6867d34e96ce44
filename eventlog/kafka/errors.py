"""What goes wrong with a cluster, in words."""

from collections.abc import Iterable

from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from eventlog.protocol import LogUnavailable, TopicPartition

_REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)


class KafkaRefused(Exception):
    """The cluster answered and said no: credentials or rights. Asking again does not help."""


class KafkaUnreachable(ConnectionError):
    """No broker answered, in time or at all. It may be asked again."""


class LogUnreachable(LogUnavailable):
    """The cluster did not say what it was asked about ``partitions``; nothing was appended."""

    def __init__(self, partitions: Iterable[TopicPartition], reason: str) -> None:
        super().__init__(partitions, reason)
        topics = ", ".join(sorted({tp.topic for tp in self.partitions}))
        self.args = (f"the log could not be asked about {topics}: {reason}",)


def is_refusal(error: BaseException) -> bool:
    """Whether asking again is in vain."""
    return isinstance(error, (KafkaRefused, *_REFUSALS))


def failure(what: str, error: BaseException) -> KafkaRefused | KafkaUnreachable:
    """``error`` of aiokafka as what it means: try again, or not."""
    kind = KafkaRefused if is_refusal(error) else KafkaUnreachable
    return kind(f"{what} failed: {in_words(error)}")


def in_words(error: BaseException) -> str:
    """What ``error`` of aiokafka says, for people."""
    if isinstance(error, TopicAuthorizationFailedError):
        topics = ", ".join(map(str, error.args)) or "a topic"
        return f"no right on {topics}"
    if isinstance(error, GroupAuthorizationFailedError):
        return "no right to Read on the group"
    if isinstance(error, NodeNotReadyError):
        return "no broker that leads it can be reached"
    if isinstance(error, (RequestTimedOutError, TimeoutError)):
        return "the broker did not answer in time"
    if isinstance(error, BrokerResponseError) and error.description:
        return f"{error.message}: {' '.join(error.description.split())}"
    return str(error) or type(error).__name__
