"""What is known of a dataset or a model: from storage, or from the step that will make it."""

from dataclasses import dataclass, field
from typing import Any

from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.schema import space_axes
from medray.storage.store.objects import Objects

LOOKED_AT = 8  # shards of a stored dataset; of more the step itself says what they lack


@dataclass(frozen=True)
class Data:
    """A dataset.

    Args:
        kind: of the step that makes it; empty: not known.
        holds: what its samples hold.
        task: that its predictions are of, with `name`.
        scorable: whether its predictions are answers to be held against the truth.
        data: name of the dataset that they were made of.
    """

    kind: str = ""
    holds: Holds = field(default_factory=Holds)
    task: dict[str, Any] | None = None
    scorable: bool = False
    data: str = ""


@dataclass(frozen=True)
class Model:
    """A model.

    Args:
        model: name and options of its network; None: not known.
        task: with `name`.
        folds: whether it is one network for each fold.
        data: name of the dataset that it learns from.
    """

    model: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    folds: bool = False
    data: str = ""


def stored_data(objects: Objects, reference: str) -> Data:
    """What stands in storage.

    Raises:
        SpecError: there is no such dataset or version.
    """
    dataset = open_dataset(objects, reference)
    told = dataset.attributes
    return Data(
        kind=dataset.manifest.kind,
        holds=_held(dataset),
        task=told.get("task"),
        scorable=bool(told.get("scorable")),
        data=str(told.get("data") or "").partition("@")[0],
    )


def _held(dataset: Dataset) -> Holds:
    columns = names(dataset.manifest.columns) - {"sample_id"}
    if not len(dataset):
        return Holds()
    filled = [at for at, rows in enumerate(dataset.units.column("rows")) if rows]
    splits = None
    if len(filled) <= LOOKED_AT and "split" in columns:
        found = dataset.columns(["split"])["split"].unique().to_pylist()
        splits = frozenset(map(str, found))
    arrays = dataset.manifest.arrays
    return Holds(names(arrays), columns, splits=splits, axes=space_axes(arrays))


def stored_model(objects: Objects, reference: str) -> Model:
    """What stands in storage.

    Raises:
        SpecError: there is no such model or version.
    """
    package = open_model(objects, reference)
    return Model(
        model=package.config.get("model"),
        task=package.config.get("task"),
        folds="folds" in package.config,
        data=package.parents[0].partition("@")[0] if package.parents else "",
    )
