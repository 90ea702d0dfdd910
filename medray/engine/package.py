"""From a finished training to a model package."""

import json
from typing import Any

from safetensors.torch import save

from medray.engine.assemble import TrainSetup
from medray.engine.checkpoint import Checkpoints
from medray.engine.modalities import modality_of
from medray.engine.train import TrainResult
from medray.storage.models import ModelPackage, save_model


def save_trained(
    setup: TrainSetup,
    result: TrainResult,
    name: str,
    *,
    spec: str,
    parents: list[str] | None = None,
) -> ModelPackage:
    """Commit the weights that a training chose as a model.

    The package's config holds `model` and `task`, options with `name`, and `plan`; history.json the
    loss curve, a row per step. Seconds are left out of it: equal trainings make equal packages.

    Args:
        setup: of the training.
        result: of the training.
        name: of the model.
        spec: hash of the resolved training step.
        parents: besides the data and the model it was initialised from.
    """
    checkpoints = Checkpoints(setup.objects, f"{setup.run}/checkpoints")
    tensors = checkpoints.read(result.checkpoint, only={"model", "average"}).tensors
    config: dict[str, Any] = {
        "model": setup.model,
        "task": setup.task,
        "plan": setup.plan.model_dump(mode="json"),
    }
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.rows]
    origins = [setup.data, *([setup.settings.init_from] if setup.settings.init_from else [])]
    return save_model(
        setup.objects,
        name,
        weights=save(tensors.get("average", tensors["model"])),
        config=config,
        metrics={"steps": result.step, "stopped": result.stopped, **result.metrics},
        parents=[*origins, *(parents or [])],
        spec=spec,
        card=_card(name, setup, result),
        extra={"history.json": json.dumps(rows).encode()},
    )


def _card(name: str, setup: TrainSetup, result: TrainResult) -> str:
    """A model card after Mitchell et al. 2019: what it is, what it learnt from, how good it was."""
    plan, settings = setup.plan, setup.settings
    lines = [
        f"# {name}",
        "",
        f"{setup.model['name']}, {setup.task['name']}: {', '.join(plan.classes)}.",
        "",
        f"- learnt from: `{setup.data}`, {plan.samples} samples, {setup.select}",
        f"- validated on: {setup.validation or 'nothing'}",
        *(f"- {line}" for line in modality_of(setup.model).describe(plan)),
        f"- {result.step} steps of {setup.batch_size} samples, {settings.precision}",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {metric} | {value:.4f} |" for metric, value in sorted(result.metrics.items())),
        "",
        "Not a medical device. Judge it on data of your own site before its results are relied on.",
    ]
    return "\n".join(lines) + "\n"
