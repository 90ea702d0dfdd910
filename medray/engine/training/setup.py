"""From names, plain values and storage to what the training loop turns over."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from medray.data.beside import Beside
from medray.data.cases import Cases, Loader
from medray.data.order import Order, seed_of
from medray.data.tree import channels_last
from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.freezing import freeze_for_good
from medray.engine.training.initial import VECTORS, Beginning, initialise
from medray.engine.training.objectives import objective_of
from medray.engine.training.objectives.base import Given, Objective, check_objective
from medray.engine.training.ranks import World
from medray.modalities import modality_of
from medray.modalities.base import Modality
from medray.modalities.plan import Plan
from medray.models import MODELS
from medray.models.base import Network
from medray.spec.training import TrainSettings, Unlabelled
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.base import Task

UNLABELLED = 1  # of a training's seeds: that of the order of samples without targets


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
        unlabelled: samples to learn from without their targets; their dataset is named, and pinned.
        scratch: where checkpoints lie if not below the root.
        validation: which samples to validate on; none may match.
        shared: how many subjects and records are in both, by column.
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
    shared: dict[str, int] = field(default_factory=dict)
    unlabelled: Unlabelled | None = None
    scratch: Objects | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """Of this run."""
        return Checkpoints(self.scratch or self.objects, f"{self.run}/checkpoints")

    @property
    def beginning(self) -> Beginning | None:
        """How the network begins; None: with fresh weights."""
        if self.settings.init_from is None:
            return None
        rows = modality_of(self.model).rows(self.plan)
        return Beginning(self.settings.init_from, self.objects, self.checkpoints, rows)

    @property
    def batch_size(self) -> int:
        """Samples per step over all ranks."""
        return self.settings.batch_size or self.plan.batch_size


@dataclass(frozen=True)
class Parts:
    """What a rank trains with."""

    modality: Modality
    task: Task
    objective: Objective
    loader: Loader
    held_out: Cases | None
    ids: list[str]


def with_vectors(setup: TrainSetup) -> TrainSetup:
    """The setup, once what its file of vectors says lies beside its checkpoints: ranks need not
    have the file.

    Raises:
        SpecError: the file is of no use; see `Modality.vectors`.
    """
    begins = setup.settings.init_from
    if begins is not None and begins.vectors and setup.checkpoints.kept(VECTORS) is None:
        found = modality_of(setup.model).vectors(begins.vectors, setup.plan)
        setup.checkpoints.keep(VECTORS, found.encode())
    return setup


def assemble(setup: TrainSetup, world: World) -> Parts:
    """Open the data and build the networks; weights are the same on every rank.

    Raises:
        SpecError: names, options and data don't fit together.
    """
    settings, plan = setup.settings, setup.plan
    dataset = open_dataset(setup.objects, setup.data)
    task = build_task(setup.task, plan.frequencies)
    modality = modality_of(setup.model)
    cases = modality.cases(dataset, dataset.select(setup.select), plan, task, settings)
    held_out = dataset.select(setup.validation) if setup.validation else []
    share = (world.rank, world.size)
    torch.manual_seed(settings.seed)
    objective = _objective(setup, task, modality)
    for network in (*objective.networks.values(), *objective.followers.values()):
        network.to(world.device)
        if settings.channels_last:
            _channels_last(network)
    order = Order(len(cases), setup.batch_size, settings.seed)
    loader = modality.loader(cases, order, plan, task, settings, share, world.device)
    if setup.unlabelled is not None:
        where = (share, world.device)
        loader = _beside(loader, setup.unlabelled, setup, modality, task, where)
    judged = modality.cases(dataset, held_out, plan, task, settings) if held_out else None
    return Parts(
        modality=modality,
        task=task,
        objective=objective,
        loader=loader,
        held_out=judged,
        ids=[str(row["sample_id"]) for row in cases.rows],
    )


def _beside(
    loader: Loader,
    wanted: Unlabelled,
    setup: TrainSetup,
    modality: Modality,
    task: Task,
    where: tuple[tuple[int, int], torch.device],
) -> Loader:
    """The loader, with samples without targets beside its own."""
    settings, plan = setup.settings, setup.plan
    data = open_dataset(setup.objects, wanted.data or setup.data)
    cases = modality.cases(data, data.select(wanted.select), plan, task, settings)
    count = settings.unlabelled_batch_size or setup.batch_size
    order = Order(len(cases), count, seed_of(settings.seed, UNLABELLED))
    return Beside(loader, modality.seen_twice(cases, order, plan, task, settings, *where))


def _objective(setup: TrainSetup, task: Task, modality: Modality) -> Objective:
    settings, begins = setup.settings, setup.beginning

    def build() -> Network:
        network = modality.build(setup.model, setup.plan)
        if begins is not None:
            initialise(network, begins)
        freeze_for_good(network, settings.freeze)
        return network

    kind = objective_of(settings.objective, task)
    check_objective(kind, settings, task, unlabelled=setup.unlabelled is not None)
    options = kind.Options.model_validate(settings.objective.options if settings.objective else {})
    kind.accept(options, task, MODELS.get(setup.model["name"]), settings)
    return kind(options, Given(task, build, modality, setup.plan, setup.objects, settings))


def _channels_last(network: nn.Module) -> None:
    """Convolutions' weights, of images; others have no such layout."""
    for parameter in network.parameters():
        if parameter.ndim in (4, 5):
            layout = channels_last(parameter.ndim - 2)
            parameter.data = parameter.data.contiguous(memory_format=layout)
