"""Counters of a run for Ray's Prometheus endpoint: names of data sets and counts, nothing else.

The driver counts, not the workers: a worker's series end with it, and workers come and go. Ray puts
`ray_` before each name; cluster/grafana.json is a board of them.
"""

from ray.util.metrics import Counter, Gauge, Histogram

from medray.engine.units.worker import Receipt

_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]


class UnitMeters:
    """Counts what became of the units of a step.

    Args:
        operation: of the step.
        dataset: that it makes.
        units: that are to do.
    """

    def __init__(self, operation: str, dataset: str, units: int) -> None:
        self._tags = {"operation": operation, "dataset": dataset}
        keys = tuple(self._tags)
        self._units = Counter("medray_units", "Units that ended", (*keys, "state"))
        self._inputs = Counter("medray_inputs", "Inputs of units that ended", keys)
        self._refused = Counter("medray_inputs_quarantined", "Inputs that were refused", keys)
        self._passed = Counter("medray_inputs_passed_over", "Inputs that nobody asked for", keys)
        self._bytes = Counter("medray_bytes", "Bytes of shards that were committed", keys)
        self._seconds = Histogram(
            "medray_unit_seconds", "A unit, by phase", _SECONDS, (*keys, "phase")
        )
        self._left = Gauge("medray_units_left", "Units that have not ended", keys)
        self._todo = units
        self.tell()

    def tell(self) -> None:
        """Say how many units are left; to be called often, as Ray forgets what a gauge was told
        when it was not told again within two of its intervals of 10 s."""
        self._left.set(self._todo, self._tags)

    def take(self, receipt: Receipt) -> None:
        """Count a unit that has ended."""
        self._todo -= 1
        self._units.inc(1, {**self._tags, "state": receipt.state})
        for counter, count in (
            (self._inputs, receipt.inputs),
            (self._refused, receipt.quarantined),
            (self._passed, receipt.passed_over),
            (self._bytes, receipt.bytes),
        ):
            if count:  # Ray refuses to count nothing
                counter.inc(count, self._tags)
        for phase, seconds in receipt.seconds.items():
            self._seconds.observe(seconds, {**self._tags, "phase": phase})
