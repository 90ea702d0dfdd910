"""Blending of overlapping windows in memory that does not grow with the depth of the image."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from medray.errors import FatalError
from medray.modalities.ask import require_finite
from medray.modalities.image.sliding.grid import Grid, box, wrap

SIGMA_PER_ROI = 0.125  # nnU-Net's and MONAI's
WEIGHT_FLOOR = 1e-3  # MONAI's: corners of a 3-D Gaussian fall to 4e-11, below fp16's range


def gaussian_weights(roi: Sequence[int]) -> Tensor:
    """Weights of a window, float32 of shape `roi`: a Gaussian with sigma = roi / 8 in the middle.

    An outer product of 1-D Gaussians, raised to at least 1e-3 as MONAI does (nnU-Net: Isensee et
    al. 2021, raises zeros only). That floor is why the sum of weights is no outer product.
    """
    weights = torch.ones(())
    for size in roi:
        offset = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        axis = torch.exp(offset**2 / (-2 * (SIGMA_PER_ROI * size) ** 2))
        weights = weights.unsqueeze(-1) * axis
    return weights.clamp_(min=max(weights.min().item(), WEIGHT_FLOOR))


def blend_windows(
    windows: Iterable[tuple[Sequence[int], Tensor]], grid: Grid, *, normalise: bool = True
) -> Iterator[Tensor]:
    """Blend overlapping window logits into slabs, holding one roi-deep ring of the image.

    Peak memory is (classes + 1) * roi[0] * (one plane) * 4 bytes, whatever shape[0] is. A slab is
    emitted as soon as no later window can touch it.

    Args:
        windows: (start, logits of shape (classes, *roi)), ordered by start along axis 0.
        grid: where the windows lie.
        normalise: divide by the sum of weights. Not needed for an argmax, which a positive factor
            common to all classes doesn't change.

    Yields:
        float32 (classes, depth, *rest): consecutive slabs of the unpadded image. A slab is a view
        of the ring: it is valid only until the next one is asked for.

    Raises:
        DataError: a window holds NaN or Inf (code "nonfinite-output").
        FatalError: windows of another shape than the grid's (code "network-output").
    """
    ring: _Ring | None = None
    done = 0
    for start, logits in windows:
        if ring is None:
            ring = _Ring(grid, logits, normalise=normalise)
        if start[0] > done:
            yield from ring.emit(done, start[0])
            done = start[0]
        ring.add(start, logits)
    if ring is not None:
        yield from ring.emit(done, grid.padded[0])


class _Ring:
    """Weighted sums of the planes that windows can still touch; plane z lies at z % roi[0]."""

    def __init__(self, grid: Grid, logits: Tensor, *, normalise: bool) -> None:
        self.grid = grid
        self.depth = grid.roi[0]
        plane = grid.padded[1:]
        device = logits.device
        self.weights = gaussian_weights(grid.roi).to(device)
        self.sums = torch.zeros((logits.shape[0], self.depth, *plane), device=device)
        self.row_weights: Tensor | None = None
        if normalise:
            # All rows of windows weigh the same, so their common sum is taken once per image.
            self.row_weights = torch.zeros((self.depth, *plane), device=device)
            for start in Grid(plane, grid.roi[1:], grid.starts[1:], grid.before[1:]).windows():
                self.row_weights[:, *box(start, grid.roi[1:])] += self.weights

    def add(self, start: Sequence[int], logits: Tensor) -> None:
        if logits.shape != (self.sums.shape[0], *self.grid.roi):
            raise FatalError(
                f"the network made {tuple(logits.shape)} of a window of {self.grid.roi}",
                code="network-output",
                hint="its output must have the size of its input",
            )
        block = box(start[1:], self.grid.roi[1:])
        for here, there in wrap(start[0], start[0] + self.depth, self.depth):
            self.sums[:, here, *block].addcmul_(logits[:, there].float(), self.weights[there])

    def emit(self, start: int, stop: int) -> Iterator[Tensor]:
        """Hand out planes [start, stop) without their padding, then clear them."""
        first = self.grid.before[0]
        last = first + self.grid.shape[0]
        inside = box(self.grid.before[1:], self.grid.shape[1:])
        for here, there in wrap(start, stop, self.depth):
            planes = self.sums[:, here]
            require_finite(planes)
            if self.row_weights is not None:
                planes /= self._weights_of(
                    self.row_weights, start + there.start, start + there.stop
                )
            skip = max(first - start - there.start, 0)
            keep = min(last - start - there.start, planes.shape[1])
            if skip < keep:
                yield planes[:, skip:keep, *inside]
            planes.zero_()

    def _weights_of(self, row_weights: Tensor, start: int, stop: int) -> Tensor:
        """Sum of the weights of all windows over planes [start, stop)."""
        total = torch.zeros_like(row_weights[: stop - start])
        for row in self.grid.starts[0]:
            low, high = max(row, start), min(row + self.depth, stop)
            if low < high:
                total[low - start : high - start] += row_weights[low - row : high - row]
        return total
