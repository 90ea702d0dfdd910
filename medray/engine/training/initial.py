"""Weights to begin with: which tensors of a trained model become which of a new network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medray.data.vectors import Rows, Vectors
from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.tensors import put
from medray.errors import DamageError, SpecError
from medray.log import event
from medray.modalities import modality_of
from medray.models.base import begins, parts_of
from medray.spec.training import InitialWeights
from medray.storage.catalog.models import ModelPackage, open_model
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


@dataclass(frozen=True)
class Beginning:
    """How a network of a training begins.

    Args:
        chosen: as the job says.
        objects: the storage root.
        checkpoints: of the training, with vectors of words beside them.
        rows: what rows of the network's tensors stand for.
    """

    chosen: InitialWeights
    objects: Objects
    checkpoints: Checkpoints
    rows: Rows


def initialise(network: nn.Module, begins: Beginning) -> None:
    """Put a trained model's weights into a network, see `match`; or vectors of words. Of a table
    whose rows stand for words, tokens or codes those rows that both have.

    Args:
        network: with fresh weights.
        begins: how.

    Raises:
        SpecError: see `match`; or the network has no words ("no-words"), or their vectors are of
            another width ("vectors-differ").
    """
    if begins.chosen.model is None:
        _put_vectors(network, _vectors(begins.checkpoints))
        return
    package, state = open_model(begins.objects, begins.chosen.model), network.state_dict()
    weights = package.weights()
    found, moved = _found(begins, package, _shapes(weights), _shapes(state))
    with torch.no_grad():
        for place, name in found.taken.items():
            values = torch.from_numpy(np.array(weights[name]))
            if place in moved:
                here, there = moved[place]
                state[place][here] = values[there].to(state[place])
            else:
                put(state[place], values)
    event(
        "initialised",
        model=package.reference,
        taken=len(found.taken),
        fresh=len(found.fresh),
        parts=", ".join(layers(found.fresh)),
        rows=_counts(moved).get("rows"),
    )


Moved = dict[str, tuple[list[int], list[int]]]
"""Tensors of which some rows are taken: which here, and which these are in the model."""


def _found(
    begins: Beginning, package: ModelPackage, there: Shapes, here: Shapes
) -> tuple[Match, Moved]:
    """What goes where, tables by what their rows stand for."""
    config, known = package.config, dict[str, Sequence[str]]()
    if "plan" in config:  # of folds each has its own, and its tensors have a number before
        modality = modality_of(config["model"])
        known = dict(modality.rows(modality.plan_type().model_validate(config["plan"])))
    moved: Moved = {}
    shapes = dict(there)
    for name, rows in known.items():
        own = begins.rows.get(name, rows)
        if name not in there or name not in here or list(own) == list(rows):
            continue
        places = {row: at for at, row in enumerate(rows)}
        shared = [at for at, row in enumerate(own) if row in places]
        moved[name] = (shared, [places[own[at]] for at in shared])
        shapes[name] = (len(own), *there[name][1:])
    found = match(begins.chosen, shapes, here)
    return found, {place: at for place, at in moved.items() if found.taken.get(place) == place}


def _counts(moved: Moved) -> dict[str, dict[str, int]]:
    """Rows that were taken, of tables of which not all were."""
    counts = {place: len(here) for place, (here, _) in moved.items()}
    return {"rows": counts} if counts else {}


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


def _put_vectors(network: nn.Module, found: Vectors) -> None:
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


def told(begins: Beginning | None, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a package says of how its network began; nothing of fresh ones.

    Args:
        begins: as the training had it.
        weights: of the trained network.
    """
    if begins is None:
        return {}
    if begins.chosen.model is None:
        rows = _vectors(begins.checkpoints)
        return {
            "initialised": {"vectors": rows.source, "taken": len(rows.rows), "words": rows.words}
        }
    package = open_model(begins.objects, begins.chosen.model)
    found, moved = _found(begins, package, _shapes(package.weights()), _shapes(weights))
    return {
        "initialised": {
            "model": package.reference,
            "taken": len(found.taken),
            "fresh": len(found.fresh),
            "fresh_layers": layers(found.fresh),
            **_counts(moved),
        }
    }


def layers(names: list[str]) -> list[str]:
    """The layers that tensors belong to, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _shapes(tensors: Mapping[str, Any]) -> Shapes:
    return {name: tuple(one.shape) for name, one in tensors.items()}
