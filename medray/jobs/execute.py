"""Where units run: in this process, or by processes on a Ray that lives as long as the job."""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.spec.profiles import Cluster, Inline, Local, Pool, RayCluster
from medray.steps.base.resolved import Resolved
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.cluster.crew import Crew
    from medray.engine.units.worker import Receipt


class Executor:
    """Runs units by a cluster profile. Ray starts with the first step that has something to do.

    Args:
        profile: where to run.
        objects: the storage root.
        session: of the driver; deaths of workers are counted within it.
    """

    def __init__(self, profile: Cluster, objects: Objects, session: str) -> None:
        self.profile = profile
        self._objects, self._session = objects, session
        self._ray = contextlib.ExitStack()
        self._crew: Crew | None = None

    @property
    def grows(self) -> bool:
        """Whether nodes come when they are asked for, so that what is missing now is no error."""
        profile = self.profile
        return isinstance(profile, RayCluster) and (profile.grows or profile.deploy is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ray.close()

    def run(
        self,
        resolved: Resolved[Any],
        units: Sequence[Unit],
        on_receipt: Callable[["Receipt"], None],
        stop: threading.Event,
    ) -> None:
        """Run units of a step; every one ends in a receipt.

        Raises:
            RetryableError: the pool broke; what is committed stays.
        """
        from medray.engine.units.inline import run_inline
        from medray.engine.units.worker import WorkerSpec

        policy = resolved.step.policy
        profile = self.profile
        pool = profile.pool(resolved.step.kind)
        spec = WorkerSpec(
            operation=resolved.operation,
            parameters=resolved.parameters,
            objects=self._objects,
            dataset=resolved.output,
            # In this process a worker's death is the driver's: it counts in the next life too.
            session="" if isinstance(profile, Inline) else self._session,
            max_attempts=policy.max_attempts,
            unit_timeout_s=policy.unit_timeout_s,
            threads=max(1, int(pool.cpus)),
        )
        if isinstance(profile, Inline):
            run_inline(spec, units, on_receipt, stop)
            return
        self.start()
        workers = pool.workers or _fitting(pool)
        if resolved.runs_on == "serve":
            from medray.cluster.units import run_on_serve

            self.clear()
            run_on_serve(
                spec, units, on_receipt, stop, workers=workers, pool=pool, grows=self.grows
            )
            return
        from medray.cluster.batch import run_on_ray

        run_on_ray(
            spec,
            units,
            on_receipt,
            stop,
            workers=workers,
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            memory_bytes=pool.memory_bytes,
            labels=pool.labels,
            grows=self.grows,
            crew=self._crew,
            bulk=resolved.runs_on == "data",
        )

    def start(self) -> None:
        """Start Ray, or join the one this process is a job of, unless that was done.

        Raises:
            SpecError: the cluster is elsewhere (code "not-on-the-cluster").
            RetryableError: it did not start, or cannot be reached.
        """
        if self._crew is not None or isinstance(self.profile, Inline):
            return
        if isinstance(self.profile, RayCluster):
            require_job(self.profile)
        from medray.cluster.crew import Crew
        from medray.cluster.session import join, start_local

        here = isinstance(self.profile, Local)
        self._ray.enter_context(start_local() if here else join("auto"))
        self._crew = Crew()

    def clear(self) -> None:
        """End the worker processes that the steps before have left: others need their place."""
        if self._crew is not None:
            self._crew.dismiss()


def require_job(profile: RayCluster) -> None:
    """Refuse to reach into a cluster from outside of it.

    Raises:
        SpecError: this process is no job there (code "not-on-the-cluster").
    """
    if "RAY_ADDRESS" not in os.environ:
        raise SpecError(
            "this process is no job of that cluster",
            code="not-on-the-cluster",
            about=profile.address,
            hint="`medray submit JOB --cluster NAME` runs it there",
        )


def _fitting(pool: Pool) -> int:
    """As many workers as this process's CPUs allow."""
    return max(1, int(len(os.sched_getaffinity(0)) / pool.cpus))
