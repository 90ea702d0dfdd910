"""Is a stack of slices a regular volume? A verdict with its numbers, never a guess.

Three good tools give three answers on one tilted series with two slice distances (a regular volume
with a warning, an error, a resampled copy); here it is refused, or resampled when asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.marks import mixed_in, tell_apart

Floats = npt.NDArray[np.float64]

MAX_TILT_DEGREES = 0.5
"""Below it the shear over a 300 mm stack stays under 2.6 mm; scanners tilt by 1 degree or more, and
rounding of the orientation to 6 digits gives 0.01 degrees."""

MAX_TURN_DEGREES = 0.1
"""Largest angle between the orientations of two slices of one volume."""

MAX_ROUNDING = 2e-3
"""Of the length of a direction and of the product of two: cosines of three digits reach 0.0017."""

GAP_TOLERANCE = 0.02
"""Share of the median slice distance by which a distance may differ (positions are often rounded
to 0.01 mm), with `POSITION_MM` as the floor."""

POSITION_MM = 0.02
"""Two slices nearer than this lie at one position."""

MAX_WIDE_GAPS = 3
"""Interpolating across more than this many median distances would invent anatomy."""

RESAMPLABLE = frozenset({"gantry-tilt", "uneven-gaps", "missing-slices"})
"""Faults of the grid alone: the voxels are right and can be interpolated onto a regular one."""


@dataclass(frozen=True)
class Verdict:
    """What a stack of slices is.

    Args:
        code: "" for a regular volume, else what is wrong.
        message: one sentence with the numbers.
        numbers: the same, for tables (degrees, millimetres, counts).
        volumes: for each volume the indices of its frames, from the first slice to the last along
            the normal; more than one only for "several-volumes".
        affine: (4, 4), voxel (x, y, z) to RAS+ millimetres; None unless the stack is regular or
            resamplable, in which case it is the affine of a regular stack with the same ends.
    """

    code: str
    message: str
    numbers: dict[str, float] = field(default_factory=dict)
    volumes: list[npt.NDArray[np.intp]] = field(default_factory=list)
    affine: Floats | None = None


def classify(frames: Sequence[Frame]) -> Verdict:
    """Judge the frames of one series.

    Codes: "no-geometry", "bad-orientation", "mixed-spacing", "mixed-orientation",
    "several-volumes" (4-D), "indistinct-volumes" (4-D, and which slice is of which volume cannot be
    told), "mixed-volumes" (slices of one stack differ in what one volume has once),
    "duplicate-slices", "gantry-tilt", "missing-slices", "uneven-gaps", "irregular-stack". Of
    several faults of the grid the message gives all, the code the first.

    Args:
        frames: one or more slices in any order.
    """
    incomplete = sum(
        not (frame.position_mm and frame.orientation and frame.spacing_mm) for frame in frames
    )
    if incomplete:
        return Verdict(
            "no-geometry",
            f"{incomplete} of {len(frames)} slices lack position, orientation or pixel spacing",
            {"slices": len(frames), "incomplete": incomplete},
        )
    positions = np.array([frame.position_mm for frame in frames])
    orientations = np.array([frame.orientation for frame in frames])
    spacings = np.array([frame.spacing_mm for frame in frames])
    return _plane_fault(orientations, spacings) or _stack(
        positions, orientations[0], spacings[0], frames
    )


def affine_of(orientation: Floats, spacing_mm: Floats, origin: Floats, step: Floats) -> Floats:
    """Affine from voxel (x, y, z) to RAS+ mm; DICOM's own axes are LPS, so x and y change sign.

    Args:
        orientation: direction cosines of a row and of a column, (6,), LPS.
        spacing_mm: between rows, between columns.
        origin: centre of the first voxel, (3,), LPS.
        step: from one slice to the next, (3,), LPS.
    """
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * spacing_mm[1]
    affine[:3, 1] = orientation[3:] * spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    affine[:2] *= -1
    # -0.0 would give another hash than 0.0 for an equal affine.
    return affine + 0.0


def _plane_fault(orientations: Floats, spacings: Floats) -> Verdict | None:
    rows, columns = orientations[:, :3], orientations[:, 3:]
    lengths = np.linalg.norm(np.stack([rows, columns]), axis=2)
    skew = float(np.abs((rows * columns).sum(axis=1)).max())
    if np.abs(lengths - 1).max() > MAX_ROUNDING or skew > MAX_ROUNDING:
        return Verdict(
            "bad-orientation",
            "row and column directions are not two perpendicular unit vectors",
            {"length_error": float(np.abs(lengths - 1).max()), "dot_product": skew},
        )
    low, high = float(spacings.min()), float(spacings.max())
    if low <= 0 or np.ptp(spacings, axis=0).max() > 1e-3 * high:
        return Verdict(
            "mixed-spacing",
            f"pixel spacing is not one positive pair of numbers: {low:.4g} to {high:.4g} mm",
            {"spacing_min_mm": low, "spacing_max_mm": high},
        )
    turned = max(_turn(rows), _turn(columns))
    if turned > MAX_TURN_DEGREES:
        return Verdict(
            "mixed-orientation",
            f"slices are turned against each other by up to {turned:.1f} degrees",
            {"turn_degrees": turned},
        )
    return None


def _turn(directions: Floats) -> float:
    chord = np.linalg.norm(directions - directions[0], axis=1).max()
    return float(np.degrees(2 * np.arcsin(min(chord / 2, 1.0))))


def _stack(
    positions: Floats, orientation: Floats, spacing: Floats, frames: Sequence[Frame]
) -> Verdict:
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    depth = positions @ normal
    order = np.argsort(depth, kind="stable")
    if len(frames) == 1:
        thickness = frames[0].thickness_mm
        if thickness <= 0:
            return Verdict("no-geometry", "a single slice without thickness", {"slices": 1})
        affine = affine_of(orientation, spacing, positions[0], normal * thickness)
        return Verdict("", "one slice", {"slices": 1}, [order], affine)
    gaps = np.diff(depth[order])
    if gaps.min() < POSITION_MM:
        return _repeated(gaps, order, frames)
    if mixed := mixed_in(frames, order):
        return Verdict(
            "mixed-volumes",
            f"slices of one stack differ in {mixed}: they are of several volumes",
            {"slices": float(len(frames))},
        )
    first, last = positions[order[0]], positions[order[-1]]
    step = (last - first) / (len(frames) - 1)
    shear = (float(step @ row), float(step @ column))
    tilt = float(np.degrees(np.arctan2(np.hypot(*shear), step @ normal)))
    numbers = {
        "slices": float(len(frames)),
        "tilt_degrees": tilt,
        "gap_min_mm": float(gaps.min()),
        "gap_median_mm": float(np.median(gaps)),
        "gap_max_mm": float(gaps.max()),
    }
    affine = affine_of(orientation, spacing, first, step)
    faults: dict[str, str] = {}
    if tilt > MAX_TILT_DEGREES:
        faults["gantry-tilt"] = f"the stack is sheared by a tilt of {tilt:.1f} degrees"
    faults |= _gap_fault(gaps, numbers)
    along = first + np.outer(depth[order] - depth[order[0]], step / (step @ normal))
    drift = float(np.linalg.norm(positions[order] - along, axis=1).max())
    if drift > max(POSITION_MM, 0.1 * float(spacing.min())) and not faults:
        numbers["drift_mm"] = drift
        return Verdict(
            "irregular-stack",
            f"slices lie up to {drift:.2f} mm beside the line through the first and the last",
            numbers,
        )
    message = "; ".join(faults.values()) or "a regular volume"
    return Verdict(next(iter(faults), ""), message, numbers, [order], affine)


def _gap_fault(gaps: Floats, numbers: dict[str, float]) -> dict[str, str]:
    median = float(np.median(gaps))
    # Missing slices are few; where wide gaps are common the narrow ones are the true distance.
    unit = median if gaps.min() > 0.75 * median else float(gaps.min())
    tolerance = max(GAP_TOLERANCE * unit, POSITION_MM)
    if np.abs(gaps - gaps.mean()).max() <= tolerance:
        return {}
    counts = np.rint(gaps / unit)
    span = f"slice distances run from {gaps.min():.3f} to {gaps.max():.3f} mm"
    if counts.max() > 1 and (np.abs(gaps - counts * unit) <= tolerance * counts).all():
        missing = int((counts - 1).sum())
        numbers["missing"] = missing
        return {"missing-slices": f"missing slices: {missing}; {span}"}
    return {"uneven-gaps": span}


def _repeated(gaps: Floats, order: npt.NDArray[np.intp], frames: Sequence[Frame]) -> Verdict:
    starts = np.flatnonzero(np.concatenate(([True], gaps >= POSITION_MM)))
    sizes = np.diff(np.append(starts, len(order)))
    numbers = {"slices": float(len(order)), "positions": float(len(starts))}
    count = int(sizes[0])
    if (sizes == count).all() and len(starts) > 1:
        numbers["volumes"] = count
        said = f"{count} slices at each of {len(starts)} positions"
        volumes = tell_apart(frames, order.reshape(len(starts), count).tolist())
        if volumes is None:
            return Verdict(
                "indistinct-volumes", f"{said}, and nothing tells their volumes apart", numbers
            )
        return Verdict("several-volumes", f"{said}: a 4-D series", numbers, volumes)
    repeated = int((sizes - 1).sum())
    numbers["repeated"] = repeated
    return Verdict(
        "duplicate-slices", f"{repeated} slices lie at the position of another one", numbers
    )


def resamplable(verdict: Verdict) -> bool:
    """Whether interpolation can repair the grid without inventing anatomy."""
    numbers = verdict.numbers
    return (
        verdict.code in RESAMPLABLE
        and numbers["gap_max_mm"] <= MAX_WIDE_GAPS * numbers["gap_median_mm"]
    )


def report(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON-able values with rounded numbers, for rows of tables."""
    return {"code": verdict.code} | {k: round(v, 4) for k, v in verdict.numbers.items()}
