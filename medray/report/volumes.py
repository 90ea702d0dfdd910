"""Volumes as a page holds them: packed voxels, and what the script that draws them is told."""

import base64
import hashlib
import json
import zlib
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from medray.tasks.section import Volume

PLANES = ("axial", "coronal", "sagittal")
_GREY = (150, 150, 150)  # of masks whose classes have no colour


@cache
def script() -> str:
    """The script that draws them."""
    return (files("medray.report") / "viewer.js").read_text()


@cache
def fingerprint() -> str:
    """What a page's security policy allows to run: this script and no other."""
    found = hashlib.sha256(script().encode()).digest()
    return f"sha256-{base64.b64encode(found).decode()}"


def packed(volume: Volume) -> str:
    """Its voxels as text: low bytes, high bytes and masks behind each other, deflated, base64."""
    raw = np.ascontiguousarray(volume.values, "<u2").view(np.uint8).reshape(-1, 2)
    masks = [np.ascontiguousarray(one, np.uint8).tobytes() for one in volume.masks.values()]
    parts = [raw[:, 0].tobytes(), raw[:, 1].tobytes(), *masks]
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode()


def told(volume: Volume) -> str:
    """What the script has to know, as JSON."""
    colours: list[Any] = [colour for _, colour in volume.legend]
    return json.dumps(
        {
            "shape": volume.values.shape,
            "sizes": volume.sizes_mm,
            "slope": volume.slope,
            "intercept": volume.intercept,
            "masks": list(volume.masks),
            "colours": colours or [_GREY],
            "lettered": volume.lettered,
            "at": middle(volume),
        }
    )


def middle(volume: Volume) -> list[int]:
    """The slice of each plane to begin with: where masks cover most, else the middle."""
    covered = sum((mask > 0).astype(np.int64) for mask in volume.masks.values())
    if not np.any(covered):
        return [size // 2 for size in volume.values.shape]
    every = range(3)
    return [
        int(np.asarray(covered).sum(tuple(other for other in every if other != axis)).argmax())
        for axis in every
    ]


def ends(volume: Volume) -> tuple[float, float, float]:
    """Lowest and highest value, and a step between them, for sliders of level and width."""
    low = volume.intercept + volume.slope * float(volume.values.min())
    high = volume.intercept + volume.slope * float(volume.values.max())
    return low, high, max(volume.slope, (high - low) / 1000) if high > low else 1.0
