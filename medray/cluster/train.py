"""Training on Ray Train: its workers run the loop of medray.engine.training.loop.

Ray places the ranks, joins them and starts them anew when one is lost. State is not Ray's affair:
every start goes on from the newest checkpoint in storage, so a rank that is killed, a run that is
killed and a run that gets other workers are one case.
"""

import json
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
from ray.train.v2.api.exceptions import TrainingFailedError

from medray.cluster.session import require
from medray.errors import MedrayError, RetryableError, error_of
from medray.ids import attempt_id
from medray.storage.store.documents import read

if TYPE_CHECKING:
    from medray.engine.training.loop import TrainResult
    from medray.engine.training.setup import TrainSetup

COLLECTIVE_TIMEOUT_S = 600  # ranks that wait longer for one that hangs give up


def train_on_ray(
    setups: "Sequence[TrainSetup]",
    *,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    labels: dict[str, str] | None = None,
    grows: bool = False,
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
    trainer = _Trainer(
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
    from medray.engine.training.loop import outcome

    return [outcome(one) for one in setups]


class _Trainer(TorchTrainer):
    """Ray's, without two processes that cost seconds to start: one shares out datasets of Ray's,
    where our ranks read storage; one gives back the ranks' places when the controller has died,
    which Ray does itself, as they are the controller's."""

    def _create_default_callbacks(self) -> list[Any]:
        left = (DatasetsCallback, PlacementGroupCleanerCallback)
        made: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [one for one in made if not isinstance(one, left)]


def _rank(config: dict[str, Any]) -> None:
    """One rank. What another try would not mend is written down, so that Ray need not try again:
    the ranks that it then starts find the note and end."""
    import torch

    from medray.engine.training.loop import fit
    from medray.engine.training.ranks import World

    setups: list[TrainSetup] = config["setups"]
    objects = setups[0].objects
    if objects.exists(config["refusal"]):
        return
    torch.set_num_threads(config["threads"])
    try:
        for setup in setups:
            fit(setup, World(get_device(), report=ray.train.report))
    except RetryableError:
        raise
    except MedrayError as error:
        note = {
            "exit_status": str(error.exit_status),
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
    kind = error_of(int(note["exit_status"]))
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
