"""OME-Zarr 0.5 metadata of the volumes in a shard, so that napari and others open them.

Transforms of 0.5 know scale and translation only; the full RAS+ affine stands beside them under
the key `affine_ras_mm`, row-major, as 0.6 will carry it.
"""

from typing import Any

IMAGE = "image"


def axes_of(ndim: int, spatial: int) -> tuple[str, ...]:
    """Names of an array's axes: leading channel, then space."""
    return ("c",) * (ndim - spatial) + ("z", "y", "x")[3 - spatial :]


def place(row: int, name: str, *, sole: bool) -> str:
    """Path of a sample's array in the shard's group.

    Labels of an image lie where OME-Zarr looks for them. A `sole` array is its sample's image,
    whatever its name: a mask alone has three objects so, and not five.
    """
    return f"{row}/{name}" if sole or name == IMAGE else f"{row}/labels/{name}/0"


def groups(
    row: int, names: dict[str, int], values: dict[str, Any], *, sole: bool
) -> dict[str, dict[str, Any]]:
    """Attributes of every group of one sample, by path.

    Args:
        row: number of the sample in its shard.
        names: array name → its number of axes.
        values: the sample's row, for `spacing_mm` and `affine`.
        sole: see `place`.
    """
    spacing = [float(v) for v in values.get("spacing_mm") or ()]
    if sole:
        ((name, ndim),) = names.items()
        return {str(row): _multiscale(name, name, ndim, spacing, values)}
    made: dict[str, dict[str, Any]] = {str(row): {}}
    labels = sorted(name for name in names if name != IMAGE)
    if IMAGE in names:
        made[str(row)] = _multiscale(IMAGE, IMAGE, names[IMAGE], spacing, values)
    if labels:
        made[f"{row}/labels"] = {"ome": {"version": "0.5", "labels": labels}}
    for name in labels:
        attributes = _multiscale(name, "0", names[name], spacing, values)
        attributes["ome"]["image-label"] = {"source": {"image": "../../"}}
        made[f"{row}/labels/{name}"] = attributes
    return made


def _multiscale(
    name: str, path: str, ndim: int, spacing: list[float], values: dict[str, Any]
) -> dict[str, Any]:
    spatial = len(spacing) or min(ndim, 3)
    lead = ndim - spatial
    axes: list[dict[str, str]] = [
        {"name": "c", "type": "channel"}
        if axis == "c"
        else {"name": axis, "type": "space", "unit": "millimeter"}
        for axis in axes_of(ndim, spatial)
    ]
    scale = [1.0] * lead + (spacing or [1.0] * spatial)
    multiscale = {
        "name": name,
        "axes": axes,
        "datasets": [
            {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
    }
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    if values.get("affine"):
        attributes["affine_ras_mm"] = [float(v) for v in values["affine"]]
    return attributes
