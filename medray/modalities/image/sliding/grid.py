"""The regular grid of overlapping windows that covers an image, and how they are cut from it.

Axis 0 of an image is its slow axis: the one it is read, computed and written along (Z of a volume,
Y of a 2-D image). Everything in this room is written for "slow axis + the rest", so one code path
serves 2-D and 3-D.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from medray.errors import SpecError


@dataclass(frozen=True)
class Grid:
    """Where windows start, in the coordinates of the padded image.

    Args:
        shape: of the image, in voxels, slow axis first.
        roi: window size in voxels, of the same length.
        starts: window starts along each axis, increasing; the last window ends at the border.
        before: voxels of padding in front of each axis where the image is smaller than the window.
    """

    shape: tuple[int, ...]
    roi: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]

    @property
    def padded(self) -> tuple[int, ...]:
        """The shape after padding: at least `roi` along every axis."""
        return tuple(max(size, roi) for size, roi in zip(self.shape, self.roi, strict=True))

    def windows(self) -> Iterator[tuple[int, ...]]:
        """Start of every window, in the order of the slow axis."""
        return product(*self.starts)

    def __len__(self) -> int:
        """How many windows there are."""
        count = 1
        for starts in self.starts:
            count *= len(starts)
        return count


def plan_grid(
    shape: Sequence[int], roi: Sequence[int], overlap: float | Sequence[float] = 0.5
) -> Grid:
    """Cover an image of `shape` with windows of `roi`, as MONAI's sliding_window_inference does.

    Windows follow each other every int(roi * (1 - overlap)) voxels, at least 1; the last one is
    moved back so that it ends at the border. An image smaller than the window is padded on both
    sides, the odd voxel behind.

    Args:
        shape: of the image, in voxels, slow axis first.
        roi: window size in voxels.
        overlap: share of the window that neighbours have in common, per axis or for all.

    Raises:
        SpecError: axes don't match, a size is not positive, or an overlap is outside [0, 1)
            (code "window-grid").
    """
    overlaps = (overlap,) * len(roi) if isinstance(overlap, int | float) else tuple(overlap)
    if not len(shape) == len(roi) == len(overlaps) or not roi:
        raise SpecError(
            f"image, window and overlap have {len(shape)}, {len(roi)} and {len(overlaps)} axes",
            code="window-grid",
            hint="a 2-D model takes a 2-D window, a 3-D model a 3-D one",
        )
    if min(*shape, *roi) < 1 or not all(0 <= share < 1 for share in overlaps):
        raise SpecError(
            "sizes must be positive and overlaps in [0, 1)", code="window-grid", about=str(roi)
        )
    axes = zip(shape, roi, overlaps, strict=True)
    return Grid(
        shape=tuple(shape),
        roi=tuple(roi),
        starts=tuple(axis_starts(size, window, share) for size, window, share in axes),
        before=tuple(max(window - size, 0) // 2 for size, window in zip(shape, roi, strict=True)),
    )


def axis_starts(size: int, window: int, overlap: float) -> tuple[int, ...]:
    """Window starts along one axis of `size` voxels; only (0,) where one window covers it."""
    if window >= size:
        return (0,)
    step = max(int(window * (1 - overlap)), 1)
    last = size - window
    return (*range(0, last, step), last)


def box(start: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    """The slices of a block of `size` voxels at `start`."""
    return tuple(slice(at, at + span) for at, span in zip(start, size, strict=True))


def wrap(start: int, stop: int, depth: int) -> Iterator[tuple[slice, slice]]:
    """Where planes [start, stop) lie in a ring of `depth` planes, in one or two pieces.

    Yields:
        (slice of the ring, slice relative to `start`), at most `depth` planes in all.
    """
    done = start
    while done < stop:
        offset = done % depth
        count = min(stop - done, depth - offset)
        yield slice(offset, offset + count), slice(done - start, done - start + count)
        done += count


def gather_windows(
    slabs: Iterable[Tensor], grid: Grid, batch: int
) -> Iterator[tuple[list[tuple[int, ...]], Tensor]]:
    """Cut the windows of a grid out of consecutive slabs, holding one roi-deep ring of the image;
    an image that is one window and one slab is handed on as it is.

    Args:
        slabs: (channels, depth, *rest), consecutive along axis 1, together of shape `grid.shape`.
        grid: where the windows lie; what is outside the image is 0.
        batch: windows at a time.

    Yields:
        (starts, windows (len(starts), channels, *roi)): valid until the next batch is asked for.
    """
    slabs = iter(slabs)
    first = next(slabs)
    if tuple(first.shape[1:]) == grid.roi == grid.padded:
        yield list(grid.windows()), first[None]
        return
    planes = _Planes(first, slabs, grid)
    windows = first.new_empty((min(batch, len(grid)), first.shape[0], *grid.roi))
    starts: list[tuple[int, ...]] = []
    for start in grid.windows():
        ring = planes.until(start[0] + grid.roi[0])
        block = box(start[1:], grid.roi[1:])
        for here, there in wrap(start[0], start[0] + grid.roi[0], grid.roi[0]):
            windows[len(starts), :, there] = ring[:, here, *block]
        starts.append(start)
        if len(starts) == batch:
            yield starts, windows
            starts = []
    if starts:
        yield starts, windows[: len(starts)]


class _Planes:
    """The last roi[0] planes of the padded image; plane z lies at z % roi[0]."""

    def __init__(self, first: Tensor, slabs: Iterator[Tensor], grid: Grid) -> None:
        self.rest = first  # of the slab in hand, what lies behind the ring
        self.slabs = slabs
        self.grid = grid
        self.have = 0  # planes of the unpadded image that were taken from the slabs
        self.ring = first.new_zeros((first.shape[0], grid.roi[0], *grid.padded[1:]))

    def until(self, stop: int) -> Tensor:
        """The ring, once it holds the planes up to `stop` of the padded image."""
        before = self.grid.before
        goal = min(stop - before[0], self.grid.shape[0])
        inside = box(before[1:], self.grid.shape[1:])
        while self.have < goal:
            if self.rest.shape[1] == 0:
                self.rest = next(self.slabs)
            take = min(goal - self.have, self.rest.shape[1])
            at = before[0] + self.have
            for here, there in wrap(at, at + take, self.grid.roi[0]):
                self.ring[:, here, *inside] = self.rest[:, there]
            self.rest = self.rest[:, take:]
            self.have += take
        return self.ring
