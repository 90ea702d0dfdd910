"""Run units of a step on the replicas that serve its model: the same ledger, warm weights.

Handles carry units there and receipts back. At most two units a replica are under way, so that
one reads while the other computes; who asks the endpoint meanwhile shares the replica with them.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from medray.cluster.batch import DRAIN_S, GRACE_S
from medray.cluster.crew import RESTARTS, failed
from medray.cluster.meters import UnitMeters
from medray.cluster.replica import deployment_of, replica_of
from medray.cluster.serve import APPLICATION, LOST, QUIET
from medray.cluster.session import require
from medray.engine.units.operation import Unit, operation_of
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.errors import SpecError
from medray.spec.profiles import Pool
from medray.spec.serving import Serving

IN_FLIGHT = 2  # units a replica
BUSY_S = 0.2  # before a unit that found every queue full is offered again
LOOK_S = 0.5


def run_on_serve(
    spec: WorkerSpec,
    units: Sequence[Unit],
    on_receipt: Callable[[Receipt], None],
    stop: threading.Event,
    *,
    workers: int | tuple[int, int],
    pool: Pool,
    grows: bool = False,
) -> None:
    """Run `units` of a step by the replicas of its model, on the Ray that is joined.

    An application of `medray serve` is used where it serves this version of the model; else
    replicas are started for as long as the units last. Every unit ends in exactly one receipt.

    Args:
        spec: of the workers; the operation has a parameter `model`, and can adopt it.
        units: to do.
        on_receipt: called on this thread with each receipt, in order of completion.
        stop: as in `medray.cluster.batch.run_on_ray`.
        workers: how many replicas, or (fewest, most): the fewest are started where none run; twice
            the most are kept under way.
        pool: the size of a replica that is started here.
        grows: nodes come when they are asked for, so that replicas may exceed the cluster of now.

    Raises:
        SpecError: the operation takes no loaded model (code "no-model-adopted"), or more replicas
            than the cluster has room for ("pool-too-large").
        RetryableError: the replicas did not start, or died too often (code "pool-failed").
    """
    if not units:
        return
    if not callable(getattr(operation_of(spec.operation), "adopt", None)):
        raise SpecError(
            "replicas do no units of such a step: it takes no model that is loaded already",
            code="no-model-adopted",
            about=spec.operation,
            hint="leave `engine` out",
        )
    low, high = (workers, workers) if isinstance(workers, int) else workers
    with _handle(spec, min(low, len(units)), pool, grows=grows) as handle:
        work = _Work(spec, units, handle, stop, min(len(units), IN_FLIGHT * high))
        missing = {unit.index: unit for unit in units}
        meters = UnitMeters(operation_of(spec.operation).name, spec.dataset, len(units))
        while missing and not work.expired:
            meters.tell()
            for receipt in work.arrived():
                del missing[receipt.index]
                meters.take(receipt)
                on_receipt(receipt)
    for unit in missing.values():
        on_receipt(Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs)))


class _Work:
    """Threads that each take a unit, hand it to a replica and wait for the receipt."""

    def __init__(
        self,
        spec: WorkerSpec,
        units: Sequence[Unit],
        handle: DeploymentHandle[Any],
        stop: threading.Event,
        in_flight: int,
    ) -> None:
        self._spec, self._handle, self._stop = spec, handle, stop
        self._todo: queue.SimpleQueue[Unit] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Receipt | BaseException] = queue.SimpleQueue()
        self._until: float | None = None
        for unit in units:
            self._todo.put(unit)
        for number in range(in_flight):
            threading.Thread(target=self._work, name=f"unit-{number}", daemon=True).start()

    @property
    def expired(self) -> bool:
        """Whether the run is to stop, and has been for as long as what is under way may take."""
        if self._stop.is_set() and self._until is None:
            self._until = time.monotonic() + DRAIN_S
        return self._until is not None and time.monotonic() > self._until

    def arrived(self) -> Iterator[Receipt]:
        """A receipt that came in, if one does within `LOOK_S`."""
        with contextlib.suppress(queue.Empty):
            item = self._done.get(timeout=LOOK_S)
            if isinstance(item, BaseException):
                raise failed(item, "the replicas") from item
            yield item

    def _work(self) -> None:
        try:
            while True:
                unit = self._todo.get_nowait()
                self._done.put(self._insist(unit))
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again on the driver's thread
            self._done.put(error)

    def _insist(self, unit: Unit) -> Receipt:
        """Offer the unit until a replica has answered. One that kills replicas is found by the
        ledger; the last resort is a count."""
        lost = 0
        while not self._stop.is_set():
            response = self._handle.unit.remote(self._spec, unit)
            try:
                receipt: Receipt = response.result(timeout_s=self._spec.unit_timeout_s + GRACE_S)
            except BackPressureError:
                time.sleep(BUSY_S)
            except (TimeoutError, *LOST):
                lost += 1
                if lost > RESTARTS:
                    raise
                time.sleep(BUSY_S)
            else:
                return receipt
        return Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs))


@contextlib.contextmanager
def _handle(
    spec: WorkerSpec, replicas: int, pool: Pool, *, grows: bool
) -> Iterator[DeploymentHandle[Any]]:
    """Of the model's replicas: those that run, or some of our own."""
    reference = spec.parameters["model"]
    running = _running(reference)
    if running is not None:
        yield running
        return
    if not grows:
        require(replicas, pool.cpus, pool.gpus)
    options = Serving(models=(reference,), replicas=replicas, cpus=pool.cpus, gpus=pool.gpus)
    name = f"bulk-{spec.dataset}-{spec.session}"
    try:
        serve.start(proxy_location="Disabled", logging_config=QUIET)
        deployment = replica_of(options, reference.partition("@")[0])
        yield serve.run(
            deployment.bind(options, spec.objects, reference),
            name=name,
            route_prefix=None,
            logging_config=QUIET,
        )
    except (RuntimeError, RayServeException, ray.exceptions.RayError) as error:
        raise failed(error, "the replicas") from error
    finally:
        with contextlib.suppress(RayServeException, ray.exceptions.RayError):
            serve.delete(name)


def _running(reference: str) -> DeploymentHandle[Any] | None:
    name = deployment_of(reference.partition("@")[0])
    try:
        applications = serve.status().applications
    except RayServeException:
        return None
    for one in (name, APPLICATION):  # as `medray serve` deploys it; as a configuration file does
        if one in applications and name in applications[one].deployments:
            handle = serve.get_deployment_handle(name, one)
            served: str = handle.reference.remote().result(timeout_s=GRACE_S)
            return handle if served == reference else None
    return None
