"""What the service counts of itself, in the text form of Prometheus."""

import prometheus_client
from prometheus_client import process_collector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Gauges:
    """The counters of one service.

    Attributes:
        requests: answers, by address asked for, method and status.
        seconds: that requests took, tails not counted.
        batches: statements judged in one transaction.
        received: bytes of files put.
        tails: open now.
        active: requests being answered now, tails not counted.
        entries: of the log, as far as known.
        signed: entries under the newest checkpoint.
    """

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        known = self._registry
        self.requests = prometheus_client.Counter(
            "folkmoot_requests", "Answers", ["place", "method", "status"], registry=known
        )
        self.seconds = prometheus_client.Histogram(
            "folkmoot_request_seconds", "Seconds of a request, tails not counted", ["place"], registry=known
        )
        self.batches = prometheus_client.Histogram(
            "folkmoot_batch_statements", "Statements judged in one transaction", buckets=_SIZES, registry=known
        )
        self.received = prometheus_client.Counter("folkmoot_put_bytes", "Bytes of files put", registry=known)
        self.tails = prometheus_client.Gauge("folkmoot_tails", "Tails that are open", registry=known)
        self.active = prometheus_client.Gauge("folkmoot_active_requests", "Requests being answered", registry=known)
        self.entries = prometheus_client.Gauge("folkmoot_log_entries", "Entries of the log", registry=known)
        self.signed = prometheus_client.Gauge("folkmoot_checkpoint_entries", "Entries signed for", registry=known)
        process_collector.ProcessCollector(registry=known)

    def text(self) -> bytes:
        """All of it."""
        return prometheus_client.generate_latest(self._registry)
