"""What a step without units is lent: ranks that train, in this process or on Ray."""

import contextlib
import json
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medray.errors import InterruptedRun
from medray.jobs.execute import Executor
from medray.spec.profiles import Inline
from medray.steps.base.events import Event, Listener, StepResult
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.engine.training.loop import TrainResult
    from medray.engine.training.setup import TrainSetup

LOOK_S = 1.0


@dataclass(frozen=True)
class Ranks:
    """Trains networks where a profile says; see medray.steps.base.work.Work.

    Args:
        kind: of the step, whose pool it is.
        executor: of the profile.
        objects: the storage root.
        stop: set when what is under way is to end.
        tell: hears what happens.
        known: what this run made when it was done last.
    """

    kind: str
    executor: Executor
    objects: Objects
    stop: threading.Event
    tell: Listener
    known: StepResult | None = None

    @property
    def device(self) -> str:
        """See Work."""
        if isinstance(self.executor.profile, Inline):
            import torch

            return "cuda" if torch.cuda.is_available() else "cpu"
        return "cuda" if self.executor.profile.pool(self.kind).gpus else "cpu"

    def fit(self, setups: "Sequence[TrainSetup]", tells: Sequence[Listener]) -> "list[TrainResult]":
        """See Work."""
        for setup in setups:
            plan = setup.plan.model_dump_json(indent=1)
            setup.objects.put(f"{setup.run}/plan.json", plan.encode())
        if not isinstance(self.executor.profile, Inline):
            return self._fit_on_ray(setups, tells)
        import torch

        from medray.engine.training.loop import fit
        from medray.engine.training.ranks import World

        device = torch.device(self.device)
        results = []
        for setup, tell in zip(setups, tells, strict=True):
            if setup.settings.threads is not None:
                torch.set_num_threads(setup.settings.threads)

            def report(
                metrics: dict[str, Any], setup: "TrainSetup" = setup, tell: Listener = tell
            ) -> None:
                tell(_epoch(setup, metrics))
                self._check(setup)

            results.append(fit(setup, World(device, report)))
        return results

    def _fit_on_ray(
        self, setups: "Sequence[TrainSetup]", tells: Sequence[Listener]
    ) -> "list[TrainResult]":
        """Train on Ray from a thread of its own, so that this one can watch and be stopped."""
        from medray.cluster.train import train_on_ray

        pool = self.executor.profile.pool(self.kind)
        self.executor.start()
        self.executor.clear()
        ended: queue.Queue[list[TrainResult] | BaseException] = queue.Queue()

        def work() -> None:
            try:
                ended.put(
                    train_on_ray(
                        setups,
                        cpus_per_worker=pool.cpus,
                        gpus_per_worker=pool.gpus,
                        labels=pool.labels,
                        grows=self.executor.grows,
                    )
                )
            except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
                ended.put(error)

        threading.Thread(target=work, name="ranks", daemon=True).start()
        at = told = 0
        while True:
            with contextlib.suppress(queue.Empty):
                results = ended.get(timeout=LOOK_S)
                if isinstance(results, BaseException):
                    raise results
                return results
            self._check(setups[at])
            # The ranks' own reports go to Ray; what they have made durable is the same on any
            # cluster.
            told = _tell_newest(setups[at], told, tells[at])
            while at + 1 < len(setups) and (
                newer := _tell_newest(setups[at + 1], 0, tells[at + 1])
            ):
                at, told = at + 1, newer

    def _check(self, setup: "TrainSetup") -> None:
        if self.stop.is_set():
            raise InterruptedRun(
                "the training was stopped",
                code="stopped",
                about=setup.run,
                hint="`medray resume` goes on from the newest checkpoint",
            )


def _tell_newest(setup: "TrainSetup", told: int, tell: Listener) -> int:
    """Tell of the newest checkpoint, unless that was done; returns its step."""
    from medray.engine.training.checkpoint import STATE

    found = setup.checkpoints.committed()
    step, path = found[-1] if found else (0, "")
    if step > told:
        with contextlib.suppress(FileNotFoundError):  # pruned since it was listed
            state = json.loads(setup.objects.get(f"{path}/{STATE}"))
            validated = state["validations"][-1] if state["validations"] else {}
            done = {"epoch": step // state["epoch_steps"], "step": step}
            tell(_epoch(setup, {**validated, **done}))
    return max(step, told)


def _epoch(setup: "TrainSetup", metrics: dict[str, Any]) -> Event:
    run = setup.run.split("/")[1]
    return Event("epoch", {"run": run, "epochs": setup.settings.epochs, **metrics})
