"""Writing OME-Zarr 0.5: an image, its labels, and coarser levels of both.

Halving takes the mean of 2 x 2 (x 2) voxels of an image and the first of them of a label, whose
values are names and can't be averaged. An axis is halved while it is longer than 64. Arrays are
written by medray's own Zarr v3 writer: sharded, Blosc, and equal bytes for equal input.
"""

from pathlib import Path
from typing import Any

import numpy as np

from medray.storage.shards.array_writer import ArrayWriter
from medray.storage.shards.forms.ome import IMAGE, LABEL, axes_told
from medray.storage.shards.schema import ArraySpec
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import group
from medray.storage.store.objects import Objects

Array = np.ndarray[Any, Any]

SMALL = 64


def write_sample(
    folder: Path,
    image: Array | None,
    labels: dict[str, Array],
    spacing_mm: list[float],
    affine: list[float] | None,
) -> None:
    """Write one sample as an OME-Zarr group.

    Args:
        folder: of the group; must not exist.
        image: (C, Z, Y, X) or (C, Y, X), None for labels alone.
        labels: by name, (Z, Y, X) or (Y, X) integers.
        spacing_mm: along the spatial axes of the arrays.
        affine: 16 floats, kept beside the scale that version 0.5 can say.
    """
    outbox = Outbox(Objects(str(folder.parent)), folder.name)
    extra: dict[str, Any] = {"affine_ras_mm": affine} if affine else {}
    if image is None:
        outbox.put("zarr.json", group({"ome": {"version": "0.5"}, **extra}))
    else:
        outbox.put("zarr.json", group(_levels(outbox, "", "image", image, spacing_mm) | extra))
    if labels:
        named = {"ome": {"version": "0.5", "labels": sorted(labels)}}
        outbox.put("labels/zarr.json", group(named))
    for name, label in sorted(labels.items()):
        path = f"labels/{name}/"
        attributes = _levels(outbox, path, name, label, spacing_mm)
        attributes["ome"]["image-label"] = (
            {"source": {"image": "../../"}} if image is not None else {}
        )
        outbox.put(f"{path}zarr.json", group(attributes | extra))
    outbox.flush()


def _levels(
    outbox: Outbox, path: str, name: str, values: Array, spacing_mm: list[float]
) -> dict[str, Any]:
    spatial = len(spacing_mm)
    lead = values.ndim - spatial
    mean = lead > 0  # labels have no channels
    spec = (IMAGE if mean else LABEL).seen(values.ndim, str(values.dtype))
    datasets: list[dict[str, Any]] = []
    factor, shift = np.ones(spatial), np.zeros(spatial)
    while True:
        _write(outbox, f"{path}{len(datasets)}", values, spec)
        steps = [
            {"type": "scale", "scale": [1.0] * lead + (factor * spacing_mm).tolist()},
            {"type": "translation", "translation": [0.0] * lead + (shift * spacing_mm).tolist()},
        ]
        datasets.append({"path": str(len(datasets)), "coordinateTransformations": steps})
        halved = np.array([n > SMALL for n in values.shape[lead:]])
        if not halved.any():
            break
        if mean:  # the mean of two voxels lies between them
            shift = shift + np.where(halved, factor / 2, 0)
        factor = np.where(halved, factor * 2, factor)
        for axis in np.flatnonzero(halved):
            values = _halve(values, lead + int(axis), mean)
    multiscale = {"name": name, "axes": axes_told(spec), "datasets": datasets}
    return {"ome": {"version": "0.5", "multiscales": [multiscale]}}


def _halve(values: Array, axis: int, mean: bool) -> Array:
    even = values[(slice(None),) * axis + (slice(0, None, 2),)]
    if not mean:
        return even
    odd = values[(slice(None),) * axis + (slice(1, None, 2),)]
    half = even.astype(np.float32)
    pairs = half[(slice(None),) * axis + (slice(0, odd.shape[axis]),)]
    pairs += odd
    pairs /= 2  # a last voxel without a partner stands for itself
    return (
        half.astype(values.dtype)
        if values.dtype.kind == "f"
        else np.rint(half).astype(values.dtype)
    )


def _write(outbox: Outbox, path: str, values: Array, spec: ArraySpec) -> None:
    writer = ArrayWriter(
        outbox,
        path,
        values.shape,
        values.dtype,
        axis=spec.slab_axis,
        chunk=spec.chunk_of(values.shape),
        axes=spec.names,
    )
    writer.append(values)
    writer.close()
