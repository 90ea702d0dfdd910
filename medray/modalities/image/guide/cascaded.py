"""Both networks of a cascade for samples that come without a mask, as requests bring them."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from medray.modalities.base import Answering
from medray.modalities.image.guide import GUIDE, GUIDE_CLASSES
from medray.modalities.image.plan import ImagePlan
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InMemory, Stored, whole


class Cascaded(Answering):
    """Answers as the fine model does in bulk, of images with masks by the coarse one beside them.

    Args:
        fine: the guided model.
        coarse: that whose masks guide it; its classes are those that the fine one learnt with.
    """

    def __init__(self, fine: Answering, coarse: Answering) -> None:
        super().__init__(fine.trained, fine.asked)
        self._fine, self._coarse = fine, coarse.giving("labels")

    @property
    def arrays(self) -> Arrays:
        """See Predictor."""
        return self._fine.arrays

    @property
    def batch(self) -> int:
        """One image after the other."""
        return 1

    @property
    def short(self) -> bool:
        """See Predictor."""
        return self._fine.short

    def giving(self, outputs: str) -> Answering:
        """See Answering; the coarse model draws masks, whatever is asked for."""
        return Cascaded(self._fine.giving(outputs), self._coarse)

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample as the coarse model takes it, and as it is."""
        return _Both(stored, self._coarse.prepare(stored, together))

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each prepared one: a mask is drawn and put beside its image, and
        the fine model answers."""
        classes = list(cast("ImagePlan", self.trained.plan).guide)
        for sample in samples:
            both = cast("_Both", sample)
            (drawn,) = self._coarse.compute([both.prepared])
            image = both.stored.array("image")
            guided = Sample(
                both.id,
                {**both.row, GUIDE_CLASSES: classes},
                {"image": image[...], GUIDE: whole(drawn.arrays["label"])},
            )
            yield from self._fine.compute([self._fine.prepare(InMemory(guided), 1)])

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering: of samples that have their masks."""
        return self._fine.answers(samples)


class _Both(Sample):
    """A sample of a request.

    Args:
        stored: as it is.
        prepared: for the coarse model.
    """

    def __init__(self, stored: Stored, prepared: Sample) -> None:
        super().__init__(stored.id, dict(stored.row))
        self.stored, self.prepared = stored, prepared
