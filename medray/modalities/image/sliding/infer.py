"""Sliding-window inference over images that are never held whole.

Slabs flow: taken on a thread of their own where there are several, resampled to the network's
grid, cut into windows, through the network, blended, resampled back, reduced to labels or
probabilities.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from medray.errors import FatalError
from medray.modalities.ask import Net, forward
from medray.modalities.base import Precision
from medray.modalities.image.sliding.blend import blend_windows
from medray.modalities.image.sliding.grid import gather_windows, plan_grid
from medray.modalities.image.sliding.incoming import incoming
from medray.modalities.image.sliding.resample import resample_slabs
from medray.storage.shards.samples import Slabs

Outputs = Literal["labels", "probabilities"]
MOST_CLASSES = 256


def predict_volume(
    net: Net,
    image: Slabs,
    *,
    roi: Sequence[int],
    overlap: float | Sequence[float] = 0.5,
    batch: int = 1,
    mirror_axes: Sequence[int] = (),
    precision: Precision = "fp32",
    outputs: Outputs = "labels",
    threshold: float | None = None,
    network_shape: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Generator[np.ndarray[Any, Any], None, None]:
    """Predict an image window by window, in memory that does not grow with its depth.

    Equal to MONAI's sliding_window_inference(mode="gaussian") on the same grid to 1e-5. The
    network's mode (eval) and torch's threads are the caller's.

    Args:
        net: maps (batch, channels, *roi) to (batch, classes, *roi) logits.
        image: (channels, *spatial) on its native grid, normalised, any real dtype, in slabs along
            axis 1; see `incoming`.
        roi: window size on the network's grid, in voxels, slow axis first.
        overlap: share of a window that neighbours have in common, per axis or for all.
        batch: windows per call of the network; the last call may have fewer.
        mirror_axes: spatial axes (0 = slow axis) to mirror along; logits are averaged over all
            2**len(mirror_axes) combinations, as nnU-Net does.
        precision: "bf16" runs the network under torch.autocast; blending is fp32 always.
        outputs: "labels" or "probabilities".
        threshold: None: classes exclude each other (argmax, softmax). A number: they don't
            (sigmoid; label where the probability is above `threshold`).
        network_shape: spatial shape to resample the image to for the network; predictions come
            back on the native grid. None: the native grid is the network's.
        device: where the network is.

    Yields:
        Consecutive slabs on the native grid: labels uint8 (depth, *rest), or uint8
        (classes, depth, *rest) with a threshold; probabilities float32 (classes, depth, *rest).

    Raises:
        DataError: the network's output is NaN or Inf (code "nonfinite-output"), or the image
            can't be read.
        SpecError: roi, overlap and image don't fit each other (code "window-grid").
        FatalError: the network's output is of another size than its input ("network-output").
    """
    native = tuple(image.shape[1:])
    inner = native if network_shape is None else tuple(network_shape)
    grid = plan_grid(inner, roi, overlap)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    device = torch.device(device)
    slabs = incoming(image, inner, dtype)
    try:
        logits = blend_windows(
            _run(net, gather_windows(slabs, grid, batch), precision, tuple(mirror_axes), device),
            grid,
            normalise=outputs == "probabilities" or threshold is not None or inner != native,
        )
        for slab in resample_slabs(logits, inner, native):
            yield _reduce(slab, outputs, threshold).cpu().numpy()
    finally:
        slabs.close()


def _run(
    net: Net,
    batches: Iterable[tuple[list[tuple[int, ...]], Tensor]],
    precision: Precision,
    mirror_axes: tuple[int, ...],
    device: torch.device,
) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    for starts, windows in batches:
        logits = forward(net, windows.to(device), precision, mirror_axes)
        yield from zip(starts, logits, strict=True)


def _reduce(logits: Tensor, outputs: Outputs, threshold: float | None) -> Tensor:
    """Labels or probabilities of (classes, depth, *rest) logits; never a view of them."""
    if outputs == "probabilities":
        return logits.sigmoid() if threshold is not None else logits.softmax(dim=0)
    if threshold is not None:
        return (logits.sigmoid() > threshold).to(torch.uint8)
    classes = logits.shape[0]
    if classes > MOST_CLASSES:
        raise FatalError(
            f"{classes} exclusive classes don't fit labels of 8 bits", code="network-output"
        )
    # torch.argmax over an outer axis is 70x slower than comparing class by class.
    best = logits[0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for index in range(1, classes):
        better = (logits[index] > best).view(torch.uint8)
        torch.maximum(labels, better.mul_(index), out=labels)
        torch.maximum(best, logits[index], out=best)
    return labels
