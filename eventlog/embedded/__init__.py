"""The log of the embedded mode: partitions of records in one rocksdict database."""

from eventlog.embedded.log import EmbeddedLog
from eventlog.embedded.store import LogLocked

__all__ = ["EmbeddedLog", "LogLocked"]
