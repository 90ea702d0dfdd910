"""An image on its way to the network: on its grid, slab by slab, ahead of their use."""

import math
from collections.abc import Generator, Iterable

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import read_ahead
from medray.modalities.image.sliding.resample import resample_slabs
from medray.storage.shards.samples import Slabs

SMALL = 2**22  # values of an image that comes whole: 16 MiB as float32


def incoming(
    image: Slabs, shape: tuple[int, ...], dtype: torch.dtype
) -> Generator[Tensor, None, None]:
    """An image's slabs, resampled to the network's grid.

    Those of a large one are taken on a thread of their own, one ahead. A small one comes whole: it
    is in memory already, and a thread would only cost.

    Args:
        image: (channels, *spatial), any real dtype, in slabs along axis 1.
        shape: spatial, of the image on the network's grid.
        dtype: of what is made.

    Yields:
        (channels, depth, *rest), consecutive; see `resample_slabs`.
    """
    slabs = resample_slabs(_tensors(image.parts), image.shape[1:], shape)
    made = (slab.to(dtype) for slab in slabs)
    if max(math.prod(image.shape), image.shape[0] * math.prod(shape)) <= SMALL:
        several = list(made)
        yield torch.cat(several, dim=1) if len(several) > 1 else several[0]
    else:
        yield from read_ahead(made)


def _tensors(slabs: Iterable[np.ndarray]) -> Generator[Tensor, None, None]:
    for slab in slabs:
        yield torch.from_numpy(np.ascontiguousarray(slab, dtype=np.float32))
