"""Rehearse a training before there are data: build its network without memory, and look at it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from medray.engine.training.freezing import freeze_for_good
from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.modalities.base import Modality
from medray.models import MODELS, model_options
from medray.models.base import Network, parts_of
from medray.spec.training import TrainSettings
from medray.steps.train.spec import TrainSpec
from medray.tasks.base import Task

# What is wrong whatever the data turn out to be like.
_SURE = frozenset({"unknown-layer", "nothing-to-learn", "levels-mismatch"})


def rehearse(
    spec: TrainSpec, given: Any, task: Task, axes: int | None, add: Callable[..., None]
) -> None:
    """Find what a training says of network and plan that can't be.

    Args:
        spec: its model and task are known to be there, with options that can be.
        given: of the plan, an instance of the modality's `PlanOptions`.
        task: of the spec.
        axes: of the images, where known.
        add: takes the field, code, message and hint of a problem.
    """
    kind = MODELS.get(spec.model.name)
    modality = MODALITIES.get(kind.takes)()
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
    try:
        _look(spec, given, modality, kind, task, axes)
    except SpecError as error:
        add(error.about or "model", error.code, error.message, error.hint)


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


def _look(
    spec: TrainSpec,
    given: Any,
    modality: Modality,
    kind: type[Network],
    task: Task,
    axes: int | None,
) -> None:
    model = spec.model.model_dump(mode="json")
    sketch = modality.sketch(model, given, task, axes)
    try:
        options = model_options(model, **sketch.planned)
        with torch.device("meta"), _Undrawn():
            network = kind.build(options, sketch.inward, len(task.channels), sketch.size)
        if sketch.sure:
            modality.accept(network, sketch)
    except SpecError as error:
        if sketch.sure or error.code in _SURE:
            raise SpecError(error.message, code=error.code, hint=error.hint) from error
        return
    _parts(network, spec.train)


def _parts(network: Network, settings: TrainSettings) -> None:
    """Parts of the network that settings name are there, and not all of them are frozen."""
    named, first = dict(network.named_parameters()), settings.init_from
    if first is not None:
        parts_of(named, first.map.values(), "train.init_from.map")
        parts_of(named, first.only or (), "train.init_from.only")
    parts_of(named, settings.rates, "train.rates")
    try:
        freeze_for_good(network, settings.freeze)
    except SpecError as error:
        raise SpecError(
            error.message, code=error.code, about="train.freeze", hint=error.hint
        ) from error
