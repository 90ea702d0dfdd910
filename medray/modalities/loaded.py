"""Model packages made ready for use: network, task and plan."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from medray.baselines.stored import baseline_of
from medray.errors import DataError, SpecError
from medray.modalities import modality_of, plans_of, read_plan
from medray.modalities.base import Trained
from medray.modalities.kept import kept_of
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task


@dataclass(frozen=True)
class LoadedModel:
    """A model package with its networks.

    Args:
        package: what it was loaded from.
        members: networks by the value of their fold, or by number, in order; a model of one has it
            under None.
    """

    package: ModelPackage
    members: dict[Any, Trained]

    @property
    def folds(self) -> str:
        """The column that tells which network has not seen a sample; "": none does."""
        return str(self.package.config.get("folds", {}).get("column", ""))

    @property
    def only(self) -> Trained:
        """The network of a model that is one.

        Raises:
            SpecError: it is several (code "folded-model").
        """
        if len(self.members) > 1:
            raise SpecError(
                f"the model is {len(self.members)} networks",
                code="folded-model",
                about=self.package.reference,
                hint="train one on all samples, without `folds` or `members`",
            )
        return self.members[None]


def load_model(objects: Objects, reference: str, device: torch.device | None = None) -> LoadedModel:
    """Open a model package, check its weights and build its networks.

    The package's config holds `model` and `task`, their options with `name`, and `plan`; of folds
    a plan for each, see `medray.engine.training.package`.

    Args:
        objects: the storage root.
        reference: `name` or `name@version`.
        device: None: the first GPU where there is one, else the CPU.

    Raises:
        SpecError: there is no such model ("no-such-model"), or it names a network or task that is
            not installed ("unknown-plugin").
        DataError: the weights are damaged ("wrong-hash", "bad-weights") or don't fit the network
            that the config describes ("bad-package").
    """
    package = open_model(objects, reference)
    weights = package.weights()
    members = {}
    own_tasks = [one.get("task", {}) for one in package.config.get("folds", {}).get("members", [])]
    planned = zip(plans_of(package), own_tasks or [{}], strict=True)
    for at, ((value, plan, own), task) in enumerate(planned):
        part = {n.removeprefix(own): v for n, v in weights.items() if n.startswith(own)}
        members[value] = _made(package, at, plan, package.config["task"] | task, part, device)
    return LoadedModel(package, members)


def load_trained(objects: Objects, reference: str, device: torch.device | None = None) -> Trained:
    """As `load_model`, of a model that is one network; see `LoadedModel.only`."""
    return load_model(objects, reference, device).only


def _made(
    package: ModelPackage,
    member: int,
    planned: dict[str, Any],
    options: dict[str, Any],
    values: dict[str, np.ndarray],
    device: torch.device | None,
) -> Trained:
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        plan = read_plan(planned)
        task = build_task(options, plan.frequencies)
        modality = modality_of(package.config["model"])
        network = modality.build(package.config["model"], plan)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    except (KeyError, ValidationError, RuntimeError) as error:
        raise DataError(
            "the weights don't fit the network that the package describes",
            code="bad-package",
            about=package.reference,
            hint="train again, or export with the version of medray that trained it",
        ) from error
    network.eval().requires_grad_(False)
    modality.layout(network, plan, device)
    return Trained(
        modality,
        network.to(device),
        task,
        plan,
        device,
        package.reference,
        partial(kept_of, package, member),
        partial(baseline_of, package, member),
    )
