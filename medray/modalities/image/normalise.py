"""Intensities as a network wants them: voxel-wise, so that slabs and patches can be done alone."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from medray.errors import SpecError

Scheme = Literal["zscore", "ct", "dataset", "none"]
Normaliser = Callable[[np.ndarray], np.ndarray]

BLOCK = 2**15  # voxels whose statistics are taken at once; 255**2 each fit 31 bits


class ChannelNorm(BaseModel):
    """How one channel is normalised.

    `zscore`: by the image's own mean and standard deviation. `ct`: clipped to [low, high], then by
    the data set's mean and deviation, as nnU-Net does for CT, whose values are a physical scale.
    `dataset`: by the data set's mean and deviation, unclipped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scheme: Scheme = "zscore"
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 1.0


def normaliser(
    channels: Sequence[ChannelNorm], means: Sequence[float], stds: Sequence[float]
) -> Normaliser:
    """The function that maps (C, *space) of any real dtype to float32.

    Args:
        channels: one per channel.
        means: of this image, per channel; used by `zscore` alone.
        stds: of this image, per channel.

    Raises:
        SpecError: channels do not agree (code "channel-mismatch"), raised when the function meets
            the image.
    """
    own = [channel.scheme == "zscore" for channel in channels]
    mean = [m if z else c.mean for z, c, m in zip(own, channels, means, strict=True)]
    std = [s if z else c.std for z, c, s in zip(own, channels, stds, strict=True)]
    plain = [channel.scheme == "none" for channel in channels]

    def apply(image: np.ndarray) -> np.ndarray:
        if image.shape[0] != len(channels):
            raise SpecError(
                f"the image has {image.shape[0]} channels, the plan {len(channels)}",
                code="channel-mismatch",
                hint="train and predict on data with the same channels",
            )
        out = image.astype(np.float32)
        for index, channel in enumerate(channels):
            if channel.scheme == "ct":
                np.clip(out[index], channel.low, channel.high, out=out[index])
            if not plain[index]:
                out[index] -= np.float32(mean[index])
                out[index] *= np.float32(1.0 / max(std[index], 1e-8))
        return out

    return apply


def restored(image: np.ndarray, channels: Sequence[ChannelNorm], dtype: str) -> np.ndarray:
    """A normalised image (C, *space) with intensities as they are stored, where all images were
    normalised alike.

    Args:
        image: float32.
        channels: how; none by the image's own statistics.
        dtype: that they are stored as; whole numbers are rounded, and clipped to what it holds.
    """
    out = image.astype(np.float64)
    for index, channel in enumerate(channels):
        if channel.scheme != "none":
            out[index] = out[index] * max(channel.std, 1e-8) + channel.mean
        if channel.scheme == "ct":
            np.clip(out[index], channel.low, channel.high, out=out[index])
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        out = np.clip(np.rint(out), limits.min, limits.max)
    return out.astype(dtype)


def image_statistics(parts: Iterable[np.ndarray]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of an image that comes in parts (C, *space).

    They are merged over blocks that a core has at hand (Chan et al. 1979): a third of what it takes
    part by part.
    """
    known: list[tuple[int, float, float]] = []  # of each channel: voxels, mean, squares about it
    for part in parts:
        known = known or [(0, 0.0, 0.0)] * len(part)
        for channel, values in enumerate(part.reshape(len(part), -1)):
            count, mean, squares = known[channel]
            for start in range(0, values.size, BLOCK):
                size, own, about = _moments(values[start : start + BLOCK])
                apart, total = own - mean, count + size
                squares += about + apart**2 * (count * size / total)
                mean += apart * (size / total)
                count = total
            known[channel] = count, mean, squares
    return [mean for _, mean, _ in known], [math.sqrt(sq / count) for count, _, sq in known]


def _moments(values: np.ndarray) -> tuple[int, float, float]:
    """How many values there are, at most BLOCK, their mean and their squares about it."""
    size = values.size
    if values.dtype == np.uint8:  # whole numbers take half as long, and 32 bits hold their squares
        whole = values.astype(np.int32)
        total, squares = int(whole.sum(dtype=np.int32)), int(np.einsum("i,i", whole, whole))
        return size, total / size, (size * squares - total**2) / size
    own = values.astype(np.float64)
    mean = float(own.mean())
    own -= mean
    return size, mean, float(np.einsum("i,i", own, own))


def stored_statistics(row: dict[str, Any], channels: int) -> tuple[list[float], list[float]] | None:
    """The statistics that ingest put into the sample's row; None where it did not.

    Formats describe an image over all its channels, so they serve images with one channel only.
    """
    mean, std = row.get("image_mean"), row.get("image_std")
    if channels != 1 or mean is None or std is None:
        return None
    return [float(mean)], [float(std)]
