"""What all imaging formats share: values of images, values of labels, grids, statistics."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from medray.errors import DataError, SpecError
from medray.storage.shards.holds import Names, names

Array = np.ndarray[Any, Any]

PIECE = 2**22  # voxels looked at together: 32 MiB as float64, whatever the image's size
COUNTED = 2**16  # integers counted together: 512 KiB as int64, which stays in a core's cache
SAMPLED = 2**18  # statistics look at about this many voxels: a mean is then off by 1/500 deviation
# Endings of images and of what images come packed in: a source that holds them and is read as
# another format has them in its account.
OTHER_IMAGES = (
    ".nii", ".hdr", ".img", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".mnc", ".dcm",
    ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2",
    ".svs", ".ndpi", ".czi", ".nd2", ".lif", ".npy", ".npz", ".mat", ".zip", ".tar", ".tgz", ".gz",
    ".7z",
)  # fmt: skip
# UDUNITS' names, as OME-Zarr has them, and what OME-XML and ImageJ write.
_MM = {
    "kilometer": 1e6, "meter": 1e3, "decimeter": 100.0, "centimeter": 10.0, "millimeter": 1.0,
    "micrometer": 1e-3, "nanometer": 1e-6, "angstrom": 1e-7, "picometer": 1e-9, "inch": 25.4,
    "foot": 304.8, "yard": 914.4, "km": 1e6, "m": 1e3, "dm": 100.0, "cm": 10.0, "mm": 1.0,
    "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "nm": 1e-6, "å": 1e-7,
    "pm": 1e-9, "in": 25.4, "ft": 304.8, "yd": 914.4,
}  # fmt: skip
_SUMMARY = ("mean", "std", "min", "max", "p005", "p995")
SYNTHETIC = "synthetic"  # column: whether the image was drawn by a model
MAX_CLASSES = 256  # beyond this a label counts instances, and a column per class says nothing


def as_image(values: Array) -> Array:
    """Pixel values as datasets keep them: as they are, but float16 as float32 and bool as uint8.

    Raises:
        DataError: NaN or infinity among the values ("nonfinite-voxels"), or a type that is no
            number ("unsupported-datatype").
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind != "f":
        raise DataError("the image's values are no real numbers", code="unsupported-datatype")
    if values.dtype.itemsize < 4:
        values = values.astype(np.float32)
    # What float32 does not reach, no network takes.
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not max(abs(low), abs(high)) <= np.finfo(np.float32).max:
        raise DataError(
            "the image holds NaN, infinity or values beyond float32",
            code="nonfinite-voxels",
            hint="replace them at the source: which value is meant can't be known here",
        )
    return values


def as_label(
    values: Array,
    *,
    allowed: frozenset[int] | None = None,
    mapping: Mapping[int, int] | None = None,
) -> Array:
    """Class numbers in the smallest unsigned type that holds them (uint8, uint16, uint32).

    Args:
        values: of the file, any real type.
        allowed: the only values that may occur; None allows all.
        mapping: value in the file → class; values without an entry are refused.

    Raises:
        DataError: "fractional-label", "negative-label", "unexpected-label", "too-many-classes".
    """
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        raise DataError("the label's values are no real numbers", code="unsupported-datatype")
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f" and not (
        math.isfinite(low) and math.isfinite(high) and bool((values == np.rint(values)).all())
    ):
        raise DataError(
            "the label holds values that are no whole numbers",
            code="fractional-label",
            hint="is it a probability map, or was it resampled with interpolation?",
        )
    if low < 0 and mapping is None:
        raise DataError("the label holds negative values", code="negative-label")
    if abs(float(low)) >= 2**32 or float(high) >= 2**32:
        raise DataError("the label's values are beyond 32 bits", code="too-many-classes")
    if mapping is not None:
        allowed = frozenset(mapping)
    if allowed is not None:
        unexpected = [value for value in _distinct(values) if value not in allowed]
        if unexpected:
            raise DataError(
                f"the label holds {len(unexpected)} values that are no class, "
                f"the first is {unexpected[0]}",
                code="unexpected-label",
                hint=f"expected: {', '.join(map(str, sorted(allowed)[:20]))}",
            )
    if mapping is not None:
        mapped = np.zeros(values.shape, np.int64)
        for value, target in mapping.items():
            mapped[values == value] = target
        values, high = mapped, max(mapping.values())
    kind = np.uint8 if high <= 0xFF else np.uint16 if high <= 0xFFFF else np.uint32
    return values.astype(kind, copy=False)


def columns(*more: str) -> Names:
    """Columns of images: what `describe` makes, what all formats say of them, and `more`."""
    told = (f"{of}_{what}" for of in ("image", "foreground") for what in _SUMMARY)
    return names(told, ("label_voxels", "subject", "has_label", "spacing_mm"), more)


def describe(
    image: Array,
    label: Array | None = None,
    ends: tuple[float, float] | None = None,
    ignore: int | None = None,
) -> dict[str, Any]:
    """Statistics of one sample, for planning and normalisation.

    Args:
        image: (C, Z, Y, X) or (C, Y, X).
        label: (Z, Y, X) or (Y, X), classes from 0.
        ends: smallest and largest value of the image, where the caller knows them.
        ignore: value of the label's voxels that count nowhere; above all classes.

    Returns:
        image_mean, image_std, image_min, image_max, image_p005 and image_p995 (percentiles 0.5 and
        99.5, linear between order statistics as numpy's) over all channels; with a label also
        foreground_mean … foreground_p995 over the voxels of classes above 0 (None where there are
        none) and label_voxels, the count of voxels of each class 0, 1, … ([] beyond 256 classes).
        Smallest, largest and `label_voxels` are exact; all else of integers of up to 16 bits, and
        the percentiles of others, come from every k-th voxel, where k leaves about 262,000.
    """
    made: dict[str, Any] = {f"image_{k}": v for k, v in _summary(image.reshape(-1), ends).items()}
    if label is not None:
        flat = label.reshape(-1)
        known = flat > 0 if ignore is None else (flat > 0) & (flat != ignore)
        inside = image.reshape(image.shape[0], -1)[:, known].reshape(-1)
        made.update({f"foreground_{k}": v for k, v in _summary(inside).items()})
        few = label.size == 0 or int(label.max()) < MAX_CLASSES
        made["label_voxels"] = _counts(flat, 0).tolist()[:ignore] if few else []
    return made


def same_grid(
    shape: tuple[int, ...], affine: Array, shape2: tuple[int, ...], affine2: Array
) -> bool:
    """Whether two grids agree: equal (Z, Y, X) shapes, and no corner apart by over 1 % of a voxel.

    The tolerance covers what float32 headers lose, and nothing that moves a label by a voxel.
    """
    if shape != shape2:
        return False
    ends = [(0, n - 1) for n in reversed(shape)]
    corners = np.array([(x, y, z, 1) for x in ends[0] for y in ends[1] for z in ends[2]], float)
    apart = np.linalg.norm((corners @ (affine - affine2).T)[:, :3], axis=1).max()
    return bool(apart <= 0.01 * min(spacing_of(affine)))


def spacing_of(affine: Array) -> tuple[float, float, float]:
    """Distance of neighbouring voxels in millimetres along (Z, Y, X)."""
    x, y, z = (float(n) for n in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def millimetres(unit: str) -> float | None:
    """Millimetres of a unit of length by its name or sign; None where it is none that is known."""
    name = unit.strip().lower().replace("metre", "meter")
    return _MM.get(name, _MM.get(name.removesuffix("s")))


def checked_affine(affine: Array) -> Array:
    """The 4 x 4 affine as float64.

    Raises:
        DataError: it holds NaN or infinity ("nonfinite-affine") or flattens space ("flat-affine").
    """
    affine = np.asarray(affine, np.float64)
    if not np.isfinite(affine).all():
        raise DataError("the affine holds NaN or infinity", code="nonfinite-affine")
    with np.errstate(over="ignore"):
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
    # 1e-6 mm to 1e6 mm: from electron microscopy to far beyond any patient.
    if not ((sizes > 1e-6) & (sizes < 1e6)).all():
        raise DataError("the affine's voxel size is out of range", code="flat-affine")
    if abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-4:
        raise DataError("the affine flattens space: two axes run alike", code="flat-affine")
    return affine


def subject_of(name: str, pattern: str) -> str:
    """The subject in a sample's name: the first group of `pattern`, or all of the name without one.

    Raises:
        DataError: the pattern does not match (code "no-subject").
    """
    if not pattern:
        return name
    match = re.search(pattern, name)
    if match is None:
        raise DataError(
            "the subject pattern does not match the name",
            code="no-subject",
            about=name,
            hint="without a pattern each name is a subject of its own",
        )
    return match.group(1)


def check_pattern(pattern: str) -> str:
    """A subject pattern that compiles and has a group; for use in options.

    Raises:
        SpecError: it does not (code "bad-pattern").
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SpecError(f"{pattern!r} is no pattern", code="bad-pattern") from error
    if pattern and not groups:
        raise SpecError(
            f"{pattern!r} has no group", code="bad-pattern", hint="e.g. '^(sub-[0-9]+)'"
        )
    return pattern


def _summary(values: Array, ends: tuple[float, float] | None = None) -> dict[str, float | None]:
    if values.size == 0:
        return dict.fromkeys(_SUMMARY)
    low, high = ends or _ends(values)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        counts = _counts(
            values[:: _stride(values.size)].copy(), int(low)
        )  # in one piece: 2x faster
        levels = np.arange(counts.size) + low
        total = counts.sum()
        mean = float((counts * levels).sum() / total)
        spread = float((counts * (levels - mean) ** 2).sum() / total)
        p005, p995 = _percentiles(counts, low, (0.005, 0.995))
    else:
        pieces = [values[i : i + PIECE] for i in range(0, values.size, PIECE)]
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / values.size
        # As float64 before it is squared: the square of a float32 can be beyond float32.
        spread = sum(float(((piece.astype(float) - mean) ** 2).sum()) for piece in pieces)
        spread /= values.size
        sample = values[:: _stride(values.size)]
        p005, p995 = (float(v) for v in np.percentile(sample, (0.5, 99.5)))
    return {
        "mean": mean,
        "std": math.sqrt(spread),
        "min": low,
        "max": high,
        "p005": p005,
        "p995": p995,
    }


def _ends(values: Array) -> tuple[float, float]:
    """Smallest and largest value; both of a piece while the processor's cache holds it."""
    pieces = [values[start : start + COUNTED] for start in range(0, values.size, COUNTED)]
    ends = [(piece.min(), piece.max()) for piece in pieces]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _stride(size: int) -> int:
    """A prime, so that rows of no usual length line up with it: else it might see few columns."""
    step = max(1, size // SAMPLED)
    while any(step % divisor == 0 for divisor in range(2, math.isqrt(step) + 1)):
        step += 1
    return step


def _counts(values: Array, low: int) -> Array:
    """How often each value from `low` on occurs, without an int64 copy of the image."""
    size = int(values.max()) - low + 1 if values.size else 1
    counts = np.zeros(size, np.int64)
    for start in range(0, values.size, COUNTED):
        piece = values[start : start + COUNTED].astype(np.int64)
        piece -= low
        counts += np.bincount(piece, minlength=size)
    return counts


def _percentiles(counts: Array, low: float, fractions: tuple[float, float]) -> list[float]:
    ends = np.cumsum(counts)
    made = []
    for fraction in fractions:
        position = fraction * (int(ends[-1]) - 1)
        below = int(np.searchsorted(ends, math.floor(position), side="right"))
        above = int(np.searchsorted(ends, math.ceil(position), side="right"))
        made.append(low + below + (above - below) * (position - math.floor(position)))
    return made


def _distinct(values: Array) -> list[int]:
    flat = values.reshape(-1)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        low = int(flat.min()) if flat.size else 0
        return [int(v) + low for v in np.flatnonzero(_counts(flat, low))]
    return [int(v) for v in np.unique(flat)]
