"""Maps of masks: window by window, in memory that does not grow with the depth of the image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from medray.modalities.image.explain import How
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.target import OverRegion
from medray.modalities.image.sliding.blend import blend_windows
from medray.modalities.image.sliding.grid import gather_windows, plan_grid
from medray.modalities.image.sliding.incoming import incoming
from medray.modalities.image.sliding.resample import resample_slabs
from medray.storage.shards.samples import Slabs


@dataclass(frozen=True)
class Window:
    """One window, its map and what that is of.

    Args:
        image: (1, C, *roi).
        found: its map, (1, *roi).
        target: the largest of its regions.
        voxels: of that region.
    """

    image: Tensor
    found: Tensor
    target: OverRegion
    voxels: int


def explain_volume(
    how: How,
    network: nn.Module,
    levels: Sequence[str],
    image: Slabs,
    regions: Callable[[Tensor], Sequence[OverRegion]],
    *,
    roi: Sequence[int],
    overlap: float,
    batch: int,
    network_shape: Sequence[int],
    device: torch.device,
    tell: Callable[[Window], None] | None = None,
) -> Iterator[np.ndarray]:
    """A map for each region: how much each voxel has to do with the mean logit over it.

    Region and mean are of each window; maps of windows are blended as predictions are. A window
    without a region has a map of zeros of it.

    Args:
        how: see `methods.attribute`.
        network: in evaluation mode; answers (B, channels, *cells).
        levels: see `methods.attribute`.
        image: (C, *space), normalised, in slabs along axis 1.
        regions: of what the network answers; as many of each window.
        roi: window on the network's grid.
        overlap: of windows.
        batch: windows at once.
        network_shape: of the image on the network's grid.
        device: where the network is.
        tell: is given the window whose region is the largest, once all have passed.

    Yields:
        float32 (regions, depth, *rest), consecutive slabs on the image's own grid.
    """
    native, inner = tuple(image.shape[1:]), tuple(network_shape)
    grid = plan_grid(inner, roi, overlap)
    slabs = incoming(image, inner, torch.float32)
    best: list[Window] = []

    def windows() -> Iterator[tuple[tuple[int, ...], Tensor]]:
        for starts, found in gather_windows(slabs, grid, batch):
            inputs = found.to(device)
            with torch.no_grad():  # gradients pass through what is made of these
                wanted = regions(network(inputs).float())
            maps = torch.zeros((len(inputs), len(wanted), *roi), device=device)
            for at, target in enumerate(wanted):
                if target.region.any():
                    maps[:, at] = attribute(how, network, levels, inputs, target)
            for at in range(len(inputs)) if tell is not None else ():
                _keep(best, inputs, maps, wanted, at)
            yield from zip(starts, maps, strict=True)

    try:
        for slab in resample_slabs(blend_windows(windows(), grid), inner, native):
            yield slab.float().cpu().numpy().copy()
    finally:
        slabs.close()
    if tell is not None and best:
        tell(best[0])


def _keep(
    best: list[Window], inputs: Tensor, maps: Tensor, wanted: Sequence[OverRegion], at: int
) -> None:
    """Hold the window with the largest region, and no other."""
    counts = [int(one.region[at].sum()) for one in wanted]
    most = int(np.argmax(counts))
    if counts[most] > (best[0].voxels if best else 0):
        region = wanted[most].region[at : at + 1].clone()
        target = replace(wanted[most], region=region)
        some = slice(at, at + 1)
        best[:] = [Window(inputs[some].clone(), maps[some, most].clone(), target, counts[most])]
