"""Model packages made ready for use: network, task and plan."""

from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from medray.errors import DataError, SpecError
from medray.modalities import modality_of, read_plan
from medray.modalities.base import Trained
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task


def load_trained(objects: Objects, reference: str, device: torch.device | None = None) -> Trained:
    """Open a model package, check its weights and build its network.

    The package's config holds `model` and `task`, their options with `name`, and `plan`.

    Args:
        objects: the storage root.
        reference: `name` or `name@version`.
        device: None: the first GPU where there is one, else the CPU.

    Raises:
        SpecError: there is no such model ("no-such-model"), it is of folds ("folded-model"), or it
            names a network or task that is not installed ("unknown-plugin").
        DataError: the weights are damaged ("wrong-hash", "bad-weights") or don't fit the network
            that the config describes ("bad-package").
    """
    package = open_model(objects, reference)
    if "folds" in package.config:
        raise SpecError(
            "the model is one network for each fold",
            code="folded-model",
            about=reference,
            hint="train one network on all samples, without `folds`",
        )
    return _made(package, package.config["plan"], package.weights(), device)


def load_members(
    objects: Objects, reference: str, device: torch.device | None = None
) -> dict[Any, Trained]:
    """The networks of a cross-validated model, by the value of its fold; else as `load_trained`."""
    package = open_model(objects, reference)
    weights = package.weights()
    members = {}
    for at, member in enumerate(package.config["folds"]["members"]):
        own = f"{at}."
        part = {n.removeprefix(own): v for n, v in weights.items() if n.startswith(own)}
        members[member["value"]] = _made(package, member["plan"], part, device)
    return members


def _made(
    package: ModelPackage,
    planned: dict[str, Any],
    values: dict[str, np.ndarray],
    device: torch.device | None,
) -> Trained:
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        plan = read_plan(planned)
        task = build_task(package.config["task"], plan.frequencies)
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
    return Trained(modality, network.to(device), task, plan, device, package.reference)
