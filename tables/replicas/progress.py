"""How far a replica's start has come."""

import msgspec


class Progress(msgspec.Struct):
    """Rows read of those there were at the start; ``total`` is an estimate until ``ready``."""

    done: int = 0
    total: int = 0
    ready: bool = False
