"""OME-Zarr 0.5 metadata of the images in a shard, so that napari and others open them.

Transforms of 0.5 know scale and translation only; the full RAS+ affine stands beside them under
the key `affine_ras_mm`, row-major, as 0.6 will carry it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from medray.storage.shards.schema import Arrays, ArraySpec, Axis

C, Z, Y, X = (
    Axis("c", "channel"),
    Axis("z", "space", "millimeter", optional=True),
    Axis("y", "space", "millimeter"),
    Axis("x", "space", "millimeter"),
)
IMAGE = ArraySpec((C, Z, Y, X), form="ome")
"""A picture or a volume, channels first."""
LABEL = ArraySpec((Z, Y, X), form="ome")
"""Numbers of classes, on the grid of an image."""


def images(*, labels: bool, axes: Literal[2, 3] | None = None) -> Arrays:
    """Arrays of samples that are an image, with labels or without.

    Args:
        labels: whether samples may have `label`.
        axes: of space, of every sample; None: some have two and others three.
    """
    kinds = {"image": IMAGE, "label": LABEL} if labels else {"image": IMAGE}
    if axes is None:
        return kinds
    kept = {"c": C, "y": Y, "x": X, **({"z": replace(Z, optional=False)} if axes == 3 else {})}
    return {
        name: replace(spec, axes=tuple(kept[n] for n in spec.names if n in kept))
        for name, spec in kinds.items()
    }


def axes_told(spec: ArraySpec, *, sized: bool = True) -> list[dict[str, str]]:
    """An image's axes as OME-Zarr tells of them; units where the size of a step is known."""
    told = [{"name": axis.name, "type": str(axis.kind)} for axis in spec.axes]
    for one, axis in zip(told, spec.axes, strict=True):
        if axis.unit and sized:
            one["unit"] = axis.unit
    return told


def place(row: int, name: str, spec: ArraySpec, *, sole: bool) -> str:
    """Path of a sample's array in the shard's group.

    What has no channels are labels, and lies where OME-Zarr looks for those of an image. A `sole`
    array is its sample's image, whatever it is: a mask alone has three objects so, and not five.
    """
    apart = spec.form == "ome" and not sole and not spec.count("channel")
    return f"{row}/labels/{name}/0" if apart else f"{row}/{name}"


def groups(
    row: int, arrays: Mapping[str, ArraySpec], values: dict[str, Any], *, sole: bool
) -> dict[str, dict[str, Any]]:
    """Attributes of every group of one sample, by path.

    Args:
        row: number of the sample in its shard.
        arrays: what each of its arrays is, as `ArraySpec.seen` has it.
        values: the sample's row, for `spacing_mm` and `affine`.
        sole: see `place`.
    """
    made: dict[str, dict[str, Any]] = {str(row): {}}
    labels: list[str] = []
    for name, spec in sorted(arrays.items()):
        if spec.form != "ome":
            continue
        path = place(row, name, spec, sole=sole)
        if path == f"{row}/{name}":
            own = _multiscale(name, name, spec, values)
            there = made[str(row)].get("ome")
            if there:
                there["multiscales"] += own["ome"]["multiscales"]
            else:
                made[str(row)] = own
            continue
        labels.append(name)
        attributes = _multiscale(name, "0", spec, values)
        attributes["ome"]["image-label"] = {"source": {"image": "../../"}}
        made[f"{row}/labels/{name}"] = attributes
    if labels:
        made[f"{row}/labels"] = {"ome": {"version": "0.5", "labels": labels}}
    return made


def _multiscale(name: str, path: str, spec: ArraySpec, values: dict[str, Any]) -> dict[str, Any]:
    spacing = [float(v) for v in values.get("spacing_mm") or ()]
    known = len(spacing) == spec.count("space")
    sizes = iter(spacing)
    scale = [next(sizes) if known and axis.kind == "space" else 1.0 for axis in spec.axes]
    multiscale = {
        "name": name,
        "axes": axes_told(spec, sized=known),
        "datasets": [
            {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
    }
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    if values.get("affine"):
        attributes["affine_ras_mm"] = [float(v) for v in values["affine"]]
    return attributes
