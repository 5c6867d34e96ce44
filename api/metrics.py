"""What Prometheus scrapes: one registry per app."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """All that one app counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "freshet_request_seconds",
            "Time to answer, by route and status.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.accepted = self._counter("events_accepted", "Events appended to the log.", "type")
        self.rejected = self._counter("events_rejected", "Events refused, by field.", "field")
        self.not_appended = self._counter("events_not_appended", "Events the log did not take.")
        self.rank_stage = Histogram(
            "freshet_rank_stage_seconds",
            "Parts of a ranking: parse, wait (for the token), decide, answer.",
            ("stage",),
            buckets=(0.00005, 0.0001, 0.0002, *_SECONDS),
            registry=self.registry,
        )
        self.newest_event = self._gauge("newest_event_age_seconds", "Age of the newest event.")
        self.behind = self._gauge("replica_behind_records", "Records not applied yet.", "table")
        self.model_age = self._gauge("model_age_seconds", "Since the model was trained; 0: none.")
        self.model_refused = self._gauge("model_refused", "1: the promoted model cannot be used.")
        self.ready = self._gauge("ready", "1 when requests are served.")
        self.recovered = self._gauge("recovered_ratio", "How much is recovered, 0 to 1.", "stage")
        self.decisions = self._counter("decisions_written", "Decisions in the log.")
        self.decisions_queued = self._gauge("decisions_queued", "Decisions not in the log yet.")
        self.decisions_dropped = self._counter(
            "decisions_dropped", "Decisions that will never be in the log.", "reason"
        )
        self.errors = self._counter("internal_errors", "Requests answered with 500.")

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"freshet_{name}", says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"freshet_{name}", says, labels, registry=self.registry)
