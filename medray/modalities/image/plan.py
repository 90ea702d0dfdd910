"""The plan of a training: what the data say about grid, patch, batch, intensities and weights.

The rules are nnU-Net's (Isensee et al. 2021), cut down to what the numbers below need. A plan is a
readable JSON document with a reason for every choice; values that the job gives win.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from medray.errors import SpecError
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.guide.coarse import COVER, coarse_spacing, shown
from medray.modalities.image.normalise import (
    ChannelNorm,
    Normaliser,
    Scheme,
    normaliser,
    stored_statistics,
)
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.spatial import grid_ratio
from medray.modalities.image.survey import Fingerprint
from medray.modalities.plan import Plan
from medray.models.image.base import divisor_of, pool_steps
from medray.tasks.base import Task

LEVELS = 6  # resolutions at most, as the networks' presets
ANISOTROPY = 3.0  # slices this much thicker than pixels are wide make an image anisotropic
SHARE = 0.05  # of the data's voxels in one batch at most: more is no stochastic descent any more
# Voxels in a patch and in a batch. GPU: what nnU-Net fits into 8 GB; CPU: a step of about a second
# per core for a U-Net of 32 features.
VOXELS = {
    ("cuda", 3): (128**3, 2 * 128**3),
    ("cuda", 2): (512**2, 12 * 512**2),
    ("cpu", 3): (64**3, 3 * 64**3),
    ("cpu", 2): (256**2, 12 * 256**2),
}
WHOLE = 2.0  # images of up to so many patches are taken whole: no borders inside them
IMAGES = 64  # in a batch of whole images at most


class Stored(BaseModel):
    """As what new images are stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dtype: str
    spacing_mm: tuple[float, ...] | None = Field(description="null: the real ones' differ")


class ImagePlan(Plan):
    """The plan of a training on images."""

    modality: Literal["image"] = "image"
    dims: Literal[2, 3]
    in_channels: int
    guide: tuple[str, ...] = Field(
        (), description="classes of the mask beside each image; none: there is no such mask"
    )
    spacing_mm: tuple[float, ...] | None = Field(
        None, description="grid of the network; null: the grid of each image"
    )
    patch: tuple[int, ...]
    channels: tuple[ChannelNorm, ...] = Field(description="normalisation of each channel")
    pool_steps: tuple[tuple[int, ...], ...] = Field(description="pooling between the levels")
    median_shape: tuple[int, ...] = Field(description="on the grid of the network")
    mirror_axes: tuple[int, ...] = Field(
        (), description="axes it is trained mirrored along; prediction may average over them"
    )
    foreground: float = Field(
        0, description="share of training patches centred on a voxel of a drawn class"
    )
    stored: Stored | None = Field(None, description="of what is drawn; null: nothing is")

    @property
    def inputs(self) -> int:
        """Channels that the network takes: the image's, and one for each class of a guide but the
        first."""
        return self.in_channels + max(0, len(self.guide) - 1)

    def network_shape(
        self, shape: Sequence[int], spacing_mm: Sequence[float] | None
    ) -> tuple[int, ...]:
        """Size of an image of `shape` (spatial) on the grid of the network."""
        ratio = grid_ratio(self.spacing_mm, spacing_mm, self.dims)
        pairs = zip(shape, ratio, strict=True)
        return tuple(max(1, round(size / by)) for size, by in pairs)

    def window(self, shape: Sequence[int], divisor: Sequence[int]) -> tuple[int, ...]:
        """The window to predict an image with: all of it, padded, if it is little over a patch.

        Args:
            shape: of the image, on the grid of the network.
            divisor: sizes that the network takes are multiples of this.
        """
        if math.prod(shape) > WHOLE * math.prod(self.patch):
            return self.patch
        return tuple(-(-size // by) * by for size, by in zip(shape, divisor, strict=True))

    def normaliser(
        self, row: dict[str, Any], statistics: tuple[list[float], list[float]] | None = None
    ) -> Normaliser:
        """How the image of a sample is normalised.

        Args:
            row: of the sample; holds the image's statistics if ingest put them there.
            statistics: (means, deviations) per channel, where the row does not hold them.

        Raises:
            SpecError: they are needed and not there (code "no-statistics").
        """
        count = len(self.channels)
        found = stored_statistics(row, count) or statistics
        if found is None:
            if any(channel.scheme == "zscore" for channel in self.channels):
                raise SpecError(
                    "the image's mean and deviation are not known",
                    code="no-statistics",
                    about=str(row.get("sample_id", "")),
                    hint="compute them with medray.modalities.image.normalise.image_statistics",
                )
            found = ([0.0] * count, [0.0] * count)
        return normaliser(self.channels, *found)


def make_plan(
    found: Fingerprint,
    task: Task,
    *,
    dims: int | None = None,
    levels: int | None = None,
    batch_size: int | None = None,
    augment: ImageAugment | None = None,
    device: str = "cpu",
    given: ImagePlanOptions | None = None,
) -> ImagePlan:
    """Plan a training.

    Args:
        found: what the training samples are like.
        task: what is learnt.
        dims: of the network, if the job says so.
        levels: of the network, if the job says so.
        batch_size: if the job says so.
        augment: of the training.
        device: "cpu" or "cuda": how much a step may hold.
        given: what the job fixes of the plan.

    Raises:
        SpecError: the network's dims, or what the job fixes, are not of as many axes or channels
            as the data ("dims-mismatch", "channel-mismatch").
    """
    given = given or ImagePlanOptions()
    axes = len(found.shapes[0])
    if dims is not None and dims != axes:
        raise SpecError(
            f"the network takes {dims} spatial axes, the images have {axes}",
            code="dims-mismatch",
            hint=f"set the model's dims to {axes}",
        )
    require_axes(given, axes)
    if given.channels is not None and len(given.channels) != found.channels:
        raise SpecError(
            f"normalisation is of {len(given.channels)} channels, the images have {found.channels}",
            code="channel-mismatch",
            about="plan.channels",
            hint=f"give {found.channels}, or `normalise` for all",
        )
    reasons: dict[str, str] = {}
    dense = task.answers != "sample"
    spacing = None if given.spacing_mm == "own" else given.spacing_mm
    if given.spacing_mm is None and dense:
        spacing = target_spacing(found, reasons)
    most, total = VOXELS["cuda" if device == "cuda" else "cpu", axes]

    def sizes(grid: tuple[float, ...] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        shapes = np.asarray(_resampled(found, grid))
        median = tuple(int(size) for size in np.median(shapes, axis=0).round())
        patch = given.patch or choose_patch(median, grid, most, levels or LEVELS, divisible=dense)
        return median, patch

    if given.coarse:
        spacing = coarse_spacing(found, spacing, sizes)
        reasons["spacing_mm"] = f"a patch covers {COVER:.0%} of the median image"
    shapes = _resampled(found, spacing)
    median, patch = sizes(spacing)
    if given.patch is None:
        reasons["patch"] = (
            f"median image is {median}; at most {most} voxels on a {device}, rounded to what "
            "the network can halve"
        )
    if batch_size is None:
        batch_size = choose_batch(shapes, patch, total, dense=dense)
        reasons["batch_size"] = (
            f"at most {total} voxels on a {device} and {SHARE:.0%} of the data, but at least 2"
            if dense
            else f"at most {IMAGES}, {total} voxels and a tenth of the samples"
        )
    found_out = {
        "dims": axes,
        "in_channels": found.channels,
        "answers": task.answers,
        "classes": task.channels,
        "spacing_mm": spacing,
        "patch": patch,
        "batch_size": batch_size,
        "channels": given.channels or choose_norms(found, given.normalise, reasons),
        "pool_steps": pool_steps(patch, axes, levels or LEVELS),
        "frequencies": found.frequencies,
        "median_shape": median,
        "samples": len(found.shapes),
        "mirror_axes": _mirrored(augment, axes),
        "foreground": given.foreground if task.answers in ("place", "objects") else 0.0,
    }
    if task.answers == "place":
        reasons["median_shape"] = shown(patch, median, guided=given.guide)
    fixed = given.model_dump(include={"patch", "spacing_mm", "channels"}, exclude_none=True)
    reasons.update(dict.fromkeys(fixed, "given by the job"))
    return ImagePlan.model_validate({**found_out, "reasons": reasons})


def require_axes(given: ImagePlanOptions, axes: int) -> None:
    """Refuse a patch or a grid that is not of `axes` axes.

    Raises:
        SpecError: there is one (code "dims-mismatch"); `about` names the job's field.
    """
    for field in ("patch", "spacing_mm"):
        value = getattr(given, field)
        if isinstance(value, tuple) and len(value) != axes:
            raise SpecError(
                f"{len(value)} numbers for {axes} spatial axes",
                code="dims-mismatch",
                about=f"plan.{field}",
                hint=f"give {axes}",
            )


def target_spacing(found: Fingerprint, reasons: dict[str, str]) -> tuple[float, ...] | None:
    """The median spacing; along an axis of thick slices the 10th percentile, as in nnU-Net.

    None where all samples share one spacing or none is known: the stored grid is the network's.
    """
    known = [spacing for spacing in found.spacings if spacing]
    if len(known) < len(found.spacings) or np.ptp(np.asarray(known), axis=0).max() < 1e-3:
        reasons["spacing_mm"] = "one spacing for all, or unknown: images keep their grid"
        return None
    spacings = np.asarray(known)
    target = np.median(spacings, axis=0)
    thick = int(target.argmax())
    others = np.delete(target, thick)
    sizes = np.median(np.asarray(found.shapes), axis=0)
    reasons["spacing_mm"] = "median over the samples"
    if (
        target[thick] > ANISOTROPY * others.max()
        and sizes[thick] * ANISOTROPY < np.delete(sizes, thick).max()
    ):
        target[thick] = max(np.percentile(spacings[:, thick], 10), others.max())
        reasons["spacing_mm"] += f"; axis {thick} has thick slices: 10th percentile"
    return tuple(round(float(value), 4) for value in target)


def choose_patch(
    median: Sequence[int],
    spacing: Sequence[float] | None,
    most: int,
    levels: int,
    *,
    divisible: bool = True,
) -> tuple[int, ...]:
    """The largest patch of at most `most` voxels: a cube in millimetres, cut to the median image,
    then rounded to what `levels` resolutions can halve: up where it holds the whole image."""
    spacing = spacing or (1.0,) * len(median)
    low, high = 0.0, max(size * step for size, step in zip(median, spacing, strict=True))

    def cube(side_mm: float) -> tuple[int, ...]:
        pairs = zip(median, spacing, strict=True)
        return tuple(min(size, max(1, int(side_mm / step + 1e-6))) for size, step in pairs)

    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(cube(middle)) <= most else (low, middle)
    patch = tuple(median) if math.prod(median) <= most else cube(low)
    if not divisible:
        return patch
    # Rounding can change how often an axis can be halved, so it is done until nothing changes.
    while True:
        divisor = divisor_of(pool_steps(patch, len(patch), levels), len(patch))
        rounded = tuple(
            -(-size // by) * by if size >= whole else max(by, size // by * by)
            for size, by, whole in zip(patch, divisor, median, strict=True)
        )
        if rounded == patch:
            return patch
        patch = rounded


def choose_batch(
    shapes: Sequence[Sequence[int]], patch: Sequence[int], total: int, *, dense: bool
) -> int:
    """Samples per step: as many as memory and the amount of data allow, at least 2."""
    fits = total // math.prod(patch)
    if dense:
        there = sum(math.prod(shape) for shape in shapes)
        return max(2, min(fits, round(SHARE * there / math.prod(patch))))
    return max(2, min(fits, IMAGES, len(shapes) // 10))


def choose_norms(
    found: Fingerprint, scheme: Scheme | None, reasons: dict[str, str]
) -> tuple[ChannelNorm, ...]:
    """CT by the data set's foreground, all else image by image, unless the job says how."""
    if scheme is None:
        scheme = "ct" if found.modality == "CT" else "zscore"
        reasons["channels"] = (
            "CT values are a physical scale: clipped and scaled alike for all images"
            if scheme == "ct"
            else "intensities have no common scale: each image by its own mean and deviation"
        )
    if scheme in ("zscore", "none"):
        return (ChannelNorm(scheme=scheme),) * found.channels
    return tuple(
        ChannelNorm(scheme=scheme, low=low, high=high, mean=mean, std=std)
        for low, high, mean, std in found.intensities
    )


def _mirrored(augment: ImageAugment | None, axes: int) -> tuple[int, ...]:
    if augment is None:
        return ()
    return tuple(range(axes)) if augment.mirror is None else augment.mirror


def _resampled(found: Fingerprint, spacing: Sequence[float] | None) -> list[tuple[int, ...]]:
    if spacing is None:
        return list(found.shapes)
    return [
        tuple(
            max(1, round(size * own / to)) for size, own, to in zip(shape, at, spacing, strict=True)
        )
        if at
        else shape
        for shape, at in zip(found.shapes, found.spacings, strict=True)
    ]
