"""Run a training step: look at the data, plan, train inline or on Ray, commit the model package."""

import json
import threading
from typing import Any, cast

import torch
from safetensors.torch import save as encode

from medray.clock import SYSTEM, Clock
from medray.engine.assemble import TrainSetup
from medray.engine.checkpoint import Checkpoints
from medray.engine.fingerprint import fingerprint
from medray.engine.plan import Plan, make_plan
from medray.engine.train import TrainResult, fit
from medray.engine.world import World
from medray.errors import InterruptedRun, SpecError
from medray.jobs.card import model_card
from medray.jobs.events import Event, Listener, StepResult, Tally
from medray.jobs.execute import Executor
from medray.jobs.resolve import Resolved
from medray.spec.jobs import Train
from medray.spec.profiles import Local
from medray.storage.datasets import move_head, open_dataset
from medray.storage.models import ModelPackage, open_model, save_model
from medray.storage.objects import Objects
from medray.tasks import build_task


def run_training(
    resolved: Resolved,
    known: StepResult | None,
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
    clock: Clock = SYSTEM,
) -> StepResult:
    """Train, unless this very training was done before; resumes at its newest checkpoint.

    Args:
        known: what this run made when it was done last.

    Raises:
        InterruptedRun: `stop` was set; the newest checkpoint is where it goes on (code "stopped").
        SpecError: data, task and network don't fit together.
        FatalError: the loss diverged.
    """
    started = clock.monotonic()
    done = _made_before(objects, known)
    tell(
        Event(
            "step",
            {
                "kind": "train",
                "run": resolved.run,
                "output": resolved.output,
                "units": 1,
                "units_skipped": int(done is not None),
                "inputs": 1,
                "inputs_done": int(done is not None),
            },
        )
    )
    package = done or _train(cast("Train", resolved.step), resolved, executor, objects, stop, tell)
    return StepResult(
        kind="train",
        run=resolved.run,
        output=package.reference,
        digest=package.digest,
        units=Tally(1, int(done is None), int(done is not None), 0),
        metrics=package.metrics,
        seconds=round(clock.monotonic() - started, 3),
    )


def _made_before(objects: Objects, known: StepResult | None) -> ModelPackage | None:
    if known is None:
        return None
    try:
        package = open_model(objects, known.output)
    except SpecError:
        return None  # somebody removed the model: train again
    move_head(objects, f"models/{package.name}/HEAD", package.version)
    return package


def _train(
    step: Train,
    resolved: Resolved,
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
) -> ModelPackage:
    setup = _setup(step, resolved, executor, objects)
    objects.put(f"runs/{resolved.run}/plan.json", _pretty(setup.plan.model_dump(mode="json")))

    def report(metrics: dict[str, Any]) -> None:
        fields = {"run": resolved.run, "epochs": step.train.epochs, **metrics}
        tell(Event("epoch", fields))
        if stop.is_set():
            raise InterruptedRun(
                f"stopped after {metrics['step']} steps",
                code="stopped",
                about=resolved.run,
                hint="`medray resume` goes on from the newest checkpoint",
            )

    if isinstance(executor.profile, Local):
        from medray.cluster.train import train_on_ray

        executor.start()
        result = train_on_ray(
            setup,
            report,
            stop,
            num_cpus=executor.profile.cpus_per_worker,
            num_gpus=executor.profile.gpus_per_worker,
        )
    else:
        result = fit(setup, World(report=report))
    return _package(resolved, step, setup, result)


def _setup(step: Train, resolved: Resolved, executor: Executor, objects: Objects) -> TrainSetup:
    data = open_dataset(objects, resolved.parents[0])
    task = step.task.model_dump(mode="json")
    model = step.model.model_dump(mode="json")
    built = build_task(task)
    found = fingerprint(data, data.select(step.select), built)
    plan = make_plan(
        found,
        built,
        dims=model.get("dims"),
        levels=model.get("levels"),
        batch_size=step.train.batch_size,
        device=_device(executor),
        given=step.plan,
    )
    return TrainSetup(
        objects=objects,
        data=data.reference,
        task=task,
        model=model,
        plan=plan,
        settings=step.train,
        run=f"runs/{resolved.run}",
        select=step.select,
        validation=step.validation,
    )


def _device(executor: Executor) -> str:
    """Where the network will be trained, which the plan has to know before any rank exists."""
    if isinstance(executor.profile, Local):
        return "cuda" if executor.profile.gpus_per_worker else "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _package(
    resolved: Resolved, step: Train, setup: TrainSetup, result: TrainResult
) -> ModelPackage:
    """Commit the chosen checkpoint's weights as a model package."""
    objects = setup.objects
    tensors = Checkpoints(objects, f"{setup.run}/checkpoints").read(result.checkpoint).tensors
    config = {"model": setup.model, "task": setup.task, "plan": _plain(setup.plan)}
    extra = {
        "plan.json": _pretty(_plain(setup.plan)),
        "history.json": json.dumps(result.rows).encode(),
    }
    return save_model(
        objects,
        resolved.output,
        weights=encode(tensors.get("average") or tensors["model"]),
        config=config,
        metrics=result.metrics,
        parents=resolved.parents,
        spec=resolved.spec,
        card=model_card(resolved.output, step, setup.plan, result, resolved.parents),
        extra=extra,
    )


def _plain(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(mode="json")


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
