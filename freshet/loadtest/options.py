"""What is asked of a load test."""

import msgspec


class Options(msgspec.Struct, frozen=True):
    """Rates per second, of which the probes are a part: each is a ranking, half of them an event
    too. ``items`` and ``visitors`` make up the shop. ``candidates`` 0 has the server find them.
    ``warm_up`` are seconds of the same traffic before counting begins.
    """

    servers: tuple[str, ...]
    api_key: str | None = None
    events: float = 500.0
    ranks: float = 100.0
    probes: float = 20.0
    seconds: float = 30.0
    warm_up: float = 2.0
    batch: int = 1
    items: int = 20_000
    visitors: int = 5_000
    impressions: float = 0.3
    candidates: int = 100
    connections: int = 128
    seed: int = 1
