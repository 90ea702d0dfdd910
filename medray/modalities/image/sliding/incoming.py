"""An image on its way to the network: on its grid, slab by slab, ahead of their use."""

from collections.abc import Generator, Iterable
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import read_ahead
from medray.modalities.image.sliding.resample import resample_slabs
from medray.storage.shards.samples import Slabs


def incoming(
    image: Slabs, shape: tuple[int, ...], dtype: torch.dtype
) -> Generator[Tensor, None, None]:
    """An image's slabs, resampled to the network's grid.

    Those of several are taken on a thread of their own, one ahead. Of one there is nothing to read
    while another is being used, and a thread would only cost.

    Args:
        image: (channels, *spatial), any real dtype, in slabs along axis 1.
        shape: spatial, of the image on the network's grid.
        dtype: of what is made.

    Yields:
        (channels, depth, *rest), consecutive; see `resample_slabs`.
    """
    parts = iter(image.parts)
    first = next(parts)
    several = first.shape[1] < image.shape[1]
    slabs = resample_slabs(_tensors(chain([first], parts)), image.shape[1:], shape)
    del first  # it is not to be held longer than the others
    made = (slab.to(dtype) for slab in slabs)
    yield from read_ahead(made) if several else made


def _tensors(slabs: Iterable[np.ndarray]) -> Generator[Tensor, None, None]:
    for slab in slabs:
        yield torch.from_numpy(np.ascontiguousarray(slab, dtype=np.float32))
