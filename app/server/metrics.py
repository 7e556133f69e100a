"""What Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from app.engine import Engine

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The server's figures, in a registry of its own."""

    def __init__(self) -> None:
        """Start at nought."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.stage = self._histogram("stage_seconds", "Time of one stage of the work", ["stage"])
        self.request = self._histogram(
            "request_seconds", "Time from head to answer", ["route", "status"]
        )
        self.age = self._histogram("frame_age_seconds", "From a frame's arrival to its answer")
        self.frames = Counter(
            "dmvton_frames", "Frames of streams", ["outcome"], registry=self.registry
        )
        self.refused = Counter(
            "dmvton_refused", "Requests refused, by problem", ["problem"], registry=self.registry
        )

    def observe(self, stage: str, seconds: float) -> None:
        """Count a stage of the engine's work."""
        self.stage.labels(stage).observe(seconds)

    def watch(self, engine: Engine) -> None:
        """Read the engine's state whenever Prometheus asks."""
        readings = {
            "workers": ("Threads that work", lambda: engine.pool.state().workers),
            "workers_busy": ("Threads at work", lambda: engine.pool.state().busy),
            "queue_jobs": ("Jobs that wait for a worker", lambda: engine.pool.state().waiting),
            "streams": ("Open streams", lambda: len(engine.streams)),
            "garments": ("Garments kept", lambda: len(engine.garments)),
        }
        for name, (about, read) in readings.items():
            Gauge(f"dmvton_{name}", about, registry=self.registry).set_function(read)

    def _histogram(self, name: str, about: str, labels: list[str] | None = None) -> Histogram:
        return Histogram(
            f"dmvton_{name}", about, labels or [], buckets=_SECONDS, registry=self.registry
        )
