"""From names, plain values and storage to what the training loop turns over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from medray.data.cases import Cases
from medray.data.loader import Loader
from medray.data.order import Order
from medray.engine.network import build_network
from medray.engine.plan import Plan
from medray.engine.state import load_matching
from medray.engine.world import World
from medray.errors import SpecError
from medray.log import event
from medray.models.base import Network, freeze
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.datasets import Dataset, open_dataset
from medray.storage.models import open_model
from medray.storage.objects import Objects
from medray.tasks import build_task
from medray.tasks.base import Task


@dataclass(frozen=True)
class TrainSetup:
    """A training in plain values: cheap to pickle, the same on every rank.

    Args:
        objects: the storage root.
        data: dataset as name@version.
        task: `name` and options, as in a job file.
        model: `name` and options, as in a job file.
        plan: of this training.
        settings: of this training.
        run: folder of this run below the root: its checkpoints lie there.
        select: which samples to learn from.
        validation: which samples to validate on; none may match.
    """

    objects: Objects
    data: str
    task: dict[str, Any]
    model: dict[str, Any]
    plan: Plan
    settings: TrainSettings
    run: str
    select: dict[str, Any] = field(default_factory=lambda: {"split": "train"})
    validation: dict[str, Any] = field(default_factory=lambda: {"split": "val"})

    @property
    def batch_size(self) -> int:
        """Samples per step over all ranks."""
        return self.settings.batch_size or self.plan.batch_size


@dataclass(frozen=True)
class Parts:
    """What a rank trains with."""

    task: Task
    network: Network
    loader: Loader
    held_out: Cases | None
    ids: list[str]


def assemble(setup: TrainSetup, world: World) -> Parts:
    """Open the data and build the network; weights are the same on every rank.

    Raises:
        SpecError: names, options and data don't fit together.
    """
    settings, plan = setup.settings, setup.plan
    dataset = open_dataset(setup.objects, setup.data)
    task = build_task(setup.task, plan.frequencies)
    cases = _cases(setup, dataset, task, dataset.select(setup.select))
    held_out = dataset.select(setup.validation) if setup.validation else []
    torch.manual_seed(settings.seed)
    network = build_network(setup.model, plan)
    if settings.init_from is not None:
        _initialise(network, setup)
    if settings.freeze:
        freeze(network, settings.freeze)
    network.to(world.device)
    if settings.channels_last:
        network.to(memory_format=memory_format(plan.dims))  # type: ignore[call-overload]
    loader = Loader(
        cases,
        Order(len(cases), setup.batch_size, settings.seed),
        plan.patch,
        targets=task.targets(cases.rows),
        augment=settings.augment,
        foreground=settings.foreground if task.dense else 0.0,
        rank=world.rank,
        size=world.size,
        device=world.device,
        prefetch=settings.prefetch,
    )
    return Parts(
        task=task,
        network=network,
        loader=loader,
        held_out=_cases(setup, dataset, task, held_out) if held_out else None,
        ids=[cases.id(case) for case in range(len(cases))],
    )


def build_optimiser(network: nn.Module, chosen: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser of all parameters that learn; weight decay on weights only.

    Biases and the scales of norms are vectors; decaying them only shifts the data (as timm and
    nanoGPT do it).
    """
    learnt = [one for one in network.parameters() if one.requires_grad]
    if not learnt:
        raise SpecError(
            "every parameter is frozen", code="nothing-to-learn", hint="freeze fewer parts"
        )
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": chosen.weight_decay},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if chosen.name == "adamw":
        return torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas)
    return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=True)


def memory_format(dims: int) -> torch.memory_format:
    """Channels last, for images of so many spatial axes."""
    return torch.channels_last_3d if dims == 3 else torch.channels_last


def _cases(setup: TrainSetup, dataset: Dataset, task: Task, indices: Sequence[int]) -> Cases:
    return Cases(
        dataset,
        indices,
        setup.plan.channels,
        dims=setup.plan.dims,
        spacing_mm=setup.plan.spacing_mm,
        classes=len(task.classes) if task.dense else 0,
        cache_bytes=setup.settings.cache_bytes,
    )


def _initialise(network: Network, setup: TrainSetup) -> None:
    """Start from a trained model's weights; parts of another shape, such as heads, stay fresh."""
    reference = str(setup.settings.init_from)
    package = open_model(setup.objects, reference)
    tensors = {name: torch.from_numpy(np.array(v)) for name, v in package.weights().items()}
    left = load_matching(network, tensors)
    if len(left) == len(network.state_dict()):
        raise SpecError(
            "none of its weights fits this network",
            code="wrong-model",
            about=reference,
            hint="use the model and options that it was trained with",
        )
    event("initialised", model=package.reference, fresh=len(left))
