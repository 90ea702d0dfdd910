"""Weights to begin with: which tensors of a trained model become which of a new network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medray.engine.training.tensors import put
from medray.errors import SpecError
from medray.log import event
from medray.models.base import begins, parts_of
from medray.spec.training import InitialWeights
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

Shapes = Mapping[str, tuple[int, ...]]
ABOUT = "train.init_from"


@dataclass(frozen=True)
class Match:
    """What goes where.

    Args:
        taken: name of a tensor here: its name in the model.
        fresh: tensors here that nothing is put into, sorted.
    """

    taken: dict[str, str]
    fresh: list[str]


def match(chosen: InitialWeights, there: Shapes, here: Shapes) -> Match:
    """Find what of a trained model fits a network: by name and shape, where `chosen.map` does not
    say what is what.

    Args:
        chosen: as the job says.
        there: shapes of the model's tensors.
        here: shapes of the network's.

    Raises:
        SpecError: a part is not there ("unknown-layer"), two come to one place ("layers-meet"), a
            part that the map names has another shape here or no counterpart ("layers-differ"), or
            nothing fits ("wrong-model").
    """
    parts_of(there, chosen.map, f"{ABOUT}.map, {chosen.model}")
    parts_of(here, chosen.map.values(), f"{ABOUT}.map")
    wanted = set(here)
    if chosen.only is not None:
        wanted = set[str]().union(*parts_of(here, chosen.only, f"{ABOUT}.only").values())
    taken: dict[str, str] = {}
    for name, shape in there.items():
        mapped = max((one for one in chosen.map if begins(name, one)), key=len, default=None)
        place = name if mapped is None else chosen.map[mapped] + name[len(mapped) :]
        fits = here.get(place) == shape
        if (place in here and place not in wanted) or (mapped is None and not fits):
            continue
        if not fits:
            raise _differ(name, shape, place, here.get(place))
        if place in taken:
            raise SpecError(
                f"{taken[place]!r} and {name!r} of the model both become {place!r}",
                code="layers-meet",
                about=f"{ABOUT}.map",
                hint="map each part to one of its own",
            )
        taken[place] = name
    if not taken:
        raise SpecError(
            "none of its weights fits this network",
            code="wrong-model",
            about=chosen.model,
            hint="use the model and options that it was trained with, or `map` its parts",
        )
    return Match(taken, sorted(here.keys() - taken.keys()))


def _differ(
    name: str, shape: tuple[int, ...], place: str, own: tuple[int, ...] | None
) -> SpecError:
    found = "is not there" if own is None else f"is {list(own)}"
    return SpecError(
        f"{name!r} of the model is {list(shape)}, {place!r} here {found}",
        code="layers-differ",
        about=f"{ABOUT}.map",
        hint="map smaller parts, those that agree",
    )


def initialise(network: nn.Module, chosen: InitialWeights, objects: Objects) -> None:
    """Put a trained model's weights into a network; see `match`."""
    package = open_model(objects, chosen.model)
    weights, state = package.weights(), network.state_dict()
    found = match(chosen, _shapes(weights), _shapes(state))
    with torch.no_grad():
        for place, name in found.taken.items():
            put(state[place], torch.from_numpy(np.array(weights[name])))
    event(
        "initialised",
        model=package.reference,
        taken=len(found.taken),
        fresh=len(found.fresh),
        parts=", ".join(layers(found.fresh)),
    )


def told(
    chosen: InitialWeights | None, objects: Objects, weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What a package says of how its network began; nothing of fresh ones.

    Args:
        chosen: as the training had it.
        objects: the storage root.
        weights: of the trained network.
    """
    if chosen is None:
        return {}
    package = open_model(objects, chosen.model)
    found = match(chosen, _shapes(package.weights()), _shapes(weights))
    return {
        "initialised": {
            "model": package.reference,
            "taken": len(found.taken),
            "fresh": len(found.fresh),
            "fresh_layers": layers(found.fresh),
        }
    }


def layers(names: list[str]) -> list[str]:
    """The layers that tensors belong to, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _shapes(tensors: Mapping[str, Any]) -> Shapes:
    return {name: tuple(one.shape) for name, one in tensors.items()}
