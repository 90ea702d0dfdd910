"""Batches of samples with targets, and beside each some without."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from medray.data.batch import Batch
from medray.data.cases import Loader
from medray.data.order import Order


@dataclass(frozen=True)
class Beside:
    """Two loaders as one; what a batch holds is a function of its step, as of each of them.

    Args:
        labelled: gives the parts; a pass of its order is a pass of the training.
        unlabelled: gives the views; in an endless order of its own.
    """

    labelled: Loader
    unlabelled: Loader

    @property
    def order(self) -> Order:
        """Of the samples with targets."""
        return self.labelled.order

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """See Loader."""
        pairs = (one.batches(first, last) for one in (self.labelled, self.unlabelled))
        for batch, other in zip(*pairs, strict=True):
            yield replace(batch, unlabelled=other.unlabelled)
