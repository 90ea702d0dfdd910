"""Weights to begin with: which tensors of a trained model become which of a new network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medray.data.vectors import Vectors
from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.tensors import put
from medray.errors import DamageError, SpecError
from medray.log import event
from medray.models.base import begins, parts_of
from medray.spec.training import InitialWeights
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

VECTORS = "vectors.safetensors"  # beside the checkpoints of a training
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
            about=str(chosen.model),
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


def initialise(
    network: nn.Module, chosen: InitialWeights, objects: Objects, checkpoints: Checkpoints
) -> None:
    """Put a trained model's weights into a network, see `match`; or vectors of words.

    Args:
        network: with fresh weights.
        chosen: as the job says.
        objects: the storage root.
        checkpoints: of the training, with the vectors beside them.

    Raises:
        SpecError: see `match`; or the network has no words ("no-words"), or their vectors are of
            another width ("vectors-differ").
    """
    if chosen.model is None:
        _put_rows(network, _vectors(checkpoints))
        return
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


def _vectors(checkpoints: Checkpoints) -> Vectors:
    data = checkpoints.kept(VECTORS)
    if data is None:
        raise DamageError(
            "the vectors that the training began with are gone",
            code="missing-checkpoint",
            about=checkpoints.folder,
            hint="run the training anew",
        )
    return Vectors.decode(data)


def _put_rows(network: nn.Module, found: Vectors) -> None:
    table = network.state_dict().get(found.tensor)
    if table is None:
        raise SpecError(
            "the network has no vectors of words",
            code="no-words",
            about=f"{ABOUT}.vectors",
            hint="take one that embeds words, or leave them out",
        )
    width = found.values.shape[1]
    if table.shape[1] != width:
        raise SpecError(
            f"vectors of {width} numbers, and the network's have {table.shape[1]}",
            code="vectors-differ",
            about=found.source,
            hint=f"say `embedding: {width}` of the model",
        )
    with torch.no_grad():
        table[torch.from_numpy(found.rows)] = torch.from_numpy(found.values)
    event("initialised", vectors=found.source, taken=len(found.rows), words=found.words)


def told(
    chosen: InitialWeights | None,
    objects: Objects,
    checkpoints: Checkpoints,
    weights: Mapping[str, Tensor],
) -> dict[str, Any]:
    """What a package says of how its network began; nothing of fresh ones.

    Args:
        chosen: as the training had it.
        objects: the storage root.
        checkpoints: of the training.
        weights: of the trained network.
    """
    if chosen is None:
        return {}
    if chosen.model is None:
        rows = _vectors(checkpoints)
        return {
            "initialised": {"vectors": rows.source, "taken": len(rows.rows), "words": rows.words}
        }
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
