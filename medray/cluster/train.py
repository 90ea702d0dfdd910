"""Training on Ray Train: its workers run the loop of medray.engine.train.

Ray places the ranks, joins them and starts them anew when one is lost. State is not Ray's affair:
every start goes on from the newest checkpoint in storage, so a rank that is killed, a run that is
killed and a run that gets other workers are one case.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2.api.exceptions import TrainingFailedError

from medray.cluster.session import require
from medray.errors import DataError, FatalError, MedrayError, RetryableError, SpecError
from medray.ids import attempt_id
from medray.storage.documents import read

if TYPE_CHECKING:
    from medray.engine.assemble import TrainSetup
    from medray.engine.train import TrainResult

COLLECTIVE_TIMEOUT_S = 600  # ranks that wait longer for one that hangs give up
LOOK_S = 0.5  # at the ranks; Ray's own is two seconds, which a short training would end late by


def train_on_ray(
    setups: "Sequence[TrainSetup]",
    *,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    labels: dict[str, str] | None = None,
    grows: bool = False,
    gone: threading.Event | None = None,
) -> "list[TrainResult]":
    """Train on the Ray that this process is connected to; resumes a run that was begun before.

    Args:
        setups: what to train: one network, or those of folds, which the same ranks train one after
            the other. `settings.workers` as [min, max] lets Ray start with what is free and
            grow or shrink; the global batch, and so the learning rate, stay the same.
        cpus_per_worker: of each rank; its torch threads, unless the settings name a number.
        gpus_per_worker: 1 for training on GPUs.
        labels: of the nodes that may hold a rank.
        grows: nodes come when they are asked for, so that workers may exceed the cluster of now.
        gone: once set, nobody waits for this any more: Ray is shut down, or will be.

    Raises:
        SpecError: the setup does not fit together, or the cluster can't hold the fewest workers.
        FatalError: the loss diverged.
        RetryableError: workers were lost more than `settings.max_failures` times
            (code "ranks-lost"), or storage failed them as often (its own code).
    """
    setup = setups[0]
    low, high = setup.settings.world_sizes
    if not grows:
        require(low, cpus_per_worker, gpus_per_worker)
    attempt = attempt_id()
    refusal = f"{setup.run}/refusals/{attempt}.json"
    allowed = setup.settings.max_failures * len(setups)
    resources: dict[str, float] = {"CPU": cpus_per_worker}
    if gpus_per_worker:
        resources["GPU"] = gpus_per_worker
    # What goes wrong is raised here, with its cause; Ray would print pages besides.
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)
    trainer = _Trainer(
        gone or threading.Event(),
        grows,
        _rank,
        train_loop_config={
            "setups": list(setups),
            "refusal": refusal,
            "threads": setup.settings.threads or max(1, int(cpus_per_worker)),
        },
        torch_config=TorchConfig(timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=low if low == high else (low, high),  # type: ignore[arg-type]
            use_gpu=gpus_per_worker > 0,
            resources_per_worker=resources,
            label_selector=labels or None,  # type: ignore[call-arg]
        ),
        # A name of its own each time: Ray's state is bound to its version, ours is not.
        run_config=RunConfig(
            name=attempt,
            storage_path=_ray_folder(setup),
            failure_config=FailureConfig(max_failures=allowed),
        ),
    )
    lost: TrainingFailedError | None = None
    try:
        trainer.fit()
    except TrainingFailedError as error:
        lost = error
    finally:
        # Ray's own notes on this attempt; nobody reads them again.
        setup.objects.delete([entry.path for entry in setup.objects.walk(f"{setup.run}/ray")])
    _raise_refusal(setup, refusal)
    if lost is not None:
        cause = _cause(lost)
        if cause is not None:
            raise cause
        raise RetryableError(
            f"ranks were lost more than {allowed} times",
            code="ranks-lost",
            about=setup.run,
            hint="look at memory and logs of the workers, then `medray resume`",
        ) from lost
    from medray.engine.train import outcome

    return [outcome(one) for one in setups]


class _Ranks(WorkerGroup):
    """Ray's, led from outside of any actor."""

    def _init_train_context_on_workers(
        self, workers: list[Any], sync_actor: Any, train_context_args: dict[str, list[Any]]
    ) -> None:
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=sync_actor,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=None,  # of which a rank may ask what was reported: nothing
                    **{name: values[at] for name, values in train_context_args.items()},
                )
                for at, worker in enumerate(workers)
            ]
        )


class _Controller(TrainController):
    """Ray's, in this process: one of its own takes seconds to start."""

    worker_group_cls = _Ranks

    def __init__(self, gone: threading.Event, **options: Any) -> None:
        super().__init__(**options)
        self._gone = gone
        self._health_check_interval_s = LOOK_S

    async def _run_control_loop_iteration(self) -> None:
        if self._gone.is_set():
            raise _GoneError
        await super()._run_control_loop_iteration()  # type: ignore[no-untyped-call]


class _GoneError(Exception):
    """Nobody waits for the training any more."""


class _Fixed(FixedScalingPolicy):
    """Ray's, which asks an actor of Ray Data's for nodes, where none would come."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass


class _Trainer(TorchTrainer):
    """Ray's, without processes that cost seconds to start: the controller's; one that shares out
    datasets of Ray's, where our ranks read storage; one that gives back the ranks' places when the
    controller has died, which Ray does itself, as they are the driver's; and one that asks for
    nodes, where the cluster does not grow."""

    def __init__(self, gone: threading.Event, grows: bool, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gone, self._grows = gone, grows

    def _create_default_callbacks(self) -> list[Any]:
        left = (DatasetsCallback, PlacementGroupCleanerCallback)
        made: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [one for one in made if not isinstance(one, left)]

    def _initialize_and_run_controller(self, **options: Any) -> Any:
        policy = options["scaling_policy"]
        if isinstance(policy, FixedScalingPolicy) and not self._grows:
            options["scaling_policy"] = _Fixed(policy.scaling_config)
        controller = _Controller(self._gone, **options)
        asyncio.run(controller.run())  # type: ignore[no-untyped-call]
        return controller.get_result()


def _rank(config: dict[str, Any]) -> None:
    """One rank. What another try would not mend is written down, so that Ray need not try again:
    the ranks that it then starts find the note and end."""
    import torch

    from medray.engine.train import fit
    from medray.engine.world import World

    setups: list[TrainSetup] = config["setups"]
    objects = setups[0].objects
    if objects.exists(config["refusal"]):
        return
    torch.set_num_threads(config["threads"])
    try:
        for setup in setups:
            fit(setup, World(get_device()))
    except RetryableError:
        raise
    except MedrayError as error:
        note = {
            "class": type(error).__name__,
            "message": error.message,
            "code": error.code,
            "about": error.about,
            "hint": error.hint,
        }
        objects.put(config["refusal"], json.dumps(note).encode())
        raise


def _raise_refusal(setup: "TrainSetup", path: str) -> None:
    try:
        note = read(setup.objects, path, dict[str, str])
    except FileNotFoundError:
        return
    setup.objects.delete([path])
    kinds = {kind.__name__: kind for kind in (SpecError, DataError, FatalError)}
    kind = kinds.get(note.get("class", ""), FatalError)
    said = {name: note.get(name, "") for name in ("code", "about", "hint")}
    raise kind(note.get("message", ""), **said)


def _cause(lost: TrainingFailedError) -> MedrayError | None:
    """What a rank raised, if it was one of medray's errors; Ray wraps it in its own."""
    for failure in getattr(lost, "worker_failures", {}).values():
        raised = getattr(failure, "_base_exc", failure)
        if isinstance(raised, MedrayError):
            return raised
    return None


def _ray_folder(setup: "TrainSetup") -> str:
    """Where Ray Train keeps its own state: beside the run, so that every node reaches it."""
    folder, storage = setup.objects.folder, setup.objects.profile
    if folder is not None:
        return str(folder / setup.run / "ray")
    # Ray reaches buckets by pyarrow, which takes the service from the query, and keys from the
    # same places as we do, but for a role that is to be assumed.
    options = {"region": storage.region}
    if storage.endpoint:
        service = urlsplit(storage.endpoint)
        options |= {"scheme": service.scheme, "endpoint_override": service.netloc}
    path = "/".join(filter(None, (storage.prefix, setup.run, "ray")))
    return f"s3://{storage.bucket}/{quote(path)}?{urlencode(options)}"
