"""Read copies of all tables, kept by tailing their changelogs."""

from tables.replicas.progress import Progress
from tables.replicas.replicas import Replicas

__all__ = ["Progress", "Replicas"]
