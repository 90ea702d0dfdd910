"""Rehearse a training before there are data: build its network without memory, and look at it."""

from collections.abc import Callable
from typing import Any, cast

import torch
from pydantic import TypeAdapter
from torch.overrides import TorchFunctionMode

from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.models import MODELS, model_options
from medray.models.base import Network, freeze
from medray.models.image.base import ImageNetwork
from medray.spec.check import tried
from medray.steps.train.spec import TrainSpec
from medray.tasks.base import Task

LENGTH = 4096  # of sequences, where only the data know it
FEATURES = 8  # of a table, where only the data know them

# What is wrong whatever the data turn out to be like.
_SURE = frozenset({"unknown-layer", "nothing-to-learn", "levels-mismatch"})


def rehearse(spec: TrainSpec, task: Task, axes: int | None, add: Callable[..., None]) -> None:
    """Find what a training says of network and plan that can't be.

    Args:
        spec: its model and task are known to be there, with options that can be.
        task: of the spec.
        axes: of the images, where known.
        add: takes the field, code, message and hint of a problem.
    """
    kind = MODELS.get(spec.model.name)
    modality = MODALITIES.get(kind.takes)
    for name, value in spec.plan.items():
        planned = modality.plan_type().model_fields.get(name)
        if planned is None:
            hint = f"one of {', '.join(modality.plan_type().model_fields)}"
            add(f"plan.{name}", "unknown-field", f"the plan has no field {name!r}", hint)
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(planned.annotation or Any)
        faults = tried(adapter, value)
        for fault in faults if isinstance(faults, list) else []:
            add(f"plan.{name}", "bad-field", fault.message, fault.hint)
    settings, validates = spec.train, task.validates
    stopping = settings.early_stopping.metric if settings.early_stopping else ""
    if stopping and validates and stopping not in validates:
        hint = f"one of {', '.join(sorted(validates))}"
        add("train.early_stopping.metric", "unknown-metric", f"there is no {stopping!r}", hint)
    most = max(settings.world_sizes)
    if settings.batch_size is not None and settings.batch_size < most:
        message = f"{settings.batch_size} samples a step cannot be shared by {most} ranks"
        hint = "a larger batch_size, or fewer workers"
        add("train.batch_size", "batch-too-small", message, hint)
    patch = spec.plan.get("patch") or getattr(spec.task, "patch", None)
    dims = spec.model.options.get("dims")
    for field, count in (("model.dims", dims), ("task.patch", patch and len(patch))):
        if count is not None and axes is not None and count != axes:
            message = f"the images have {axes} spatial axes, not {count}"
            add(field, "dims-mismatch", message, f"give {axes}")
            return
    known = patch is not None  # else only the data know it
    try:
        _look(spec, kind, task, dims or axes or (len(patch) if patch else 2), patch)
    except SpecError as error:
        if known or error.code in _SURE:
            field = "train.freeze" if error.code in ("unknown-layer", "nothing-to-learn") else ""
            add(field or "model", error.code, error.message, error.hint)


class _Undrawn(TorchFunctionMode):
    """Leaves random draws out. On the meta device there is nothing to fill, and torch would load
    its compiler for them: 1.8 s of a processor, in every check of a training."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The tensor that was to be filled, as it is; or what `func` makes."""
        given = kwargs or {}
        if func.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _look(spec: TrainSpec, kind: type[Network], task: Task, dims: int, patch: Any) -> None:
    places: dict[str, Any] = {
        "dims": dims,
        "per_base": task.answers == "place",
        "modalities": {"features": FEATURES},
    }
    options = model_options(spec.model.model_dump(mode="json"), **places)
    modality = MODALITIES.get(kind.takes)
    size = patch and tuple(patch)
    if "length" in modality.plan_type().model_fields:
        size = (spec.plan.get("length") or LENGTH,)
    inward = 1 if modality.extends else FEATURES  # of samples without places, all columns
    with torch.device("meta"), _Undrawn():
        network = kind.build(options, inward, len(task.classes), size)
    if spec.train.freeze:
        freeze(network, spec.train.freeze)
        if not any(one.requires_grad for one in network.parameters()):
            raise SpecError(
                "every parameter is frozen", code="nothing-to-learn", hint="freeze less"
            )
    if not patch:
        return
    divisor = cast("ImageNetwork", network).divisor
    fitting = [-(-size // by) * by for size, by in zip(patch, divisor, strict=True)]
    if fitting != list(patch):
        raise SpecError(
            f"the patch {list(patch)} is no multiple of {list(divisor)}",
            code="indivisible-shape",
            hint=f"give {fitting}, or fewer levels",
        )
