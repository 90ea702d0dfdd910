"""What a modality gives a training: the samples of a split, and batches of them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from medray.data.order import Order

if TYPE_CHECKING:
    from medray.data.batch import Batch


class Cases(Protocol):
    """The samples of a split as a network sees them."""

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """Values of each sample, `sample_id` among them."""

    def __len__(self) -> int: ...


class Loader(Protocol):
    """Prepares a rank's batches; what a batch holds is a function of its step alone."""

    @property
    def order(self) -> Order: ...
    def batches(self, first: int, last: int) -> "Iterator[Batch]":
        """This rank's batches of the steps first … last - 1."""
